"""The verbs on the whole database.

Each verb's work is one generator of steps (`_bridge`), so its two colours cannot differ.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

from langgraph_checkpoint_rust._saver import Saver
from langgraph_checkpoint_rust.errors import DatabaseCorruptError
from langgraph_checkpoint_rust.reports import CopyReport, Finding, VerifyReport

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust._core import Copying

    Progress: TypeAlias = Callable[[int, int], object] | None
    StrPath: TypeAlias = str | os.PathLike[str]


class MaintenanceVerbs(Saver):
    """`backup`, `restore` and `verify`."""

    def backup(self, path: StrPath, *, progress: Progress = None) -> CopyReport:
        """Copies the database, as of one moment, to a new file, while others go on reading and writing.

        To copy the file by other means loses the commits that are still in the WAL. The copy is one
        file, readable by its owner only, that every saver and SQLite itself can open. While it is made
        the WAL cannot start afresh, so it grows with what is written meanwhile; in `journal_mode="DELETE"`
        writers wait for it. A process that is killed meanwhile leaves an empty database, never half of one.

        Args:
            path: The file to make. Missing directories are made.
            progress: Called with the pages copied and the pages there are, some 100 times a second, with
                nothing locked. What it raises ends the backup and leaves no file, unless all is copied.

        Returns:
            How much was copied.

        Raises:
            FileExistsError: If the file exists: nothing is overwritten.
            DiskFullError: If no space is left for it; it is removed again.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> with RustSqliteSaver("app.db") as saver:
            ...     report = saver.backup("backup.db", progress=lambda done, total: None)
            >>> report.bytes == report.pages * 4096
            True
        """
        self._run_part(self._open())
        return self._carry_out("backup", self._store.backend.backup(os.fspath(path)), progress)

    async def abackup(self, path: StrPath, *, progress: Progress = None) -> CopyReport:
        """As `backup`. `progress` is called in the awaiting task; a cancelled backup leaves no file."""
        await self._arun_part(self._open())
        return await self._acarry_out("backup", self._store.backend.backup(os.fspath(path)), progress)

    def restore(self, path: StrPath, *, progress: Progress = None) -> CopyReport:
        """Replaces all that the database holds by what a backup holds, in place and all at once.

        The backup is checked first. The saver lets go of the file meanwhile, and its verbs raise
        `DatabaseInUseError`; afterwards it goes on with the new content. A killed process leaves the old
        content or the new.

        Args:
            path: A backup, or any other database of checkpoints.
            progress: As in `backup`. What it raises leaves the old content, unless all is copied.

        Returns:
            How much was copied.

        Raises:
            DatabaseInUseError: If another process, another saver or a call of this process uses the
                database; in `journal_mode="DELETE"` a process shows only while it reads or writes.
            DatabaseCorruptError: If the backup is damaged or no database.
            ValueError: If it holds no checkpoints or is the database itself, or this saver is in memory.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> with RustSqliteSaver("app.db") as saver:
            ...     made = saver.backup("backup.db")
            ...     saver.restore("backup.db").pages == made.pages
            True
        """
        return self._carry_out("restore", self._store.backend.restore(os.fspath(path)), progress)

    async def arestore(self, path: StrPath, *, progress: Progress = None) -> CopyReport:
        """As `restore`. `progress` is called in the awaiting task."""
        await self._store.resolve()
        return await self._acarry_out("restore", self._store.backend.restore(os.fspath(path)), progress)

    def _carry_out(self, verb: str, copying: Copying, progress: Progress) -> CopyReport:
        try:
            return self._run(_copied(copying, progress), verb)
        except BaseException:
            self._run_part(_abandoned(copying))
            raise

    async def _acarry_out(self, verb: str, copying: Copying, progress: Progress) -> CopyReport:
        try:
            return await self._arun(_copied(copying, progress), verb)
        except BaseException:
            await asyncio.shield(self._arun_part(_abandoned(copying)))
            raise

    def verify(self, *, progress: Callable[[int], object] | None = None) -> VerifyReport:
        """Reads all that is stored to its end, without importing a class, and runs SQLite's own check.

        The rows are read in slices. SQLite's check reads the file in one transaction, during which the
        WAL cannot start afresh; Ctrl-C and cancellation stop it.

        Args:
            progress: Called after each slice with the checkpoints looked at, with nothing locked. What
                it raises ends the verb.

        Returns:
            What was found, by thread; `is_ok` says whether all can be read. What only its serializer can
            read, such as encrypted data, is taken as it is.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").verify().is_ok
            True
        """
        return self._run(self._verify(progress))

    async def averify(self, *, progress: Callable[[int], object] | None = None) -> VerifyReport:
        """As `verify`."""
        return await self._arun(self._verify(progress))

    def _verify(self, progress: Callable[[int], object] | None) -> Steps[VerifyReport]:
        yield from self._open()
        integrity = tuple((yield self._store.backend.integrity()))
        if integrity:
            report = yield from self._verify_damaged(integrity, progress)
            if report.damaged:
                return report
        checkpoints = writes = 0
        found: tuple[list[Finding], ...] = ([], [], [])
        after = None
        while True:
            more, more_writes, *findings, after = yield self._store.backend.verify(after)
            checkpoints += more
            writes += more_writes
            for known, new in zip(found, findings, strict=True):
                known.extend(Finding(*fields) for fields in new)
            if progress is not None:
                progress(checkpoints)
            if after is None:
                break
        orphans = yield from self._verify_chunks(found[0])
        damaged, parents, early = map(tuple, found)
        return VerifyReport(checkpoints, writes, integrity, damaged, parents, early, orphans)

    def _verify_damaged(
        self, integrity: tuple[str, ...], progress: Callable[[int], object] | None
    ) -> Steps[VerifyReport]:
        """Reads what is left of a damaged file, by row; the index names what was on lost pages."""
        survey = yield self._store.backend.survey(None, 0)
        damaged = [Finding(*fields) for fields in survey.lost]
        checkpoints = writes = place = 0
        while place < len(survey):
            _, rows, lost, place = yield self._store.backend.salvage(survey, place)
            damaged.extend(Finding(*fields) for fields in lost)
            checkpoints += sum(row[2] is not None for row in rows)
            writes += sum(len(row[3]) for row in rows)
            if progress is not None:
                progress(checkpoints)
        return VerifyReport(checkpoints, writes, integrity, tuple(dict.fromkeys(damaged)))

    def _verify_chunks(self, damaged: list[Finding]) -> Steps[tuple[Finding, ...]]:
        """The threads with chunks that nothing refers to."""
        orphans: list[Finding] = []
        last = ""
        while threads := (yield self._store.backend.chunked_threads(last)):
            for thread_id in threads:
                count = yield from self._count_garbage(thread_id, damaged)
                if count:
                    orphans.append(Finding(thread_id, "", "", f"{count} chunks that nothing refers to"))
            last = threads[-1]
        return tuple(orphans)

    def _count_garbage(self, thread_id: str, damaged: list[Finding]) -> Steps[int]:
        try:
            return len((yield self._store.backend.garbage(thread_id)))
        except DatabaseCorruptError as error:
            if not any(known.thread_id == thread_id for known in damaged):
                damaged.append(Finding(thread_id, "", "", str(error)))
            return 0


def _abandoned(copying: Copying) -> Steps[None]:
    yield copying.abandon()


def _copied(copying: Copying, progress: Progress) -> Steps[CopyReport]:
    since = time.monotonic()
    while True:
        over, done, total, page_size = yield copying.step()
        if over:
            break
        if progress is not None:
            progress(done, total)
    seconds = time.monotonic() - since
    if progress is not None:
        progress(total, total)
    return CopyReport(total, total * page_size, seconds)
