"""The page of a checkpoint: its state, what changed, what waits, what is written; and that of one channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from langgraph.checkpoint.serde.types import ERROR, INTERRUPT
from starlette.exceptions import HTTPException

from langgraph_checkpoint_rust.inspection import StoredObject
from langgraph_checkpoint_rust.inspection.rendering import is_secret_name
from langgraph_checkpoint_rust.ui._changes import changes_of, is_steering
from langgraph_checkpoint_rust.ui._history import thread_of
from langgraph_checkpoint_rust.ui._nodes import MOST_ITEMS, Budget, Node
from langgraph_checkpoint_rust.ui._query import link, number, required

if TYPE_CHECKING:
    from langgraph.checkpoint.base import CheckpointTuple
    from starlette.datastructures import QueryParams

    from langgraph_checkpoint_rust.ui._database import Database

MOST_COMPARED = 16 << 20
"""Bytes of two states together, beyond which they are compared only when asked to."""
MOST_WRITES = 100


class Channel(NamedTuple):
    """A channel and its value."""

    is_steering: bool
    node: Node
    link: str


class Write(NamedTuple):
    """What a node wrote, or that it raised or waits."""

    task: str
    channel: str
    kind: str
    value: Node


def checkpoint(database: Database, query: QueryParams) -> dict[str, Any]:
    """What the page of a checkpoint shows.

    Args:
        database: The file.
        query: `thread`, `ns`, `id`; `against`, the checkpoint to compare with, its parent if it is not given;
            `compare=1` to compare large states too.

    Returns:
        The template's variables.

    Raises:
        HTTPException: 404 if it is not stored.
    """
    thread = thread_of(database, query)
    found, size = _load(database, query, required(query, "id"))
    parent_id = _id_of(found.parent_config)
    place = {"thread": thread.thread_id, "ns": query.get("ns", ""), "id": required(query, "id")}
    values = _values(found)
    budget = Budget(redact=database.redact)
    writes, interrupts = _writes(found, budget)
    comparison = _comparison(database, query, found, size, budget)
    return {
        "thread": thread,
        "ns": place["ns"],
        "id": place["id"],
        "found": found,
        "step": found.metadata.get("step"),
        "source": found.metadata.get("source"),
        "size": size,
        "interrupts": interrupts,
        "writes": writes,
        "writes_left": max(0, len(found.pending_writes or ()) - MOST_WRITES),
        **comparison,
        "channels": [
            Channel(is_steering(name), budget.channel(name, value), link("channel", **place, channel=name))
            for name, value in sorted(values.items(), key=lambda item: is_steering(item[0]))
        ],
        "metadata": budget.value(dict(found.metadata)),
        "parent_id": parent_id,
        "parent_link": link("checkpoint", **{**place, "id": parent_id}) if parent_id else None,
        "history_link": link("thread", thread=place["thread"], ns=place["ns"]),
        "compare_link": link("checkpoint", **place, against=query.get("against"), compare=1),
    }


def channel(database: Database, query: QueryParams) -> dict[str, Any]:
    """What the page of one channel shows: a list of any length, page by page.

    Args:
        database: The file.
        query: `thread`, `ns`, `id`, `channel`, and `start`, the first item.

    Returns:
        The template's variables.

    Raises:
        HTTPException: 404 if it is not stored.
    """
    thread = thread_of(database, query)
    name, start = required(query, "channel"), number(query, "start")
    found, size = _load(database, query, required(query, "id"))
    values = _values(found)
    if name not in values:
        raise HTTPException(404, "This checkpoint holds nothing of that channel.")
    value = values[name]
    count = len(value) if isinstance(value, list) else 0
    place = {"thread": thread.thread_id, "ns": query.get("ns", ""), "id": required(query, "id")}
    pages = {**place, "channel": name}
    budget = Budget(redact=database.redact)
    return {
        "thread": thread,
        "ns": place["ns"],
        "id": place["id"],
        "name": budget.text(name),
        "size": size,
        "count": count,
        "start": start,
        "end": min(start + MOST_ITEMS, count),
        "node": budget.channel(name, value, start),
        "earlier": link("channel", **pages, start=max(0, start - MOST_ITEMS)) if start else None,
        "later": link("channel", **pages, start=start + MOST_ITEMS) if start + MOST_ITEMS < count else None,
        "checkpoint_link": link("checkpoint", **place),
        "history_link": link("thread", thread=place["thread"], ns=place["ns"]),
    }


def _load(database: Database, query: QueryParams, checkpoint_id: str) -> tuple[CheckpointTuple, int]:
    found, size = database.load(required(query, "thread"), query.get("ns", ""), checkpoint_id)
    if found is None:
        raise HTTPException(404, "This checkpoint is not stored: it may have been deleted meanwhile.")
    return found, size


def _values(found: CheckpointTuple) -> Mapping[str, Any]:
    """The channels' values; of a checkpoint that cannot be read, one that says so."""
    state: Any = found.checkpoint
    if not isinstance(state, Mapping):
        return {"(checkpoint)": state}
    values = state.get("channel_values")
    return values if isinstance(values, Mapping) else {}


def _id_of(config: Any) -> str | None:
    return config["configurable"]["checkpoint_id"] if config else None


def _writes(found: CheckpointTuple, budget: Budget) -> tuple[list[Write], list[Node]]:
    """What is written at a checkpoint, and what its interrupts ask."""
    writes, interrupts = [], []
    for task, name, value in (found.pending_writes or [])[:MOST_WRITES]:
        kind = {INTERRUPT: "interrupt", ERROR: "error"}.get(name, "write")
        if kind == "interrupt":
            for asked in value if isinstance(value, list) else [value]:
                inner = asked.value if isinstance(asked, StoredObject) else asked
                interrupts.append(budget.value(inner.get("value") if isinstance(inner, Mapping) else inner))
        writes.append(Write(task, budget.text(name), kind, budget.value(value, secret=is_secret_name(name))))
    return writes, interrupts


def _comparison(
    database: Database, query: QueryParams, found: CheckpointTuple, size: int, budget: Budget
) -> dict[str, Any]:
    """What changed since the parent, or since another checkpoint."""
    other_id = query.get("against") or _id_of(found.parent_config)
    told: dict[str, Any] = {"against": other_id, "changes": None, "changes_left": 0, "why_not": None}
    if other_id is None:
        return told | {"why_not": "first"}
    other, other_size = database.load(required(query, "thread"), query.get("ns", ""), other_id)
    if other is None:
        return told | {"why_not": "missing"}
    if size + other_size > MOST_COMPARED and query.get("compare") != "1":
        return told | {"why_not": "large"}
    changes, left = changes_of(_values(other), _values(found), budget)
    return told | {"changes": changes, "changes_left": left}
