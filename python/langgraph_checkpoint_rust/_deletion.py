"""The verbs that delete whole threads.

Each verb's work is one generator of steps (`_bridge`), so its two colours cannot differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph_checkpoint_rust import _config
from langgraph_checkpoint_rust._saver import Saver
from langgraph_checkpoint_rust._slices import deleted, finish_deletions
from langgraph_checkpoint_rust.reports import EraseReport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langgraph_checkpoint_rust._bridge import Steps

_OLD_COPIES = (
    "bytes that SQLite moved from page to page before, in what is unused of pages; compact(full=True) writes "
    "the file anew without them"
)
_BATCH = 256
"""Threads handed to the engine at once."""
_OTHER_FILES = "backups, exports, and what the file system keeps of blocks that were given back"


class DeletionVerbs(Saver):
    """`delete_thread`, `delete_threads` and `erase_thread`."""

    def delete_thread(self, thread_id: str) -> None:
        """Deletes a thread: all namespaces, checkpoints and writes.

        All of it is gone for every reader at once. A thread that is too large for one transaction of
        250 ms is deleted in several, behind a marker; if that is interrupted, the next deletion, `compact` or
        put to the thread goes on with it, in any process. A file in interop format may have no marker: there
        a very large thread loses its oldest checkpoints first; if that is interrupted, call again.

        Args:
            thread_id: The thread. An unknown one is no error.

        Raises:
            DatabaseBusyError: If another writer held the file for `busy_timeout`.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").delete_thread("1")
        """
        self._run(self._delete_thread(thread_id))

    async def adelete_thread(self, thread_id: str) -> None:
        """As `delete_thread`."""
        await self._arun(self._delete_thread(thread_id))

    def _delete_thread(self, thread_id: str) -> Steps[None]:
        yield from self._open()
        yield from deleted(self._store.backend, str(thread_id))

    def delete_threads(
        self, thread_ids: Sequence[str], *, progress: Callable[[int, int], object] | None = None
    ) -> None:
        """Deletes threads in their order, each as `delete_thread` does; small ones share transactions.

        Args:
            thread_ids: The threads. Unknown ones are no error.
            progress: Called after each transaction with the threads done and all threads, with nothing
                locked. What it raises ends the call: the threads done are deleted, the others are whole.

        Raises:
            TypeError: If `thread_ids` is a single `str`.
            DatabaseBusyError: If another writer held the file for `busy_timeout`.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").delete_threads(["1", "2"], progress=print)
            2 2
        """
        self._run(self._delete_threads(thread_ids, progress))

    async def adelete_threads(
        self, thread_ids: Sequence[str], *, progress: Callable[[int, int], object] | None = None
    ) -> None:
        """As `delete_threads`."""
        await self._arun(self._delete_threads(thread_ids, progress))

    def _delete_threads(
        self, thread_ids: Sequence[str], progress: Callable[[int, int], object] | None
    ) -> Steps[None]:
        texts = _config.texts("thread_ids", thread_ids)
        yield from self._open()
        backend = self._store.backend
        done = 0
        while done < len(texts):
            rest, _, more = yield backend.delete_threads(texts[done : done + _BATCH], False)
            done += more
            if rest == "marked":
                yield from finish_deletions(backend)
            if progress is not None and more:
                progress(done, len(texts))

    def erase_thread(self, thread_id: str) -> EraseReport:
        """Deletes a thread and overwrites what it held, in the database and in the WAL.

        The pages and the parts of pages that held it are filled with zeros, and the WAL is emptied. What
        that cannot reach is named in the receipt.

        Args:
            thread_id: The thread. An unknown one is no error.

        Returns:
            What was deleted, and what could not be reached.

        Raises:
            DatabaseBusyError: If another writer held the file for `busy_timeout`.

        Example:
            >>> from langgraph.checkpoint.base import empty_checkpoint
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver("app.db")
            >>> stored = saver.put({"configurable": {"thread_id": "1"}}, empty_checkpoint(), {}, {})
            >>> receipt = saver.erase_thread("1")
            >>> receipt.checkpoints, receipt.wal_emptied
            (1, True)
        """
        return self._run(self._erase_thread(thread_id))

    async def aerase_thread(self, thread_id: str) -> EraseReport:
        """As `erase_thread`."""
        return await self._arun(self._erase_thread(thread_id))

    def _erase_thread(self, thread_id: str) -> Steps[EraseReport]:
        yield from self._open()
        counts = yield from deleted(self._store.backend, str(thread_id), overwrite=True)
        return (yield from self._receipt(counts))

    def _receipt(self, counts: tuple[int, int, int]) -> Steps[EraseReport]:
        """Empties the WAL after something was overwritten, and tells what that cannot reach."""
        wal_emptied, free_pages = yield self._store.backend.scrub()
        unreachable = [_OLD_COPIES]
        if not wal_emptied:
            unreachable.append(
                "the WAL: a reader was in the way, maybe in another process; call erase_thread again later"
            )
        if free_pages:
            unreachable.append(
                f"{free_pages} free pages, as far as they were freed before; compact() gives them back"
            )
        if not self._store.in_memory:
            unreachable.append(_OTHER_FILES)
        return EraseReport(*counts, wal_emptied, tuple(unreachable))
