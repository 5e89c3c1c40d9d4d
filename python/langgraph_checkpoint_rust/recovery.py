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
from langgraph_checkpoint_rust._core import SqliteBackend
from langgraph_checkpoint_rust.reports import Finding, RecoverReport
from langgraph_checkpoint_rust.settings import SqliteSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust._maintenance import StrPath

__all__ = ["arecover", "recover"]


def recover(
    source: StrPath, target: StrPath, *, progress: Callable[[int, int], object] | None = None
) -> RecoverReport:
    """Copies all that can be read of a damaged database into a new one, and says what was lost.

    The source is not changed. Tables are read by row id, around the pages that cannot be read; values that do
    not match their checksum are not copied. Of rows that were on such pages the index tells the names.
    What users said of threads (titles, pins) is not copied.

    Args:
        source: The damaged file. Stop what uses it first.
        target: The file to make, in the same format.
        progress: Called with the keys done and all keys that were found. What it raises ends the call and
            leaves no file.

    Returns:
        What was saved, and what was lost, by thread.

    Raises:
        FileExistsError: If the target exists.
        DatabaseCorruptError: If not even the schema can be read.

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
        self._target = Path(target).absolute()
        self._target.parent.mkdir(parents=True, exist_ok=True)
        settings = SqliteSettings()
        self._from = SqliteBackend(
            os.fspath(source), settings.replace({"read_only": True, "journal_mode": "DELETE"})
        )
        self._to: SqliteBackend | None = None

    def steps(self, progress: Callable[[int, int], object] | None) -> Steps[RecoverReport]:
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
        survey = yield self._from.survey()
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
        return RecoverReport(len(threads), checkpoints, writes, tuple(lost), survey.gaps)

    def close(self) -> None:
        self._from.close()
        if self._to is not None:
            self._to.close()

    def discard(self) -> None:
        if self._to is not None:
            self._to.close()
            self._target.unlink(missing_ok=True)
