"""Saves what can be read of a damaged database.

Example:
    >>> from langgraph.checkpoint.base import empty_checkpoint
    >>> from langgraph_checkpoint_rust import RustSqliteSaver
    >>> from langgraph_checkpoint_rust.recovery import recover
    >>> with RustSqliteSaver("damaged.db") as saver:
    ...     stored = saver.put({"configurable": {"thread_id": "1"}}, empty_checkpoint(), {}, {})
    >>> recover("damaged.db", "recovered.db").checkpoints
    1
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from langgraph_checkpoint_rust._bridge import arun, run
from langgraph_checkpoint_rust._core import Carving, SqliteBackend
from langgraph_checkpoint_rust._slices import noted
from langgraph_checkpoint_rust.errors import DatabaseCorruptError
from langgraph_checkpoint_rust.reports import Finding, RecoverReport
from langgraph_checkpoint_rust.settings import SqliteSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust._core import Survey
    from langgraph_checkpoint_rust._maintenance import StrPath

__all__ = ["arecover", "recover"]


def recover(
    source: StrPath, target: StrPath, *, progress: Callable[[int, int], object] | None = None
) -> RecoverReport:
    """Copies all that can be read of a damaged database into a new one, and says what was lost.

    The source is not changed. Values that do not match their checksum are not copied. Where SQLite's check
    complains, or it cannot read the schema or not even the first page, the rows are read from their pages
    without it, with what is committed in the WAL; that takes as much space again, beside the target, until
    it is done.
    Names of what is lost are told by the indexes and by other rows, as far as those can be read.
    What users said of threads (titles, metadata, pins, times to live, archived ones) is copied too.

    Args:
        source: The damaged file. Stop what uses it first.
        target: The file to make, in the same format.
        progress: Called with the keys done and all keys that were found; with zeros while there is no schema
            to find them by. What it raises ends the call and leaves no file.

    Returns:
        What was saved, and what was lost, by thread.

    Raises:
        FileExistsError: If the target exists.
        DatabaseCorruptError: If there is not one row of a checkpoint in it.

    Example:
        >>> from langgraph.checkpoint.base import empty_checkpoint
        >>> from langgraph_checkpoint_rust import RustSqliteSaver
        >>> from langgraph_checkpoint_rust.recovery import recover
        >>> with RustSqliteSaver("damaged.db") as saver:
        ...     stored = saver.put({"configurable": {"thread_id": "1"}}, empty_checkpoint(), {}, {})
        >>> recover("damaged.db", "recovered.db").lost_threads
        ()
    """
    recovery = _Recovery(source, target)
    try:
        return run(recovery.steps(progress))
    except BaseException:
        recovery.discard()
        raise
    finally:
        recovery.close()


async def arecover(
    source: StrPath, target: StrPath, *, progress: Callable[[int, int], object] | None = None
) -> RecoverReport:
    """As `recover`."""
    recovery = _Recovery(source, target)
    try:
        return await arun(recovery.steps(progress))
    except BaseException:
        recovery.discard()
        raise
    finally:
        recovery.close()


class _Recovery:
    def __init__(self, source: StrPath, target: StrPath) -> None:
        if not Path(source).is_file():
            raise FileNotFoundError(f"`{os.fspath(source)}` is not there")
        self._source = Path(source).absolute()
        self._target = Path(target).absolute()
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._from = _damaged(self._source)
        self._to: SqliteBackend | None = None
        self._carved: Path | None = None

    def steps(self, progress: Callable[[int, int], object] | None) -> Steps[RecoverReport]:
        survey = yield from self._survey(progress)
        format_ = yield self._from.format()
        self._target.touch(mode=0o600, exist_ok=False)
        self._to = SqliteBackend(
            self._target,
            SqliteSettings(
                journal_mode="DELETE",
                synchronous="FULL",
                format="interop" if format_ == "interop" else "compact",
            ),
        )
        lost = [Finding(*fields) for fields in survey.lost]
        threads: set[str] = set()
        checkpoints = writes = place = 0
        while place < len(survey):
            thread_id, rows, more, place = yield self._from.salvage(survey, place)
            lost += [Finding(*fields) for fields in more]
            if rows:
                yield self._to.write_thread(thread_id, rows)
                threads.add(thread_id)
            checkpoints += sum(row[2] is not None for row in rows)
            writes += sum(len(row[3]) for row in rows)
            if progress is not None:
                progress(place, len(survey))
        for thread_id in sorted(threads):
            lost += yield from self._notes_lost(self._to, thread_id)
        return RecoverReport(len(threads), checkpoints, writes, tuple(lost), survey.gaps)

    def _survey(self, progress: Callable[[int, int], object] | None) -> Steps[Survey]:
        """Finds what can be read: through SQLite, or, where its check complains, on the pages themselves."""
        try:
            survey: Survey = yield self._from.survey(None, 0)
        except DatabaseCorruptError:
            carved = yield from self._carve(None, progress)
            if carved is None:
                raise
            return carved
        # A schema that is gone may look like that of an empty database.
        if not (len(survey) or survey.lost) or (yield self._from.integrity()):
            return (yield from self._carve(survey, progress)) or survey
        return survey

    def _carve(
        self, before: Survey | None, progress: Callable[[int, int], object] | None
    ) -> Steps[Survey | None]:
        """Reads the rows from the pages, into a database to go on with; None if there are none."""
        carved = self._target.with_name(f"{self._target.name}.carved")
        carved.touch(mode=0o600, exist_ok=False)
        self._carved = carved
        carving = Carving(self._source, carved)
        try:
            is_over = False
            while not is_over:
                is_over, _, _, rows, gaps = yield carving.step()
                if progress is not None and not is_over:
                    progress(0, 0)
        except BaseException:
            yield carving.abandon()
            raise
        if not rows:
            return None
        self._from.close()
        self._from = _damaged(carved)
        survey: Survey = yield self._from.survey(before, gaps)
        return survey

    def _notes_lost(self, target: SqliteBackend, thread_id: str) -> Steps[list[Finding]]:
        """Saves what users said of a thread; what was found if that cannot be read."""
        try:
            yield from noted(self._from, thread_id, target, thread_id)
        except DatabaseCorruptError:
            return [Finding(thread_id, "", "", "its title and what else was said of it cannot be read")]
        return []

    def close(self) -> None:
        self._from.close()
        if self._to is not None:
            self._to.close()
        if self._carved is not None:
            self._carved.unlink(missing_ok=True)

    def discard(self) -> None:
        if self._to is not None:
            self._to.close()
            self._target.unlink(missing_ok=True)


def _damaged(path: Path) -> SqliteBackend:
    """A file to read only."""
    return SqliteBackend(path, SqliteSettings(read_only=True, journal_mode="DELETE"))
