"""Whether a database can be read and written, found out by doing both."""

import asyncio
import random

from langgraph_checkpoint_rust._base import SqliteSaverBase
from langgraph_checkpoint_rust.errors import LeaseHeldError

_THREAD_ID = "langgraph-checkpoint-rust/healthz"
"""A thread that never has a checkpoint or a title: listings do not show it."""
_LEASE_SECONDS = 1.0


async def check(saver: SqliteSaverBase, timeout: float) -> None:
    """Reads, then commits two changes of a row of our own: the lease of a thread that has nothing else.

    Raises:
        CheckpointError: If one of them fails.
        asyncio.TimeoutError: If they take longer than `timeout` seconds.
    """
    await asyncio.wait_for(_read_and_write(saver), timeout)


async def _read_and_write(saver: SqliteSaverBase) -> None:
    await saver.aget_tuple({"configurable": {"thread_id": _THREAD_ID}})
    while not (saver.settings.read_only or await _wrote(saver)):  # noqa: ASYNC110 - other processes
        await asyncio.sleep(random.uniform(0.01, 0.05))  # noqa: S311


async def _wrote(saver: SqliteSaverBase) -> bool:
    """Whether the row was free: another worker may use it at this moment, or was killed as it did."""
    try:
        async with saver.thread_lease(_THREAD_ID, _LEASE_SECONDS):
            return True
    except LeaseHeldError:
        return False
