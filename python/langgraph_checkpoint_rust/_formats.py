"""The verbs on the file's format and size: `upgrade`, `downgrade`, `compact` and `optimize`."""

from __future__ import annotations

import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

from langgraph_checkpoint_rust._maintenance import MaintenanceVerbs
from langgraph_checkpoint_rust._slices import finish_deletions
from langgraph_checkpoint_rust._threads import ThreadVerbs
from langgraph_checkpoint_rust.errors import DatabaseBusyError, DiskFullError
from langgraph_checkpoint_rust.reports import ConversionReport, OptimizeReport

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust._maintenance import StrPath

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
    """`upgrade`, `downgrade`, `compact` and `optimize`."""

    def upgrade(
        self, *, backup: StrPath | bool | None = True, vacuum: bool = True, progress: Progress = None
    ) -> ConversionReport:
        """Converts the file to the compact format, while others go on using it.

        Each row that is converted is read back and compared before it is committed. If the call is
        interrupted, the file is as good as before, and the next call does the rest. Processes that run an
        older version of this package, or `langgraph-checkpoint-sqlite`, are refused from the first moment.
        Last, the file is written anew without the space that became free: other writers wait for that.

        Args:
            backup: Where a copy of the file goes first; False or None for none. True is
                `<file>.before-upgrade-<UTC time>.db` beside the file, unless it is compact already, or the
                call goes on with an upgrade that was interrupted, whose first call made the backup.
            vacuum: Whether to write the file anew; else `compact(full=True)` does it later.
            progress: Called with rows done and all rows, now and then; what it raises ends the call.

        Returns:
            How many rows were looked at, and where the backup is.

        Raises:
            DiskFullError: If the backup and twice the file do not fit on the disk. Nothing was changed.
            FileExistsError: If there is something at `backup`.
            DatabaseBusyError: If another writer held the file for `busy_timeout`. Before the first slice that
                leaves all as it was, without a backup.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver(":memory:", format="interop")
            >>> saver.upgrade()
            ConversionReport(format='compact', rows=0, backup=None)
            >>> saver.format
            'compact'
        """
        copy = self._run_part(self._backup_before("upgrade", backup))
        if copy is not None:
            self.backup(copy)
        return self._run(self._convert("compact", copy, progress, vacuum=vacuum), "upgrade")

    async def aupgrade(
        self, *, backup: StrPath | bool | None = True, vacuum: bool = True, progress: Progress = None
    ) -> ConversionReport:
        """As `upgrade`."""
        copy = await self._arun_part(self._backup_before("upgrade", backup))
        if copy is not None:
            await self.abackup(copy)
        return await self._arun(self._convert("compact", copy, progress, vacuum=vacuum), "upgrade")

    def downgrade(
        self, *, backup: StrPath | bool | None = True, progress: Progress = None
    ) -> ConversionReport:
        """Converts the file to the format of `langgraph-checkpoint-sqlite`, row for row as it writes them.

        Interrupted, it is as good as before, and the next call does the rest; until the end, upstream's
        savers are refused. The file grows to what upstream takes.

        Args:
            backup: As in `upgrade`; True is `<file>.before-downgrade-<UTC time>.db`.
            progress: Called with rows done and all rows, now and then; what it raises ends the call.

        Returns:
            How many rows were looked at, and where the backup is.

        Raises:
            DiskFullError: If the backup does not fit on the disk, or the disk is full half-way.
            FileExistsError: If there is something at `backup`.
            DatabaseBusyError: If another writer held the file for `busy_timeout`.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver(":memory:")
            >>> saver.downgrade().format
            'interop'
        """
        copy = self._run_part(self._backup_before("downgrade", backup))
        if copy is not None:
            self.backup(copy)
        return self._run(self._convert("interop", copy, progress), "downgrade")

    async def adowngrade(
        self, *, backup: StrPath | bool | None = True, progress: Progress = None
    ) -> ConversionReport:
        """As `downgrade`."""
        copy = await self._arun_part(self._backup_before("downgrade", backup))
        if copy is not None:
            await self.abackup(copy)
        return await self._arun(self._convert("interop", copy, progress), "downgrade")

    def _backup_before(
        self, verb: Literal["upgrade", "downgrade"], backup: StrPath | bool | None
    ) -> Steps[Path | None]:
        """Where a conversion's backup goes, once there is space for both."""
        yield from self._open()
        copy = None
        if backup is True:
            format_ = yield self._store.backend.format()
            if format_ == ("interop" if verb == "upgrade" else "compact") and not self._store.in_memory:
                now = datetime.now(timezone.utc)
                copy = Path(f"{self._store.path}.before-{verb}-{now:%Y%m%dT%H%M%S.%fZ}.db")
        elif backup:
            copy = Path(backup)
        self._check_space(copy)
        return copy

    def _convert(
        self,
        target: Literal["compact", "interop"],
        backup: Path | None,
        progress: Progress,
        *,
        vacuum: bool = False,
    ) -> Steps[ConversionReport]:
        total = yield self._store.backend.count_rows()
        done = None
        while True:
            try:
                done = yield self._store.backend.convert(target, done)
            except DatabaseBusyError:
                if done is None and backup is not None:
                    # Nothing was changed, and the next call makes a backup of what is there then.
                    backup.unlink()
                raise
            if progress is not None:
                progress(total if done is None else min(done[2], total), total)
            if done is None:
                self._store.format = target
                break
        if vacuum:
            yield self._store.backend.rebuild()
        return ConversionReport(target, total, backup)

    def _check_space(self, backup: Path | None = None) -> None:
        """A conversion adds its result before the old rows' space is free, and logs both."""
        if self._store.in_memory:
            return
        path = Path(self._store.path)
        size, directory = path.stat().st_size, path.absolute().parent
        needs = {directory: 2 * size}
        if backup is not None:
            # A directory that is missing is made on the file system of the nearest one that is there.
            kept_in = next(parent for parent in backup.absolute().parents if parent.exists())
            if kept_in.stat().st_dev == directory.stat().st_dev:
                needs[directory] += size
            else:
                needs[kept_in] = size
        for place, needed in needs.items():
            free = shutil.disk_usage(place).free
            if free < needed:
                raise DiskFullError(
                    f"converting `{path}` may take {needed / 1e6:.0f} MB in `{place}`, and "
                    f"{free / 1e6:.0f} MB are free; nothing was changed; free space and retry"
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

    def optimize(self, *, progress: Callable[[int], object] | None = None) -> OptimizeReport:
        """Tidies up in idle hours: all that lies about and costs space or time goes.

        Deletions that were interrupted are carried to their end, chunks that nothing refers to go, free pages
        go back to the file system, and the WAL is emptied. In slices of at most 250 ms, beside other writers;
        emptying the WAL waits for readers for at most a second. Interrupted, it is as good as before.

        It gathers no statistics (`ANALYZE`, `PRAGMA optimize`): each query has one plan, and statistics that
        were gathered while a file was small make some of them scan whole tables later.

        Args:
            progress: Called with the number of threads done, now and then; what it raises ends the call.

        Returns:
            What went.

        Raises:
            DatabaseBusyError: If another writer held the file for `busy_timeout`.
            DatabaseCorruptError: If a stored value of a thread cannot be read: nothing of it was deleted.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver("app.db").optimize().wal_emptied
            True
        """
        return self._run(self._optimize(progress))

    async def aoptimize(self, *, progress: Callable[[int], object] | None = None) -> OptimizeReport:
        """As `optimize`."""
        return await self._arun(self._optimize(progress))

    def _optimize(self, progress: Callable[[int], object] | None) -> Steps[OptimizeReport]:
        compacted = yield from self._compact(False, progress)
        wal_emptied, free_pages = yield self._store.backend.scrub()
        return OptimizeReport(compacted["chunks"], compacted["pages"], free_pages, wal_emptied)
