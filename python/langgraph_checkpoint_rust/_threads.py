"""The verbs on whole threads and runs.

Each verb's work is one generator of steps (`_bridge`), so its two colours cannot differ.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from langgraph_checkpoint_rust import _config
from langgraph_checkpoint_rust._deletion import DeletionVerbs
from langgraph_checkpoint_rust._slices import finish_deletions
from langgraph_checkpoint_rust.reports import PruneReport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust._core import Removal
    from langgraph_checkpoint_rust._rows import Keep

_PRUNE_STRATEGIES = ("keep_latest", "delete")
_MOST_KEPT = 2**31
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
        self._run(self._delete_for_runs(run_ids))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """As `delete_for_runs`."""
        await self._arun(self._delete_for_runs(run_ids))

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

        The copy gets the title and the metadata of its source, unless it has its own. It is not pinned, not
        archived, and lives by the saver's default: those were said of the other thread.

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
        self._run(self._copy_thread(source_thread_id, target_thread_id, up_to, last, on_existing))

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
        await self._arun(self._copy_thread(source_thread_id, target_thread_id, up_to, last, on_existing))

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

    def prune(  # type: ignore[override]
        self,
        thread_ids: Sequence[str],
        *,
        strategy: str = "keep_latest",
        keep_last: int = 1,
        older_than: timedelta | float | None = None,
        dry_run: bool = False,
    ) -> PruneReport:
        """Deletes history, as `PostgresSaver.prune` documents it, and for `DeltaChannel` threads too.

        `"keep_latest"` keeps the newest checkpoints of each namespace with their pending writes, what
        descends from them, the ancestors that their delta channels are rebuilt from, and the parent
        that holds the pending sends of a checkpoint from before version 4. A kept checkpoint whose
        parent went has none. The namespace of a subgraph call goes with the root checkpoint that it
        started from. Writes whose checkpoint is still to come stay. `"delete"` keeps nothing.

        Each thread is pruned in one transaction, a very long one in several of at most 250 ms. A run that
        appends to the thread meanwhile is safe; to fork or replay from a checkpoint that is being deleted
        is not.

        Args:
            thread_ids: The threads. Unknown ones are no error.
            strategy: `"keep_latest"` or `"delete"`.
            keep_last: How many of the newest checkpoints of each namespace stay.
            older_than: Only what was made longer ago goes: a timedelta, or seconds. The time is the one in
                the checkpoint's id, or its `ts`; a checkpoint without either stays.
            dry_run: Whether to tell only what would go.

        Returns:
            What went or would go.

        Raises:
            TypeError: If `thread_ids` is a single `str`, or `keep_last` or `older_than` no number.
            ValueError: If the strategy is unknown, a number is out of range, or `"delete"` shall keep
                something.
            DatabaseBusyError: If another writer held the file for `busy_timeout`; the threads before
                are pruned, and retrying is safe.

        Example:
            >>> from datetime import timedelta
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver(":memory:")
            >>> saver.prune(["1"], keep_last=20, older_than=timedelta(days=30), dry_run=True)
            PruneReport(threads=0, checkpoints=0, writes=0, bytes=0)
        """
        return self._run(self._prune(thread_ids, _keep_of(strategy, keep_last, older_than), dry_run))

    async def aprune(  # type: ignore[override]
        self,
        thread_ids: Sequence[str],
        *,
        strategy: str = "keep_latest",
        keep_last: int = 1,
        older_than: timedelta | float | None = None,
        dry_run: bool = False,
    ) -> PruneReport:
        """As `prune`."""
        return await self._arun(self._prune(thread_ids, _keep_of(strategy, keep_last, older_than), dry_run))

    def _prune(self, thread_ids: Sequence[str], keep: Keep, dry_run: bool) -> Steps[PruneReport]:
        report = PruneReport()
        for thread_id in dict.fromkeys(_config.texts("thread_ids", thread_ids)):
            yield from self._open()
            removal = yield from self._with_shapes(self._store.backend.prune, thread_id, keep)
            if not dry_run:
                yield from self._remove(removal)
            report = _added(report, removal)
        return report

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


def _keep_of(strategy: str, keep_last: int, older_than: timedelta | float | None) -> Keep:
    if strategy not in _PRUNE_STRATEGIES:
        raise ValueError(f"Unknown prune strategy: {strategy!r}; use one of {', '.join(_PRUNE_STRATEGIES)}")
    if isinstance(keep_last, bool) or not isinstance(keep_last, int):
        raise TypeError(f"keep_last must be an int, not {type(keep_last).__name__}")
    if not 1 <= keep_last < _MOST_KEPT:
        raise ValueError(f'keep_last must be at least 1, not {keep_last}; strategy="delete" keeps nothing')
    since = (
        None
        if older_than is None
        else round((time.time() - _config.seconds("older_than", older_than)) * 1000)
    )
    if strategy == "keep_latest":
        return keep_last, since
    if keep_last != 1 or since is not None:
        raise ValueError('strategy="delete" keeps nothing: drop keep_last and older_than')
    return None


def _added(report: PruneReport, removal: Removal) -> PruneReport:
    checkpoints, writes, weight = removal.weight
    return PruneReport(
        report.threads + bool(checkpoints or writes),
        report.checkpoints + checkpoints,
        report.writes + writes,
        report.bytes + weight,
    )
