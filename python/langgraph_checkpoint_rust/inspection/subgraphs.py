"""The namespaces of a thread: its root graph's and those of its subgraphs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust._saver import Saver

_GREATEST = chr(sys.maxunicode)


def namespaces(saver: Saver, thread_id: str, *, limit: int = 100) -> tuple[tuple[str, ...], bool]:
    """Tells in which namespaces a thread has something stored.

    Args:
        saver: A saver of the database; its serializer is not used.
        thread_id: The thread.
        limit: At most so many of subgraphs. A page of rows is read for each.

    Returns:
        The namespaces in order, the root graph's `""` first, and whether these are all.

    Raises:
        DatabaseCorruptError: If a stored value cannot be read.

    Example:
        >>> from langgraph.checkpoint.base import empty_checkpoint
        >>> from langgraph_checkpoint_rust import RustSqliteSaver
        >>> from langgraph_checkpoint_rust.inspection import namespaces
        >>> saver = RustSqliteSaver(":memory:")
        >>> for checkpoint_ns in ("", "agent:1"):
        ...     config = {"configurable": {"thread_id": "1", "checkpoint_ns": checkpoint_ns}}
        ...     stored = saver.put(config, empty_checkpoint(), {}, {})
        >>> namespaces(saver, "1")
        (('', 'agent:1'), True)
    """
    return saver._run(_namespaces(saver, str(thread_id), limit))


async def anamespaces(saver: Saver, thread_id: str, *, limit: int = 100) -> tuple[tuple[str, ...], bool]:
    """As `namespaces`."""
    await saver._store.resolve()
    return await saver._arun(_namespaces(saver, str(thread_id), limit))


def _namespaces(saver: Any, thread_id: str, limit: int) -> Steps[tuple[tuple[str, ...], bool]]:
    yield from saver._open()
    found: list[str] = []
    after = None
    while True:
        # The greatest name comes first, the root graph's last: it is never among those left out.
        rows, after = yield saver._store.backend.read_thread(thread_id, after)
        if not rows or after[0] == "":
            return (*([""] if rows else []), *reversed(found)), True
        if len(found) == limit:
            return ("", *reversed(found)), False
        found.append(after[0])
        # Beyond the greatest id of a namespace the one before it begins.
        after = (after[0], _GREATEST)
