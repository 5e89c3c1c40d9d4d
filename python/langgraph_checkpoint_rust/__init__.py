"""A checkpoint saver for LangGraph apps with a Rust core.

Example:
    >>> from langgraph_checkpoint_rust import RustSqliteSaver
    >>> RustSqliteSaver("app.db")
    RustSqliteSaver('app.db', format='auto', synchronous='NORMAL')
"""

from __future__ import annotations

from langgraph_checkpoint_rust import (
    _build,
    _fork,
    errors,
    events,
    fallback,
    host,
    metrics,
    recovery,
    reports,
)
from langgraph_checkpoint_rust._core import __version__
from langgraph_checkpoint_rust._process import aclose_saver, close_saver, get_saver
from langgraph_checkpoint_rust._tenants import stored_thread_id
from langgraph_checkpoint_rust.aio import AsyncRustSqliteSaver
from langgraph_checkpoint_rust.mirror import MirrorPolicy
from langgraph_checkpoint_rust.retention import RetentionPolicy, TimeToLive
from langgraph_checkpoint_rust.retry import RetryPolicy
from langgraph_checkpoint_rust.serde import RustSerializer
from langgraph_checkpoint_rust.settings import SqliteSettings
from langgraph_checkpoint_rust.sqlite import RustSqliteSaver

SqliteSaver = RustSqliteSaver
"""For a switch that changes the import only."""
AsyncSqliteSaver = AsyncRustSqliteSaver
"""For a switch that changes the import only."""

__all__ = [
    "AsyncRustSqliteSaver",
    "AsyncSqliteSaver",
    "MirrorPolicy",
    "RetentionPolicy",
    "RetryPolicy",
    "RustSerializer",
    "RustSqliteSaver",
    "SqliteSaver",
    "SqliteSettings",
    "TimeToLive",
    "__version__",
    "aclose_saver",
    "close_saver",
    "errors",
    "events",
    "fallback",
    "get_saver",
    "host",
    "metrics",
    "recovery",
    "reports",
    "stored_thread_id",
]

_build.check()
_fork.register()
