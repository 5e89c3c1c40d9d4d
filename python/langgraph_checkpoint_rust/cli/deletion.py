"""`prune`, `retention`, `delete` and `erase`: dry runs unless `--yes` is given."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langgraph_checkpoint_rust import RetentionPolicy
from langgraph_checkpoint_rust.cli.marks import require_threads
from langgraph_checkpoint_rust.cli.opening import WAIT, writing
from langgraph_checkpoint_rust.cli.options import (
    AsJson,
    Database,
    Tenant,
    ThreadIds,
    Timeout,
    Yes,
    bytes_of,
    duration_option,
)
from langgraph_checkpoint_rust.cli.output import counted, remark, remark_dry_run, show, show_json, size, table
from langgraph_checkpoint_rust.cli.progress import progress
from langgraph_checkpoint_rust.reports import PruneReport, RetentionReport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langgraph_checkpoint_rust import RustSqliteSaver

_PAGE = 1000


def prune(
    database: Database,
    thread_ids: Annotated[
        list[str] | None, typer.Argument(metavar="THREAD", help="The threads.", show_default=False)
    ] = None,
    every_thread: Annotated[bool, typer.Option("--all", help="All threads that are not pinned.")] = False,
    keep_last: Annotated[int, typer.Option(help="Checkpoints of each namespace that stay.", min=1)] = 1,
    older_than: Annotated[timedelta | None, duration_option("Only what is older: 90s, 12h, 30d ...")] = None,
    yes: Yes = False,
    timeout: Timeout = WAIT,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Deletes old checkpoints; what a kept one needs stays."""
    if bool(thread_ids) == every_thread:
        raise typer.BadParameter("name threads, or pass --all")
    with writing(database, timeout, yes=yes, tenant=tenant) as (_, saver), progress("threads") as advance:
        require_threads(saver, thread_ids or [])
        chosen = thread_ids or [thread.thread_id for thread in _threads(saver) if not thread.pinned]
        total = PruneReport()
        for done, thread_id in enumerate(chosen, 1):
            report = saver.prune([thread_id], keep_last=keep_last, older_than=older_than, dry_run=not yes)
            fields = dataclasses.astuple(total), dataclasses.astuple(report)
            total = PruneReport(*map(sum, zip(*fields, strict=True)))
            advance(done, len(chosen))
    if as_json:
        show_json({"dry_run": not yes, **dataclasses.asdict(total)})
        return
    verb = "deleted" if yes else "would delete"
    show(f"{verb} {_weight(total)}, of {counted(total.threads, 'thread')}")
    remark_dry_run(yes)


def _threads(saver: RustSqliteSaver) -> Iterator[Any]:
    cursor = None
    while True:
        page = saver.list_threads(archived=None, order_by="thread_id", limit=_PAGE, cursor=cursor)
        yield from page
        cursor = page.cursor
        if cursor is None:
            break


def _weight(report: PruneReport | RetentionReport) -> str:
    rows = f"{counted(report.checkpoints, 'checkpoint')}, {counted(report.writes, 'write')}"
    return f"{rows}, about {size(report.bytes)}"


def retention(
    database: Database,
    keep_last: Annotated[
        int | None, typer.Option(help="Checkpoints of each namespace that stay.", min=1, show_default=False)
    ] = None,
    max_age: Annotated[timedelta | None, duration_option("Older checkpoints go, but for the newest.")] = None,
    done_after: Annotated[
        timedelta | None,
        duration_option("Threads go so long after their last checkpoint if nothing is left to do."),
    ] = None,
    thread_idle_for: Annotated[
        timedelta | None, duration_option("Threads go that are idle for so long.")
    ] = None,
    max_bytes: Annotated[
        int | None,
        typer.Option(
            parser=bytes_of, metavar="SIZE", help="Idle threads go if the file is larger.", show_default=False
        ),
    ] = None,
    archive_to: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A database that threads go to first.", show_default=False),
    ] = None,
    yes: Yes = False,
    timeout: Timeout = WAIT,
    as_json: AsJson = False,
) -> None:
    """Applies a retention policy once. Threads whose time to live is over go, too; pinned ones stay."""
    policy = RetentionPolicy(
        keep_last=keep_last,
        max_age=max_age,
        done_after=done_after,
        thread_idle_for=thread_idle_for,
        max_bytes=max_bytes,
        archive_to=archive_to,
    )
    with writing(database, timeout, yes=yes) as (_, saver), progress("applying the policy"):
        report = saver.apply_retention(policy, dry_run=not yes)
    if as_json:
        show_json(
            {
                **dataclasses.asdict(report),
                "checkpoints": report.checkpoints,
                "writes": report.writes,
                "bytes": report.bytes,
            }
        )
        return
    if report.threads:
        rows = (
            (one.thread_id, one.reason, one.checkpoints, one.writes, size(one.bytes))
            for one in report.threads
        )
        columns = {"thread": "<", "reason": "!", "checkpoints": ">!", "writes": ">!", "size": ">!"}
        show(table(columns, rows))
    verb = "deleted" if yes else "would delete"
    show(f"{verb} {_weight(report)}, of {counted(len(report.threads), 'thread')}")
    remark_dry_run(yes)


def delete(
    database: Database,
    thread_ids: ThreadIds,
    yes: Yes = False,
    timeout: Timeout = WAIT,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Deletes threads: all namespaces, checkpoints and writes."""
    with writing(database, timeout, yes=yes, tenant=tenant) as (_, saver):
        going = _going(saver, thread_ids)
        if yes:
            with progress("threads") as advance:
                saver.delete_threads(thread_ids, progress=advance)
    if as_json:
        show_json({"dry_run": not yes, "threads": going})
        return
    _show_going(going, yes)


def erase(
    database: Database,
    thread_ids: ThreadIds,
    yes: Yes = False,
    timeout: Timeout = WAIT,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Deletes threads and overwrites what they held; a receipt names what that could not reach."""
    receipts: list[dict[str, Any]] = []
    with writing(database, timeout, yes=yes, tenant=tenant) as (_, saver):
        going = _going(saver, thread_ids)
        if yes:
            with progress("threads") as advance:
                for done, thread_id in enumerate(thread_ids, 1):
                    receipts.append(
                        {"thread_id": thread_id, **dataclasses.asdict(saver.erase_thread(thread_id))}
                    )
                    advance(done, len(thread_ids))
    if as_json:
        show_json({"dry_run": not yes, "threads": going, "receipts": receipts})
        return
    _show_going(going, yes)
    for place in dict.fromkeys(place for receipt in receipts for place in receipt["unreachable"]):
        show(f"not reached: {place}")


def _going(saver: RustSqliteSaver, thread_ids: list[str]) -> list[dict[str, Any]]:
    """The threads that go. All are there."""
    require_threads(saver, thread_ids)
    threads = [saver.get_thread(thread_id) for thread_id in thread_ids]
    return [
        {"thread_id": one.thread_id, "status": one.status, "checkpoints": one.checkpoints, "bytes": one.bytes}
        for one in threads
        if one is not None
    ]


def _show_going(going: list[dict[str, Any]], yes: bool) -> None:
    rows = ((one["thread_id"], one["status"], one["checkpoints"], size(one["bytes"])) for one in going)
    show(table({"thread": "<", "status": "!", "checkpoints": ">!", "size": ">!"}, rows))
    remark(f"{'deleted' if yes else 'would delete'} {counted(len(going), 'thread')}")
    remark_dry_run(yes)
