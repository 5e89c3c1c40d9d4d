"""The verbs on the file's format and size: `upgrade`, `downgrade` and `compact`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

from langgraph_checkpoint_rust._maintenance import MaintenanceVerbs
from langgraph_checkpoint_rust._slices import finish_deletions
from langgraph_checkpoint_rust._threads import ThreadVerbs
from langgraph_checkpoint_rust.errors import DiskFullError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from langgraph_checkpoint_rust._bridge import Steps

Progress: TypeAlias = "Callable[[int, int], object] | None"
"""Called with what is done and the whole."""


class Compacted(TypedDict):
    """What `compact` did.

    Attributes:
        chunks: Chunks deleted that nothing referred to.
        pages: Pages given back to the file system.
        free_pages: Pages that are free and still in the file.
        can_shrink: False for a file made without `auto_vacuum`: its free pages are used again, and
            never given back.
    """

    chunks: int
    pages: int
    free_pages: int
    can_shrink: bool


class FormatVerbs(MaintenanceVerbs, ThreadVerbs):
    """`upgrade`, `downgrade` and `compact`."""

    def upgrade(
        self, *, backup: str | Path | None = None, vacuum: bool = True, progress: Progress = None
    ) -> None:
        """Converts the file to the compact format, while others go on using it.

        Each row that is converted is read back and compared before it is committed. If the call is
        interrupted, the file is as good as before, and the next call does the rest. Processes that run an
        older version of this package, or `langgraph-checkpoint-sqlite`, are refused from the first moment.
        Last, the file is written anew without the space that became free: other writers wait for that.

        Args:
            backup: Where a copy of the file goes first; None for none.
            vacuum: Whether to write the file anew; else `compact(full=True)` does it later.
            progress: Called with rows done and all rows, now and then; what it raises ends the call.

        Raises:
            DiskFullError: If the backup, or twice the file, does not fit on the disk. Nothing was changed.
            FileExistsError: If there is something at `backup`.
            DatabaseBusyError: If another writer held the file for `busy_timeout`.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver(":memory:", format="interop")
            >>> saver.upgrade()
            >>> saver.format
            'compact'
        """
        self._begin(backup)
        self._run(self._convert("compact", progress, vacuum=vacuum), "upgrade")

    async def aupgrade(
        self, *, backup: str | Path | None = None, vacuum: bool = True, progress: Progress = None
    ) -> None:
        """As `upgrade`."""
        await self._abegin(backup)
        await self._arun(self._convert("compact", progress, vacuum=vacuum), "upgrade")

    def downgrade(self, *, backup: str | Path | None = None, progress: Progress = None) -> None:
        """Converts the file to the format of `langgraph-checkpoint-sqlite`, row for row as it writes them.

        Interrupted, it is as good as before, and the next call does the rest; until the end, upstream's
        savers are refused. The file grows to what upstream takes.

        Args:
            backup: Where a copy of the file goes first; None for none.
            progress: Called with rows done and all rows, now and then; what it raises ends the call.

        Raises:
            DiskFullError: If the backup does not fit on the disk, or the disk is full half-way.
            FileExistsError: If there is something at `backup`.
            DatabaseBusyError: If another writer held the file for `busy_timeout`.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver(":memory:")
            >>> saver.downgrade()
            >>> saver.format
            'interop'
        """
        self._begin(backup)
        self._run(self._convert("interop", progress), "downgrade")

    async def adowngrade(self, *, backup: str | Path | None = None, progress: Progress = None) -> None:
        """As `downgrade`."""
        await self._abegin(backup)
        await self._arun(self._convert("interop", progress), "downgrade")

    def _begin(self, backup: str | Path | None) -> None:
        self._run_part(self._open())
        self._check_space()
        if backup is not None:
            self.backup(backup)

    async def _abegin(self, backup: str | Path | None) -> None:
        await self._arun_part(self._open())
        self._check_space()
        if backup is not None:
            await self.abackup(backup)

    def _convert(
        self, target: Literal["compact", "interop"], progress: Progress, *, vacuum: bool = False
    ) -> Steps[None]:
        total = yield self._store.backend.count_rows()
        done = None
        while True:
            done = yield self._store.backend.convert(target, done)
            if progress is not None:
                progress(total if done is None else min(done[2], total), total)
            if done is None:
                self._store.format = target
                break
        if vacuum:
            yield self._store.backend.rebuild()

    def _check_space(self) -> None:
        """A conversion adds its result before the old rows' space is free, and logs both."""
        if self._store.in_memory:
            return
        path = Path(self._store.path)
        needed, free = 2 * path.stat().st_size, shutil.disk_usage(path.parent).free
        if free < needed:
            raise DiskFullError(
                f"converting `{path}` may take {needed / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free; "
                "nothing was changed; free space and retry"
            )

    def compact(self, *, full: bool = False, progress: Callable[[int], object] | None = None) -> Compacted:
        """Deletes chunks that nothing refers to, and gives free pages back to the file system.

        Runs in slices of at most 250 ms, beside other writers. What is stored stays; only what an
        interrupted verb, a replaced checkpoint or a foreign DELETE left behind goes.

        Args:
            full: Writes the whole file anew (`VACUUM`): the only way for a file that cannot shrink, which can
                from then on. Other writers wait for all of it, and it takes twice the file's space.
            progress: Called with the number of threads done, now and then; what it raises ends the call.

        Returns:
            What was deleted and given back.

        Raises:
            DatabaseBusyError: If another writer held the file for `busy_timeout`.
            DatabaseCorruptError: If a stored value of a thread cannot be read: nothing of it was deleted.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").compact()["chunks"]
            0
        """
        return self._run(self._compact(full, progress))

    async def acompact(
        self, *, full: bool = False, progress: Callable[[int], object] | None = None
    ) -> Compacted:
        """As `compact`."""
        return await self._arun(self._compact(full, progress))

    def _compact(self, full: bool, progress: Callable[[int], object] | None) -> Steps[Compacted]:
        yield from self._open()
        backend = self._store.backend
        done = chunks = pages = 0
        yield from finish_deletions(backend)
        after = ""
        while threads := (yield backend.chunked_threads(after)):
            for thread_id in threads:
                chunks += yield from self._sweep(thread_id)
            after = threads[-1]
            done += len(threads)
            if progress is not None:
                progress(done)
        if full:
            self._check_space()
            yield backend.rebuild()
        freed = 1
        while freed:
            can_shrink, freed, left = yield backend.vacuum()
            pages += freed
        return {"chunks": chunks, "pages": pages, "free_pages": left, "can_shrink": can_shrink}
