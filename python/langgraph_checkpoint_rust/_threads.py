"""The verbs on whole threads and runs.

Each verb's work is one generator of steps (`_bridge`), so its two colours cannot differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph_checkpoint_rust import _config
from langgraph_checkpoint_rust._bridge import arun, run
from langgraph_checkpoint_rust._deletion import DeletionVerbs, finish_deletions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust._core import Removal


_PRUNE_STRATEGIES = ("keep_latest", "delete")
_ON_EXISTING = ("merge", "refuse", "replace")


_MOST_SWEEPS = 8


class ThreadVerbs(DeletionVerbs):
    """`delete_for_runs`, `copy_thread` and `prune`."""

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Deletes the checkpoints whose metadata names one of the runs, with their writes.

        The metadata of the whole file is scanned: upstream's tables have no index to ask, and may
        get none. A live thread whose `DeltaChannel` needs a deleted checkpoint loses that history.

        Args:
            run_ids: The runs. Unknown ones are no error.

        Raises:
            TypeError: If `run_ids` is a single `str`.
            DatabaseBusyError: If another writer held the file for `busy_timeout`.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").delete_for_runs(["run-1"])
        """
        run(self._delete_for_runs(run_ids))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """As `delete_for_runs`."""
        await self._store.resolve()
        await arun(self._delete_for_runs(run_ids))

    def _delete_for_runs(self, run_ids: Sequence[str]) -> Steps[None]:
        texts = _config.texts("run_ids", run_ids)
        if texts:
            yield from self._open()
            removal = yield self._store.backend.delete_for_runs(texts)
            yield from self._remove(removal)

    def copy_thread(
        self,
        source_thread_id: str,
        target_thread_id: str,
        *,
        up_to: str | None = None,
        last: int | None = None,
        on_existing: str = "merge",
    ) -> None:
        """Copies the checkpoints and writes of a thread, or of a part of it; ids and parents stay the same.

        Args:
            source_thread_id: The thread to copy. An unknown one is no error.
            target_thread_id: The thread to copy to.
            up_to: Copies this checkpoint of the root graph and its ancestors, what subgraphs did from
                there, and what reading that needs.
            last: Copies no more than so many of them, the newest ones; the oldest then has no parent,
                unless a `DeltaChannel` needs it.
            on_existing: What to do if the target exists. `"merge"`: what has the same ids is replaced, the
                rest stays. `"refuse"`: fail. `"replace"`: delete it first, in the same transaction if both
                are small.

        Raises:
            ValueError: If `up_to` is not stored, `last` is below 1, `on_existing` is another word, or the
                target exists and may not be replaced.
            DatabaseBusyError: If another writer held the file for `busy_timeout`.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").copy_thread("1", "2", last=10, on_existing="refuse")
        """
        run(self._copy_thread(source_thread_id, target_thread_id, up_to, last, on_existing))

    async def acopy_thread(
        self,
        source_thread_id: str,
        target_thread_id: str,
        *,
        up_to: str | None = None,
        last: int | None = None,
        on_existing: str = "merge",
    ) -> None:
        """As `copy_thread`."""
        await self._store.resolve()
        await arun(self._copy_thread(source_thread_id, target_thread_id, up_to, last, on_existing))

    def _copy_thread(
        self,
        source_thread_id: str,
        target_thread_id: str,
        up_to: str | None,
        last: int | None,
        on_existing: str,
    ) -> Steps[None]:
        if on_existing not in _ON_EXISTING:
            raise ValueError(f"unknown on_existing {on_existing!r}; use one of {', '.join(_ON_EXISTING)}")
        if last is not None and last < 1:
            raise ValueError(f"last must be at least 1, not {last}")
        yield from self._open()
        backend = self._store.backend
        threads = str(source_thread_id), str(target_thread_id)
        without = None
        if up_to is not None or last is not None:
            name = None if up_to is None else str(up_to)
            without = yield from self._with_shapes(backend.select, threads[0], name, last)
        progress = None
        while True:
            is_deleting, left = yield backend.copy_thread(*threads, without, on_existing, progress)
            if is_deleting:
                yield from finish_deletions(backend)
                continue
            progress = left
            if left is None:
                break

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Deletes history, as `PostgresSaver.prune` documents it, and for `DeltaChannel` threads too.

        `"keep_latest"` keeps the latest checkpoint of each namespace with its pending writes, what
        descends from it, the ancestors that its delta channels are rebuilt from, and the parent
        that holds the pending sends of a checkpoint from before version 4. A kept checkpoint whose
        parent went has none. The namespace of a subgraph call goes with the root checkpoint that it
        started from. Writes whose checkpoint is still to come stay. `"delete"` keeps nothing.

        Each thread is pruned in one transaction, a very long one in several of at most 250 ms. A run that
        appends to the thread meanwhile is safe; to fork or replay from a checkpoint that is being deleted
        is not.

        Args:
            thread_ids: The threads. Unknown ones are no error.
            strategy: `"keep_latest"` or `"delete"`.

        Raises:
            TypeError: If `thread_ids` is a single `str`.
            ValueError: If the strategy is unknown.
            DatabaseBusyError: If another writer held the file for `busy_timeout`; the threads before
                are pruned, and retrying is safe.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").prune(["1"], strategy="keep_latest")
        """
        run(self._prune(thread_ids, strategy))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """As `prune`."""
        await self._store.resolve()
        await arun(self._prune(thread_ids, strategy))

    def _prune(self, thread_ids: Sequence[str], strategy: str) -> Steps[None]:
        texts = _config.texts("thread_ids", thread_ids)
        if strategy not in _PRUNE_STRATEGIES:
            raise ValueError(
                f"Unknown prune strategy: {strategy!r}; use one of {', '.join(_PRUNE_STRATEGIES)}"
            )
        for thread_id in texts:
            if strategy == "delete":
                yield from self._delete_thread(thread_id)
                continue
            yield from self._open()
            removal = yield from self._with_shapes(self._store.backend.prune, thread_id)
            yield from self._remove(removal)

    def _remove(self, removal: Removal) -> Steps[None]:
        """Removes what a verb found: at once, or, where that would keep other writers waiting, in slices.

        Nothing found is removed too, so that a file that cannot be written says so.
        """
        done = yield self._store.backend.remove(removal, 0)
        while done < len(removal):
            done = yield self._store.backend.remove(removal, done)
        for thread_id in removal.thread_ids:
            yield from self._sweep(thread_id)

    def _sweep(self, thread_id: str) -> Steps[int]:
        """Deletes the chunks of a thread that nothing refers to any more; how many.

        A put that comes in between makes the search begin anew. What a busy thread then keeps goes with its
        next sweep.
        """
        for _ in range(_MOST_SWEEPS):
            garbage = yield self._store.backend.garbage(thread_id)
            changed, progress = False, (0, 0) if len(garbage) else None
            while progress is not None:
                changed, progress = yield self._store.backend.sweep(garbage, progress)
            if not changed:
                return len(garbage)
        return 0
