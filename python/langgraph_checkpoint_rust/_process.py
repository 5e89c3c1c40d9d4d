"""The one saver of a process that asks for one: made when it is first needed, from the environment."""

from __future__ import annotations

import threading

from langgraph_checkpoint_rust.sqlite import RustSqliteSaver

_saver: RustSqliteSaver | None = None
_lock = threading.Lock()


def get_saver() -> RustSqliteSaver:
    """The saver of this process, configured from the environment as `RustSqliteSaver.from_env` does.

    The first call makes it; all others, from any thread, event loop or module, get the same one. Nothing is
    opened before a verb needs it, so the call does not wait, and works at import time. A forked child has
    the same saver with connections of its own; of a database in memory, which stays the parent's, it gets
    a new one.

    Returns:
        The saver. It has all verbs, sync and async.

    Raises:
        ValueError: If `CHECKPOINTS_DB_PATH` is not set, or a variable cannot be read; the message names it.

    Example:
        >>> import os
        >>> from langgraph_checkpoint_rust import close_saver, get_saver
        >>> os.environ["CHECKPOINTS_DB_PATH"] = "app.db"
        >>> get_saver() is get_saver()
        True
        >>> close_saver()
    """
    global _saver  # noqa: PLW0603
    with _lock:
        if _saver is None or _saver._store.is_closed:  # noqa: SLF001
            _saver = RustSqliteSaver.from_env()
        return _saver


def close_saver() -> None:
    """Closes the saver of this process, if there is one. The next `get_saver` makes a new one.

    Who still holds the closed one gets `SaverClosedError`.

    Example:
        >>> from langgraph_checkpoint_rust import close_saver
        >>> close_saver()
    """
    saver = _taken()
    if saver is not None:
        saver.close()


async def aclose_saver() -> None:
    """As `close_saver`, which may wait for the disk, off the event loop.

    Example:
        >>> import asyncio
        >>> from langgraph_checkpoint_rust import aclose_saver
        >>> asyncio.run(aclose_saver())
    """
    saver = _taken()
    if saver is not None:
        await saver.aclose()


def _taken() -> RustSqliteSaver | None:
    global _saver
    with _lock:
        saver, _saver = _saver, None
    return saver


def after_fork() -> None:
    """In a forked child: a new lock, since another thread may have held it, and no database in memory."""
    global _saver, _lock  # noqa: PLW0603
    _lock = threading.Lock()
    if _saver is not None and _saver._store.in_memory:  # noqa: SLF001
        _saver = None
