"""`repair`: what is left behind by kills and by foreign deletions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph_checkpoint_rust._maintenance import MaintenanceVerbs
from langgraph_checkpoint_rust._slices import finish_deletions
from langgraph_checkpoint_rust._threads import ThreadVerbs
from langgraph_checkpoint_rust.errors import DatabaseCorruptError
from langgraph_checkpoint_rust.reports import RepairReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust._rows import Key

_BATCH = 256


class RepairVerbs(MaintenanceVerbs, ThreadVerbs):
    """`repair`."""

    def repair(self, *, progress: Callable[[int], object] | None = None) -> RepairReport:
        """Deletes what nothing can need any more, and makes the rows of threads anew that are missing.

        Deletions that were interrupted are carried to their end. Chunks go that nothing refers to. Writes go
        whose checkpoint is not stored, if it was made more than 24 hours ago and the thread has stood still
        for that long: LangGraph stores writes before their checkpoint, so younger ones are live. A damaged
        row stays, with all chunks of its thread; `recovery.recover` saves the others.

        Args:
            progress: Called now and then with the checkpoints looked at, with nothing locked. What it raises
                ends the verb.

        Returns:
            What was done.

        Raises:
            DatabaseBusyError: If another writer held the file for `busy_timeout`.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").repair()
            RepairReport(chunks=0, writes=0, threads=0, unread_threads=())
        """
        return self._run(self._repair(progress))

    async def arepair(self, *, progress: Callable[[int], object] | None = None) -> RepairReport:
        """As `repair`."""
        return await self._arun(self._repair(progress))

    def _repair(self, progress: Callable[[int], object] | None) -> Steps[RepairReport]:
        yield from self._open()
        backend = self._store.backend
        yield from finish_deletions(backend)
        early: list[Key] = []
        checkpoints, after = 0, None
        while True:
            more, _, _, _, found, after = yield backend.verify(after)
            checkpoints += more
            early.extend(key[:3] for key in found)
            if progress is not None:
                progress(checkpoints)
            if after is None:
                break
        writes = threads = chunks = 0
        left = True
        while left or early:
            left, done = yield backend.repair(early[:_BATCH])
            del early[:_BATCH]
            writes, threads, chunks = writes + done[0], threads + done[1], chunks + done[2]
        unread = []
        last = ""
        while names := (yield backend.chunked_threads(last)):
            for thread_id in names:
                swept = yield from self._try_sweep(thread_id)
                chunks += swept or 0
                if swept is None:
                    unread.append(thread_id)
            last = names[-1]
        return RepairReport(chunks, writes, threads, tuple(unread))

    def _try_sweep(self, thread_id: str) -> Steps[int | None]:
        """None for a thread that cannot be read."""
        try:
            return (yield from self._sweep(thread_id))
        except DatabaseCorruptError:
            return None
