"""`threads`: the threads of a file."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any, Literal

import typer

from langgraph_checkpoint_rust.cli.opening import reading
from langgraph_checkpoint_rust.cli.options import AsJson, Database, Tenant
from langgraph_checkpoint_rust.cli.output import counted, minute, remark, show, show_json, size, table
from langgraph_checkpoint_rust.reports import Thread, ThreadStatus


def threads(
    database: Database,
    status: Annotated[
        ThreadStatus | None, typer.Option(help="Only threads that stand so.", show_default=False)
    ] = None,
    filter_: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="KEY=VALUE",
            help="Only threads with this in their metadata.",
            show_default=False,
        ),
    ] = None,
    archived: Annotated[bool, typer.Option("--archived", help="Only archived threads.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Archived threads, too.")] = False,
    order: Annotated[
        Literal["updated", "created", "thread_id"],
        typer.Option(help="What comes first: the newest, or the least id."),
    ] = "updated",
    limit: Annotated[int, typer.Option(help="Threads of a page.", min=1)] = 50,
    cursor: Annotated[
        str | None, typer.Option(help="Where the page before ended.", show_default=False)
    ] = None,
    titles: Annotated[
        bool, typer.Option("--titles", help="Show titles and metadata that users gave.")
    ] = False,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Lists threads with their status, without reading their state."""
    chosen: dict[str, Any] = {
        "filter": dict(map(_condition, filter_)) if filter_ else None,
        "status": status,
        "archived": None if everything else archived,
    }
    with reading(database, tenant=tenant) as (_, saver):
        page = saver.list_threads(**chosen, order_by=order, limit=limit, cursor=cursor)
        total = saver.count_threads(**chosen)
    if as_json:
        show_json({"threads": [told(one, titles) for one in page], "total": total, "cursor": page.cursor})
        return
    columns = {"thread": "<", "status": "!", "step": ">!", "next": "<", "checkpoints": ">!", "size": ">!"}
    columns["updated (UTC)"] = "!"
    if titles:
        columns["title"] = "<"
    rows = (
        [
            one.thread_id,
            one.status,
            one.step,
            ", ".join(one.next),
            one.checkpoints,
            size(one.bytes),
            minute(one.updated),
            *([one.title] if titles else ()),
        ]
        for one in page
    )
    show(table(columns, rows))
    remark(f"{len(page)} of {counted(total, 'thread')}")
    if page.cursor is not None:
        remark(f"next page: --cursor {page.cursor}")


def told(thread: Thread, titles: bool) -> dict[str, Any]:
    """A thread as JSON."""
    document = dataclasses.asdict(thread)
    if not titles:
        del document["title"], document["metadata"]
    return document


def _condition(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} is no filter; write KEY=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
