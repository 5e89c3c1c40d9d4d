"""`copy`, `export`, `import`, `backup` and `restore`: threads and files from place to place."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import typer

from langgraph_checkpoint_rust.cli.exits import CommandError, ExitCode
from langgraph_checkpoint_rust.cli.marks import require_threads
from langgraph_checkpoint_rust.cli.opening import WAIT, facts_of, reading, require_checkpoints, writing
from langgraph_checkpoint_rust.cli.options import (
    AsJson,
    Database,
    NewFile,
    Tenant,
    ThreadId,
    Timeout,
    Yes,
    missing_thread,
)
from langgraph_checkpoint_rust.cli.output import counted, remark_dry_run, show, show_json, size
from langgraph_checkpoint_rust.cli.progress import progress

SourceFile = Annotated[Path, typer.Argument(metavar="FILE", help="The file.", show_default=False)]


def copy(
    database: Database,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The thread to copy.", show_default=False)],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The thread to make.", show_default=False)],
    up_to: Annotated[
        str | None,
        typer.Option(
            metavar="CHECKPOINT", help="Only this checkpoint and its ancestors.", show_default=False
        ),
    ] = None,
    last: Annotated[
        int | None, typer.Option(help="Only so many of the newest.", min=1, show_default=False)
    ] = None,
    on_existing: Annotated[
        Literal["refuse", "merge", "replace"],
        typer.Option(help="If the target exists. All but refuse need --yes."),
    ] = "refuse",
    yes: Yes = False,
    timeout: Timeout = WAIT,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Copies a thread, or a part of it, to another thread of the file."""
    with writing(database, timeout, tenant=tenant) as (_, saver):
        require_threads(saver, [source])
        existing = saver.get_thread(target)
        if existing is not None and on_existing == "refuse":
            raise CommandError(ExitCode.REFUSED, f"thread {target!r} exists; see --on-existing")
        done = yes or existing is None
        if done:
            saver.copy_thread(source, target, up_to=up_to, last=last, on_existing=on_existing)
        made = saver.get_thread(target)
    count = made.checkpoints if done and made is not None else 0
    if as_json:
        show_json({"dry_run": not done, "source": source, "target": target, "checkpoints": count})
        return
    if done:
        show(f"{target} has {counted(count, 'checkpoint')}")
    else:
        show(f"would {on_existing} thread {target}, which exists")
    remark_dry_run(done)


def export(
    database: Database, thread_id: ThreadId, file: NewFile, tenant: Tenant = None, as_json: AsJson = False
) -> None:
    """Writes a thread to a file of its own, which any SQLite saver opens."""
    with reading(database, tenant=tenant) as (_, saver):
        if saver.get_thread(thread_id) is None:
            raise missing_thread(thread_id)
        refuse_existing(file)
        report = saver.export_thread(thread_id, file)
    if as_json:
        show_json({"file": str(file), **dataclasses.asdict(report)})
    else:
        show(f"{file}: {counted(report.checkpoints, 'checkpoint')}, {counted(report.writes, 'write')}")


def import_(
    database: Database,
    file: SourceFile,
    thread_id: Annotated[
        str | None, typer.Option("--as", metavar="THREAD", help="Its id here.", show_default="its own")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace that thread if it exists. Needs --yes.")
    ] = False,
    yes: Yes = False,
    timeout: Timeout = WAIT,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Stores the thread of a file that `export` made."""
    with reading(str(file)) as (_, source):
        found = [one.thread_id for one in source.list_threads(archived=None, limit=2)]
        if len(found) != 1:
            raise CommandError(ExitCode.REFUSED, f"`{file}` does not hold exactly one thread")
    target = thread_id or found[0]
    with writing(database, timeout, tenant=tenant) as (_, saver):
        existing = saver.get_thread(target)
        if existing is not None and not replace:
            raise CommandError(
                ExitCode.REFUSED, f"thread {target!r} exists; pass --as ANOTHER, or --replace --yes"
            )
        done = yes or existing is None
        report = None
        if done:
            on_existing = "refuse" if existing is None else "replace"
            report = saver.import_thread(file, thread_id=target, on_existing=on_existing)
    if as_json:
        show_json(
            {
                "dry_run": not done,
                "thread_id": target,
                **({} if report is None else dataclasses.asdict(report)),
            }
        )
        return
    if report is not None:
        show(f"{target}: {counted(report.checkpoints, 'checkpoint')}, {counted(report.writes, 'write')}")
    else:
        show(f"would replace thread {target}")
    remark_dry_run(done)


def backup(database: Database, file: NewFile, as_json: AsJson = False) -> None:
    """Copies the database, as of one moment, while others go on writing."""
    with reading(database) as (_, saver):
        refuse_existing(file)
        with progress("pages") as advance:
            report = saver.backup(file, progress=advance)
    if as_json:
        show_json({"file": str(file), **dataclasses.asdict(report)})
    else:
        show(f"{file}: {size(report.bytes)}, {counted(report.pages, 'page')}, {report.seconds:.1f} s")


def restore(
    database: Database, file: SourceFile, yes: Yes = False, timeout: Timeout = WAIT, as_json: AsJson = False
) -> None:
    """Replaces all that the database holds by what a backup holds. Nobody else may have it open."""
    kept = facts_of(str(file))
    require_checkpoints(kept)
    with writing(database, timeout, yes=yes) as (facts, saver):
        if yes:
            with progress("pages") as advance:
                saver.restore(file, progress=advance)
        else:
            threads = saver.count_threads(archived=None)
    if as_json:
        show_json({"dry_run": not yes, "file": str(file), "pages": kept.pages, "bytes": kept.bytes})
        return
    if yes:
        show(f"restored {facts.path} from {file}: {size(kept.bytes)}")
    else:
        show(
            f"would replace the {counted(threads, 'thread')} ({size(facts.bytes)}) of {facts.path} by {file} "
            f"({size(kept.bytes)})"
        )
    remark_dry_run(yes)


def refuse_existing(file: Path) -> None:
    """Ends the command if the file to make exists."""
    if file.exists():
        raise CommandError(ExitCode.REFUSED, f"`{file}` exists; nothing is overwritten")
