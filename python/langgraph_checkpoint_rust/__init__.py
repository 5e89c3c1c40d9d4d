"""A checkpoint saver for LangGraph apps with a Rust core."""

from __future__ import annotations

from langgraph_checkpoint_rust._core import __version__

__all__ = ["__version__"]
