"""The page of a thread: its checkpoints, newest first, with the lines that forks make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.exceptions import HTTPException

from langgraph_checkpoint_rust.inspection import namespaces, timeline
from langgraph_checkpoint_rust.ui._graph import Row, draw
from langgraph_checkpoint_rust.ui._nodes import Budget, Node, shortened
from langgraph_checkpoint_rust.ui._query import link, required

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.datastructures import QueryParams

    from langgraph_checkpoint_rust.inspection import Step
    from langgraph_checkpoint_rust.reports import Thread
    from langgraph_checkpoint_rust.ui._database import Database

PAGE = 40
MOST_BYTES = 64 << 20
"""A page ends early once the states that it looked at are this large."""
MOST_BRANCHES = 50
"""Branches whose lines go on on the next page: its address names where each leads."""
MOST_NAMESPACES = 100
MOST_OF_ERROR = 300
"""Characters of what a node raised; the page of the checkpoint has more."""


class Entry(NamedTuple):
    """A checkpoint in the timeline."""

    step: Step
    row: Row
    link: str
    ran: tuple[str, ...]
    """The nodes that were to run before it."""
    interrupts: list[Node]
    errors: list[str]


def history(database: Database, query: QueryParams) -> dict[str, Any]:
    """What the page of a thread shows.

    Args:
        database: The file.
        query: `thread`, `ns` for the namespace, `before`, where the page before ended, and `lane`, once for
            each checkpoint that its lines lead to.

    Returns:
        The template's variables.

    Raises:
        HTTPException: 404 if nothing is stored of the thread.
    """
    thread = thread_of(database, query)
    thread_id, checkpoint_ns, before = thread.thread_id, query.get("ns", ""), query.get("before")
    steps = list(_page(timeline(database.saver, thread_id, checkpoint_ns=checkpoint_ns, before=before)))
    more = len(steps) > 1 and _is_full(steps[:-1])
    # The last one is looked at for what ran before the others, and begins the next page.
    shown = steps[:-1] if more else steps
    rows, lanes = draw(((step.checkpoint_id, step.parent_id) for step in shown), _lanes(query))
    nodes_of = {step.checkpoint_id: step.next for step in steps}
    budget = Budget(redact=database.redact, nodes=400)
    place = {"thread": thread_id, "ns": checkpoint_ns}
    entries = [
        Entry(
            step,
            row,
            link("checkpoint", **place, id=step.checkpoint_id),
            nodes_of.get(step.parent_id or "", ()),
            [budget.value(value) for value in step.interrupts],
            [shortened(budget.text(error), MOST_OF_ERROR) for error in step.errors],
        )
        for step, row in zip(shown, rows, strict=True)
    ]
    spaces, all_known = namespaces(database.saver, thread_id, limit=MOST_NAMESPACES)
    open_lanes = [lane or "" for lane in lanes[:MOST_BRANCHES]]
    return {
        "thread": thread,
        "metadata": budget.value(dict(thread.metadata)),
        "ns": checkpoint_ns,
        "namespaces": spaces,
        "namespaces_end": all_known,
        "entries": entries,
        "is_first": before is None,
        "newest": link("thread", **place) if before else None,
        "older": link("thread", **place, before=shown[-1].checkpoint_id, lane=open_lanes) if more else None,
        "storage_link": link("storage", thread=thread_id),
    }


def thread_of(database: Database, query: QueryParams) -> Thread:
    """The thread that the query names.

    Raises:
        HTTPException: 400 if it names none, 404 if nothing is stored of it.
    """
    thread = database.saver.get_thread(required(query, "thread"))
    if thread is None:
        raise HTTPException(404, "Nothing is stored of this thread: it may have been deleted meanwhile.")
    return thread


def _page(steps: Iterator[Step]) -> Iterator[Step]:
    """The steps of a page, and one more."""
    page: list[Step] = []
    for step in steps:
        yield step
        if _is_full(page):
            return
        page.append(step)


def _is_full(page: list[Step]) -> bool:
    return len(page) >= PAGE or sum(step.bytes for step in page) > MOST_BYTES


def _lanes(query: QueryParams) -> list[str | None]:
    return [lane or None for lane in query.getlist("lane")[:MOST_BRANCHES]]
