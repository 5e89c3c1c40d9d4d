"""Tells the native half of each fork.

With the lock guard the parent's connections are quiesced, not closed, and the child opens its own.
Without it they are closed before the fork and opened again when they are used.
"""

from __future__ import annotations

import os

from langgraph_checkpoint_rust import _bridge, _process, _store
from langgraph_checkpoint_rust._core import after_fork_in_child, after_fork_in_parent, before_fork


def _in_child() -> None:
    after_fork_in_child()
    _bridge.forget_loops()
    _process.after_fork()
    _store.after_fork()


def register() -> None:
    """Registers the hooks, once, at import."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=before_fork, after_in_parent=after_fork_in_parent, after_in_child=_in_child
        )
