"""`verify`, `repair`, `recover`, `compact` and `optimize`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langgraph_checkpoint_rust import recovery
from langgraph_checkpoint_rust.cli.copies import refuse_existing
from langgraph_checkpoint_rust.cli.exits import ExitCode
from langgraph_checkpoint_rust.cli.opening import WAIT, path_of, reading, writing
from langgraph_checkpoint_rust.cli.options import AsJson, Database, NewFile, Timeout, Yes
from langgraph_checkpoint_rust.cli.output import counted, remark_dry_run, show, show_json, size, table
from langgraph_checkpoint_rust.cli.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langgraph_checkpoint_rust.reports import Finding, VerifyReport

_FINDINGS = {
    "damaged": "damaged",
    "missing_parents": "parent not stored",
    "writes_without_checkpoint": "checkpoint not stored",
    "orphan_chunks": "orphaned",
}
_MOST_SHOWN = 50


def verify(database: Database, as_json: AsJson = False) -> None:
    """Reads all that is stored to its end. Ends with 1 if something cannot be read."""
    with (
        reading(database, count=True) as (facts, saver),
        progress("checkpoints", facts.checkpoints) as advance,
    ):
        report = saver.verify(progress=advance)
    if as_json:
        show_json(
            {"ok": report.is_ok, **dataclasses.asdict(report), "damaged_threads": report.damaged_threads}
        )
    else:
        for complaint in report.integrity:
            show(f"SQLite: {complaint}")
        show_findings({what: getattr(report, name) for name, what in _FINDINGS.items()})
        show(_verdict(report))
    if not report.is_ok:
        raise typer.Exit(ExitCode.FOUND)


def _verdict(report: VerifyReport) -> str:
    looked = f"{counted(report.checkpoints, 'checkpoint')} and {counted(report.writes, 'write')} looked at"
    if report.is_ok:
        return f"ok: {looked}; all can be read"
    damaged = counted(len(report.damaged_threads), "thread")
    return f"damaged: {looked}; rows of {damaged} cannot be read; restore a backup, or see `recover`"


def show_findings(found: dict[str, Iterable[Finding]]) -> None:
    """What was found, as a table, unless it is nothing."""
    rows = [
        (what, one.thread_id, one.checkpoint_id or None, one.detail)
        for what, list_ in found.items()
        for one in list_
    ]
    if rows:
        show(table({"": "!", "thread": "<", "checkpoint": "!", "detail": "<"}, rows[:_MOST_SHOWN]), "")
    if len(rows) > _MOST_SHOWN:
        show(f"and {len(rows) - _MOST_SHOWN} more; --json lists all")


def repair(database: Database, yes: Yes = False, timeout: Timeout = WAIT, as_json: AsJson = False) -> None:
    """Deletes what nothing can need any more, and makes missing rows of threads anew."""
    with (
        writing(database, timeout, yes=yes) as (facts, saver),
        progress("checkpoints", facts.checkpoints) as advance,
    ):
        if yes:
            done: dict[str, Any] = dataclasses.asdict(saver.repair(progress=advance))
        else:
            report = saver.verify(progress=advance)
            done = {
                "orphan_chunks": report.orphan_chunks,
                "writes_without_checkpoint": report.writes_without_checkpoint,
                "unread_threads": report.damaged_threads,
            }
    if as_json:
        show_json({"dry_run": not yes, **done})
        return
    if yes:
        show(
            f"deleted {counted(done['chunks'], 'chunk')} and {counted(done['writes'], 'write')}, made "
            f"{counted(done['threads'], 'row')} of threads anew"
        )
    else:
        findings = {
            "orphaned": done["orphan_chunks"],
            "checkpoint not stored": done["writes_without_checkpoint"],
        }
        show_findings(findings)
        threads = counted(len(done["orphan_chunks"]), "thread")
        writes = counted(len(done["writes_without_checkpoint"]), "write")
        show(
            f"would delete orphaned chunks of {threads}, and of {writes} without checkpoint what is a day old"
        )
    for thread_id in done["unread_threads"]:
        show(f"thread {thread_id} has damaged rows: nothing of it is deleted; see `recover`")
    remark_dry_run(yes)


def recover(database: Database, file: NewFile, as_json: AsJson = False) -> None:
    """Saves what can be read of a damaged file in a new one. Ends with 1 if something was lost."""
    path = path_of(database)
    refuse_existing(file)
    with progress("rows") as advance:
        report = recovery.recover(path, file, progress=advance)
    if as_json:
        show_json({"file": str(file), **dataclasses.asdict(report), "lost_threads": report.lost_threads})
    else:
        show_findings({"lost": report.lost})
        show(
            f"{file}: {counted(report.checkpoints, 'checkpoint')} and {counted(report.writes, 'write')} of "
            f"{counted(report.threads, 'thread')} saved; {counted(len(report.lost), 'row')} lost"
        )
    if report.lost or report.gaps:
        raise typer.Exit(ExitCode.FOUND)


def compact(
    database: Database,
    full: Annotated[
        bool, typer.Option("--full", help="Write the whole file anew; others wait meanwhile.")
    ] = False,
    timeout: Timeout = WAIT,
    as_json: AsJson = False,
) -> None:
    """Gives free pages back to the file system. Deletes only what nothing refers to."""
    with (
        writing(database, timeout) as (facts, saver),
        progress("threads", saver.count_threads(archived=None)) as advance,
    ):
        done = saver.compact(full=full, progress=advance)
    after = facts.path.stat().st_size
    if as_json:
        show_json({**done, "bytes_before": facts.bytes, "bytes_after": after})
        return
    show(f"{size(facts.bytes)} before, {size(after)} now; {counted(done['chunks'], 'chunk')} deleted")
    if done["free_pages"] and not done["can_shrink"]:
        show(f"{counted(done['free_pages'], 'page')} free that this file cannot give back; --full can")


def optimize(database: Database, timeout: Timeout = WAIT, as_json: AsJson = False) -> None:
    """Tidies up in idle hours: as `compact`, and empties the WAL. Deletes only what nothing refers to."""
    with (
        writing(database, timeout) as (_, saver),
        progress("threads", saver.count_threads(archived=None)) as advance,
    ):
        report = saver.optimize(progress=advance)
    if as_json:
        show_json(dataclasses.asdict(report))
        return
    show(f"{counted(report.chunks, 'chunk')} deleted, {counted(report.pages, 'page')} given back")
    if not report.wal_emptied:
        show("the WAL is not empty: a reader was in the way, maybe in another process; try again later")
