"""The pages of figures: what channels cost, and how the file stands."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from langgraph_checkpoint_rust.ui._history import thread_of
from langgraph_checkpoint_rust.ui._nodes import Budget
from langgraph_checkpoint_rust.ui._query import link
from langgraph_checkpoint_rust.ui._threads import STATUSES, counts_of

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams

    from langgraph_checkpoint_rust.ui._database import Database

MOST_UNASKED = 256 << 20
"""Bytes of a file whose channels are measured without being asked to: all its rows are read."""
MOST_BARS = 40
BAR = 1000
"""The width of the longest bar in the units of the drawing."""
_RECENT = 8
_FILES = {"file": "", "wal": "-wal", "index": "-shm"}


class Bar(NamedTuple):
    """A channel in the chart."""

    name: str
    kind: str
    stored: int
    logical: int
    live: int
    chunks: int
    width: int


def storage(database: Database, query: QueryParams) -> dict[str, Any]:
    """What the page of storage by channel shows.

    Args:
        database: The file.
        query: `thread`, for one thread only; `measure=1` to measure a large file too.

    Returns:
        The template's variables.
    """
    thread = thread_of(database, query) if "thread" in query else None
    size = sizes(database)["file"]
    if thread is None and size > MOST_UNASKED and query.get("measure") != "1":
        return {"thread": None, "bars": None, "size": size, "measure_link": link("storage", measure=1)}
    thread_id = thread.thread_id if thread else None
    name = "storage" if thread is None else f"storage of {thread_id}"
    figures = database.figure(name, lambda: database.saver.stats(thread_id, by="channel"))
    bars = _bars(figures, Budget(redact=database.redact))
    return {
        "thread": thread,
        "bars": bars[:MOST_BARS],
        "left": len(bars) - MOST_BARS,
        "figures": figures,
        "size": size,
        "history_link": link("thread", thread=thread_id) if thread else None,
    }


def _bars(figures: dict[str, Any], budget: Budget) -> list[Bar]:
    costs = [
        (budget.text(name) or "inline", "channel" if name else "shared", cost)
        for name, cost in figures["channels"].items()
    ]
    for name, key in (("writes of tasks", "write_bytes"), ("metadata", "metadata_bytes")):
        costs.append((name, "shared", dict.fromkeys(("stored_bytes", "logical_bytes"), figures[key])))
    most = max((cost["stored_bytes"] for *_, cost in costs), default=0) or 1
    bars = [
        Bar(
            name,
            kind,
            cost["stored_bytes"],
            cost["logical_bytes"],
            cost.get("live_bytes", 0),
            cost.get("chunks", 0),
            round(BAR * cost["stored_bytes"] / most),
        )
        for name, kind, cost in costs
    ]
    return sorted(bars, key=lambda bar: (-bar.stored, -bar.logical, bar.name))


def file(database: Database, query: QueryParams) -> dict[str, Any]:  # noqa: ARG001 (pages are called alike)
    """What the page of the file shows, and its part that is fetched again and again.

    Args:
        database: The file.
        query: Nothing.

    Returns:
        The template's variables.
    """
    counts = counts_of(database)
    recent = database.saver.list_threads(limit=_RECENT, archived=None)
    return {
        "path": database.path,
        "format": database.saver.format,
        **sizes(database),
        **database.header()._asdict(),
        "counts": [(status, counts.get(status)) for status in STATUSES],
        "total": counts.get(""),
        "recent": [(thread, link("thread", thread=thread.thread_id)) for thread in recent],
        "now": datetime.now(timezone.utc),
        "redact": database.redact,
    }


def sizes(database: Database) -> dict[str, int]:
    """The bytes of the file, of its WAL and of the WAL's index."""
    found = {name: Path(database.path + suffix) for name, suffix in _FILES.items()}
    return {name: path.stat().st_size if path.exists() else 0 for name, path in found.items()}
