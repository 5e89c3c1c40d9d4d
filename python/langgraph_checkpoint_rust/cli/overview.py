"""`info`, `stats` and `types`: the file as a whole."""

from __future__ import annotations

import heapq
import sqlite3
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from langgraph_checkpoint_rust import __version__
from langgraph_checkpoint_rust._core import build_info
from langgraph_checkpoint_rust.cli.opening import FileFacts, reading, version_of
from langgraph_checkpoint_rust.cli.options import AsJson, Database, Tenant, missing_thread
from langgraph_checkpoint_rust.cli.output import (
    counted,
    facts,
    remark,
    show,
    show_json,
    size,
    table,
)
from langgraph_checkpoint_rust.cli.progress import progress
from langgraph_checkpoint_rust.inspection import stored_types

if TYPE_CHECKING:
    from langgraph_checkpoint_rust import RustSqliteSaver

_STATUSES = ("busy", "interrupted", "error", "pending", "done")
_COSTS = ("live_bytes", "logical_bytes", "stored_bytes")


def info(
    database: Database,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out what reads the whole file: the cost of the state.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What the file is: format, versions, sizes, threads, settings."""
    with reading(database) as (file, saver):
        document = _file_of(file, saver)
        with progress("reading the state"):
            document["state"] = None if quick else _costs(saver.stats(by="channel"))
    if as_json:
        show_json(document)
    else:
        show(_described(document))


def _file_of(file: FileFacts, saver: RustSqliteSaver) -> dict[str, Any]:
    threads = {status: saver.count_threads(status=status, archived=None) for status in _STATUSES}  # type: ignore[arg-type]
    return {
        "path": str(file.path.absolute()),
        "format": saver.format,
        "min_reader": _number(file.meta.get("min_reader")),
        "min_writer": _number(file.meta.get("min_writer")),
        "bytes": file.bytes,
        "wal_bytes": file.wal_bytes,
        "page_size": file.page_size,
        "pages": file.pages,
        "free_pages": file.free_pages,
        "threads": {
            "total": saver.count_threads(archived=None),
            "archived": saver.count_threads(archived=True),
            **threads,
        },
        "journal_mode": file.journal_mode,
        "auto_vacuum": file.auto_vacuum,
        "encoding": file.encoding,
        "user_version": file.user_version,
        "application_id": file.application_id,
        "sqlite": {
            "own": version_of(build_info()[1]),
            "python": sqlite3.sqlite_version,
            "written_by": file.written_by,
        },
        "package": __version__,
    }


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _costs(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if name != "channels"}


def _described(document: dict[str, Any]) -> Any:
    threads = document["threads"]
    told = [f"{threads[status]} {status}" for status in _STATUSES if threads[status]]
    if threads["archived"]:
        told.append(f"{threads['archived']} of them archived")
    versions = (
        "" if document["min_reader"] is None else f", for readers from version {document['min_reader']}"
    )
    lines = {
        "file": document["path"],
        "format": f"{document['format']}{versions}",
        "size": f"{size(document['bytes'])}, {document['pages']:,} pages of {size(document['page_size'])}, "
        f"{document['free_pages']:,} of them free",
        "WAL": size(document["wal_bytes"]),
        "threads": f"{threads['total']:,}" + (f": {', '.join(told)}" if told else ""),
    }
    if (state := document["state"]) is not None:
        lines["stored"] = (
            f"{counted(state['checkpoints'], 'checkpoint')}, {counted(state['writes'], 'write')}"
        )
        live, whole = size(state["live_bytes"]), size(state["stored_bytes"])
        lines["state"] = (
            f"{live} live, {whole} with its history; a copy in every checkpoint would take "
            f"{size(state['logical_bytes'])}, {state['ratio']:g} times that"
        )
    sqlite = document["sqlite"]
    lines["settings"] = (
        f"journal {document['journal_mode']}, auto_vacuum {document['auto_vacuum']}, {document['encoding']}, "
        f"user_version {document['user_version']}, application_id {document['application_id']}"
    )
    versions = f"{sqlite['own']} in this package, {sqlite['python']} in Python"
    lines["SQLite"] = f"{versions}, last written by {sqlite['written_by']}"
    return facts(lines)


def stats(
    database: Database,
    by: Annotated[Literal["channel", "thread"], typer.Option(help="What to add up.")] = "channel",
    thread: Annotated[
        str | None, typer.Option(metavar="THREAD", help="Only this thread, by channel.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(help="Rows of the table, the largest first.", min=1)] = 30,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """What takes the space, by channel or by thread."""
    with reading(database, tenant=tenant) as (_, saver), progress("reading the state"):
        if thread is not None and saver.get_thread(thread) is None:
            raise missing_thread(thread)
        if by == "thread" and thread is None:
            largest = _largest(saver, limit)
            document: dict[str, Any] = {"by": "thread", "threads": largest}
        else:
            document = {"by": "channel", **saver.stats(thread, by="channel")}
    if as_json:
        show_json(document)
    elif by == "thread" and thread is None:
        rows = ((one["thread_id"], one["checkpoints"], size(one["bytes"])) for one in largest)
        show(table({"thread": "<", "checkpoints": ">!", "size": ">!"}, rows))
    else:
        show(_by_channel(document, limit))


def _largest(saver: RustSqliteSaver, limit: int) -> list[dict[str, Any]]:
    # One page: in a file without rows for threads each page looks at all of them.
    everything = saver.list_threads(archived=None, limit=max(1, saver.count_threads(archived=None)))
    largest = heapq.nlargest(limit, everything, key=lambda one: one.bytes)
    return [
        {"thread_id": one.thread_id, "checkpoints": one.checkpoints, "bytes": one.bytes} for one in largest
    ]


def _by_channel(document: dict[str, Any], limit: int) -> Any:
    channels = document["channels"]
    names = sorted(channels, key=lambda name: -channels[name]["stored_bytes"])[:limit]
    rows = [[name or "(shared)", *(size(channels[name][cost]) for cost in _COSTS)] for name in names]
    for name, cost in (("(metadata)", "metadata_bytes"), ("(writes)", "write_bytes")):
        rows.append([name, None, None, size(document[cost])])
    rows.append(["total of the state", *(size(document[cost]) for cost in _COSTS)])
    return table({"channel": "<", "live": ">!", "as copies": ">!", "stored": ">!"}, rows)


def types(
    database: Database,
    everything: Annotated[
        bool, typer.Option("--all", help="List the classes that LangGraph allows anyhow, too.")
    ] = False,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Every class that is stored, found without importing one, as an allow-list to paste."""
    with reading(database, tenant=tenant) as (_, saver), progress("threads") as advance:
        report = stored_types(saver, progress=advance)
    if as_json:
        show_json(
            {
                "types": report.types,
                "allow_list": report.allow_list,
                "checkpoints": report.checkpoints,
                "writes": report.writes,
                "unread": report.unread,
            }
        )
        return
    looked = f"{counted(report.checkpoints, 'checkpoint')} and {counted(report.writes, 'write')}"
    lines = [
        f"# Stored in {looked}, and not allowed by LangGraph itself:",
        "allowed_msgpack_modules = [",
        *(f"    ({module!r}, {name!r})," for module, name in report.allow_list),
        "]",
    ]
    if everything:
        lines += [f"# allowed anyhow: {one.module}.{one.name}" for one in report.types if one.allowed]
    show("\n".join(lines))
    for tag, count in report.unread.items():
        remark(f"{counted(count, 'value')} with the tag {tag!r} can only be read by the app: not looked into")
