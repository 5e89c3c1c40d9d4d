"""Whether a database can be read and written, found out by doing both."""

import asyncio
from typing import TYPE_CHECKING

from langgraph_checkpoint_rust._base import SqliteSaverBase

if TYPE_CHECKING:
    from langgraph_checkpoint_rust._bridge import Steps

_THREAD_ID = "langgraph-checkpoint-rust/healthz"
"""A thread that never has a checkpoint or a title: listings do not show it."""
_TOKEN = "healthz"  # noqa: S105
"""The same in all processes, so that none is in another's way."""
_MILLISECONDS = 1000


async def check(saver: SqliteSaverBase, timeout: float) -> None:
    """Reads, then commits two changes of a row of our own: the lease of a thread that has nothing else.

    Raises:
        CheckpointError: If one of them fails.
        asyncio.TimeoutError: If they take longer than `timeout` seconds.
    """
    await asyncio.wait_for(_read_and_write(saver), timeout)


async def _read_and_write(saver: SqliteSaverBase) -> None:
    await saver.aget_tuple({"configurable": {"thread_id": _THREAD_ID}})
    if not saver.settings.read_only:
        await saver._store.runner.arun(_write(saver), "healthz")  # noqa: SLF001


def _write(saver: SqliteSaverBase) -> "Steps[None]":
    backend = saver._store.backend  # noqa: SLF001
    yield backend.acquire_lease(_THREAD_ID, _TOKEN, _MILLISECONDS)
    yield backend.release_lease(_THREAD_ID, _TOKEN)
