"""`show` and `diff`: the checkpoints of a thread, and what is in them."""

from __future__ import annotations

import dataclasses
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langgraph_checkpoint_rust.cli import states, tree
from langgraph_checkpoint_rust.cli.exits import ExitCode
from langgraph_checkpoint_rust.cli.listing import told
from langgraph_checkpoint_rust.cli.opening import reading
from langgraph_checkpoint_rust.cli.options import AsJson, Database, NoRedact, Tenant, ThreadId, missing_thread
from langgraph_checkpoint_rust.cli.output import counted, facts, remark, show, show_json, size, table
from langgraph_checkpoint_rust.inspection import Step, timeline
from langgraph_checkpoint_rust.inspection import diff as changes_between

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langgraph_checkpoint_rust.reports import Thread

Namespace = Annotated[
    str, typer.Option(metavar="NS", help="The namespace of a subgraph.", show_default=False)
]


def show_(
    database: Database,
    thread_id: ThreadId,
    as_tree: Annotated[bool, typer.Option("--tree", help="Oldest first, with forks.")] = False,
    state: Annotated[bool, typer.Option("--state", help="Print the values of one checkpoint.")] = False,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="CHECKPOINT", help="For --state: an id, its beginning, or a step.", show_default="newest"
        ),
    ] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="For --state: only these channels.", show_default=False),
    ] = None,
    no_redact: NoRedact = False,
    namespace: Namespace = "",
    subgraphs: Annotated[
        bool, typer.Option("--subgraphs", help="The checkpoints of subgraphs, too.")
    ] = False,
    limit: Annotated[int, typer.Option(help="At most so many checkpoints, the newest.", min=1)] = 100,
    tenant: Tenant = None,
    json_: AsJson = False,
) -> None:
    """The history of a thread: steps, nodes, writes, sizes. Values only with --state."""
    with reading(database, tenant=tenant) as (_, saver):
        thread = saver.get_thread(thread_id)
        if thread is None:
            raise missing_thread(thread_id)
        within = None if subgraphs else namespace
        found = list(islice(timeline(saver, thread_id, checkpoint_ns=within, limit=limit + 1), limit + 1))
        stored = None
        if state:
            stored = states.load(saver, thread_id, namespace, checkpoint).shown(channel, redact=not no_redact)
    steps, more = found[:limit], len(found) > limit
    if json_:
        show_json(
            {
                "thread": told(thread, titles=False),
                "checkpoints": list(map(_document, steps)),
                "more": more,
                "state": None if stored is None else stored.document(),
            }
        )
    elif stored is not None:
        show(*stored.lines())
    else:
        show(_heading(thread), "", tree.drawn(steps) if as_tree else _rows(steps, namespaces=subgraphs))
        if more:
            remark(f"the newest {limit} checkpoints; --limit shows more")


def _document(step: Step) -> dict[str, Any]:
    """A step as JSON, without what users said."""
    document = dataclasses.asdict(step)
    return document | {"interrupts": len(step.interrupts), "errors": len(step.errors)}


def _heading(thread: Thread) -> Any:
    return facts(
        {
            "thread": thread.thread_id,
            "status": thread.status,
            "checkpoints": thread.checkpoints,
            "size": size(thread.bytes),
            "created": thread.created,
            "updated": thread.updated,
        }
    )


def _rows(steps: Iterable[Step], *, namespaces: bool) -> Any:
    columns = {"step": ">!", "source": "!", "checkpoint": "!", "writes": ">!", "size": ">!", "next": "<"}
    if namespaces:
        columns["namespace"] = "<"
    return table(
        columns,
        (
            [
                step.step,
                step.source,
                step.checkpoint_id,
                step.writes,
                size(step.bytes),
                states.next_of(step),
                *([step.checkpoint_ns] if namespaces else ()),
            ]
            for step in steps
        ),
    )


def diff(
    database: Database,
    thread_id: ThreadId,
    checkpoints: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CHECKPOINT",
            help="A and B, or B: by default the newest, and its parent. Ids, their beginnings, or steps.",
            show_default=False,
        ),
    ] = None,
    state: Annotated[bool, typer.Option("--state", help="Print the values that differ.")] = False,
    no_redact: NoRedact = False,
    namespace: Namespace = "",
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with 1 if there is a difference.")
    ] = False,
    tenant: Tenant = None,
    json_: AsJson = False,
) -> None:
    """What changed in the state from checkpoint A to checkpoint B."""
    named = checkpoints or []
    if len(named) > len(("A", "B")):
        raise typer.BadParameter("two checkpoints can be compared, not more")
    with reading(database, tenant=tenant) as (_, saver):
        if saver.get_thread(thread_id) is None:
            raise missing_thread(thread_id)
        after = states.load(saver, thread_id, namespace, named[-1] if named else None)
        older = named[0] if len(named) > 1 else after.parent_id
        before = states.load(saver, thread_id, namespace, older) if older else states.nothing(namespace)
    # What is masked is compared first: a secret that changed is a change.
    changes = changes_between(before.values, after.values)
    masked = [states.masked(change, redact=not no_redact) for change in changes]
    if json_:
        listed = [states.change_document(change, values=state) for change in masked]
        show_json({"before": before.checkpoint_id, "after": after.checkpoint_id, "changes": listed})
    else:
        remark(
            f"{before.checkpoint_id or 'nothing'} to {after.checkpoint_id}: {counted(len(changes), 'change')}"
        )
        show(*(states.change_line(change, values=state) for change in masked))
    if exit_code and changes:
        raise typer.Exit(ExitCode.FOUND)
