"""`doctor`: what may be wrong with a file and its surroundings, and what to do about it."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from langgraph_checkpoint_rust import _build
from langgraph_checkpoint_rust._core import build_info
from langgraph_checkpoint_rust.cli.exits import ExitCode
from langgraph_checkpoint_rust.cli.opening import reading, version_of
from langgraph_checkpoint_rust.cli.options import AsJson, Database
from langgraph_checkpoint_rust.cli.output import counted, show, show_json, size, table
from langgraph_checkpoint_rust.cli.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langgraph_checkpoint_rust import RustSqliteSaver
    from langgraph_checkpoint_rust.cli.opening import FileFacts
    from langgraph_checkpoint_rust.reports import VerifyReport

_LARGE_WAL = 256 * 1024 * 1024
_MANY_FREE = 0.25
"""The part of the pages that are free from which giving them back is worth a remark."""
_FIXED_BACK = ((3, 44, 6), (3, 50, 7))
"""Releases of older lines that have the repair of the WAL-reset bug."""


class Check(NamedTuple):
    """A thing that was looked at."""

    name: str
    level: str
    """`"ok"`, `"note"` or `"warning"`."""
    finding: str
    advice: str = ""


def doctor(
    database: Database,
    quick: Annotated[bool, typer.Option("--quick", help="Do not read all rows.")] = False,
    as_json: AsJson = False,
) -> None:
    """Looks at settings, file system, SQLite versions, WAL and orphans. Ends with 1 on a warning."""
    with reading(database, count=not quick) as (file, saver):
        checks = [*_of_file(file, saver), *_of_sqlite(), *_of_surroundings(file.path)]
        if not quick:
            with progress("checkpoints", file.checkpoints) as advance:
                checks += _of_rows(saver.verify(progress=advance))
    if as_json:
        show_json({"checks": [check._asdict() for check in checks], "ok": not _warnings(checks)})
    else:
        rows: list[tuple[Any, ...]] = [(one.level, one.name, one.finding) for one in checks]
        show(table({"": "!", "check": "!", "finding": "<"}, rows), "")
        for check in checks:
            if check.advice:
                show(f"{check.name}: {check.advice}")
    if _warnings(checks):
        raise typer.Exit(ExitCode.FOUND)


def _warnings(checks: list[Check]) -> bool:
    return any(check.level == "warning" for check in checks)


def _of_file(file: FileFacts, saver: RustSqliteSaver) -> Iterator[Check]:
    format_ = saver.format
    if format_ == "interop":
        advice = "if no app needs langgraph-checkpoint-sqlite, `upgrade` makes history cost what changed"
        yield Check("format", "note", "interop: each checkpoint holds the whole state", advice)
    elif format_ == "compact":
        yield Check("format", "ok", "compact")
    else:
        yield Check(
            "format", "warning", f"{format_}: a conversion was interrupted", "run `downgrade` to its end"
        )
    settings = f"journal {file.journal_mode}, auto_vacuum {file.auto_vacuum}, page size {file.page_size}"
    if file.journal_mode == "wal":
        yield Check("settings", "ok", settings)
    else:
        advice = "readers wait for writers; an app that opens the file with journal_mode WAL changes that"
        yield Check("settings", "note", settings, advice)
    free = file.free_pages / max(1, file.pages)
    finding = f"{file.free_pages:,} of {file.pages:,}"
    if free > _MANY_FREE and file.free_pages > 1000:  # noqa: PLR2004 - pages: 4 MiB
        how = "`compact`" if file.auto_vacuum == "incremental" else "`compact --full`"
        yield Check(
            "free pages", "note", finding, f"{how} gives {size(file.free_pages * file.page_size)} back"
        )
    else:
        yield Check("free pages", "ok", finding)
    if file.wal_bytes > _LARGE_WAL:
        advice = (
            "a long-lived reader keeps it from starting afresh; find a process that holds a transaction open"
        )
        yield Check("WAL", "warning", size(file.wal_bytes), advice)
    else:
        yield Check("WAL", "ok", size(file.wal_bytes))


def _of_sqlite() -> Iterator[Check]:
    yield Check("SQLite of this package", "ok", version_of(build_info()[1]))
    version = sqlite3.sqlite_version_info
    least = version_of(_build.LEAST_SQLITE)
    if version_of(_build.LEAST_SQLITE) == sqlite3.sqlite_version or _has_wal_repair(version):
        yield Check("SQLite of Python", "ok", sqlite3.sqlite_version)
    else:
        advice = (
            f"before {least} two connections that write and checkpoint at once can corrupt a database; let "
            "nothing write to this file through Python's sqlite3 (https://sqlite.org/wal.html)"
        )
        yield Check("SQLite of Python", "note", f"{sqlite3.sqlite_version}: has the WAL-reset bug", advice)


def _has_wal_repair(version: tuple[int, int, int]) -> bool:
    number = version[0] * 1_000_000 + version[1] * 1000 + version[2]
    return number >= _build.LEAST_SQLITE or any(
        version[:2] == fixed[:2] and version >= fixed for fixed in _FIXED_BACK
    )


def _of_surroundings(path: Path) -> Iterator[Check]:
    yield Check("file system", "ok", filesystem_of(path))
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO) & ~stat.S_IXGRP & ~stat.S_IXOTH:
        yield Check(
            "mode", "note", f"{mode:04o}: others can read or write it", f"chmod 600 {path}, if they need not"
        )
    else:
        yield Check("mode", "ok", f"{mode:04o}")
    if os.access(path, os.W_OK) and os.access(path.absolute().parent, os.W_OK):
        yield Check("access", "ok", "file and directory can be written")
    else:
        yield Check("access", "warning", "file or directory cannot be written", "the app needs both to write")


def filesystem_of(path: Path) -> str:
    """The type of the file system, as `mount` shows it; Linux only."""
    if sys.platform != "linux":
        return "not looked at on this system"
    absolute, best = path.resolve(), ("", "unknown")
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines():
        _, place, kind, *_ = line.split(" ")
        place = place.encode().decode("unicode_escape")
        if absolute.is_relative_to(place) and len(place) >= len(best[0]):
            best = place, kind
    return best[1]


def _of_rows(report: VerifyReport) -> Iterator[Check]:
    if report.is_ok:
        looked = f"{counted(report.checkpoints, 'checkpoint')} and {counted(report.writes, 'write')}"
        yield Check("integrity", "ok", f"{looked} can be read")
    else:
        threads = counted(len(report.damaged_threads), "thread")
        advice = "`verify` names them; restore a backup, or save the rest with `recover`"
        yield Check("integrity", "warning", f"rows of {threads} cannot be read", advice)
    orphans = len(report.orphan_chunks), len(report.writes_without_checkpoint)
    finding = f"chunks in {counted(orphans[0], 'thread')}, {counted(orphans[1], 'write')} without checkpoint"
    advice = "`repair` deletes what is older than a day" if any(orphans) else ""
    yield Check("orphans", "note" if any(orphans) else "ok", finding, advice)
