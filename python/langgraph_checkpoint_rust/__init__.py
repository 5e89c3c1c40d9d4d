"""A checkpoint saver for LangGraph apps with a Rust core."""

from __future__ import annotations

from langgraph_checkpoint_rust._core import __version__
from langgraph_checkpoint_rust.serde import RustSerializer

__all__ = ["RustSerializer", "__version__"]
