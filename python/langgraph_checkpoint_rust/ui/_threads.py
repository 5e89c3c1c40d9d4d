"""The page of threads: searched, filtered, sorted, page by page."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException

from langgraph_checkpoint_rust.ui._query import chosen, link

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams

    from langgraph_checkpoint_rust.reports import Thread
    from langgraph_checkpoint_rust.ui._database import Database

STATUSES = ("interrupted", "error", "pending", "busy", "done")
"""In the order in which they want attention."""
ORDERS = ("updated", "created", "thread_id")
SHOWN = ("current", "archived", "all")
_ARCHIVED = {"current": False, "archived": True, "all": None}
PAGE = 50
PATIENCE = 0.5
"""Seconds that a page waits for the counts, which take the longer the more threads there are."""
MOST_SEARCHED = 10_000
"""Threads that one page of a search looks at, so that each takes the same however many there are."""
_PAIR = re.compile(r"([^=\s]+)=(.*)", re.DOTALL)


def threads(database: Database, query: QueryParams) -> dict[str, Any]:
    """What the page of threads shows.

    Args:
        database: The file.
        query: `search` (part of an id or title, or `key=value` of a thread's metadata), `status`, `show`,
            `order`, and `cursor`, where the page before ended.

    Returns:
        The template's variables.

    Raises:
        HTTPException: 400 if the query cannot be understood.
    """
    search = query.get("search", "").strip()
    status = chosen(query, "status", ("", *STATUSES)) or None
    shown, order = chosen(query, "show", SHOWN), chosen(query, "order", ORDERS)
    selected: dict[str, Any] = {"status": status, "archived": _ARCHIVED[shown], "order_by": order}
    cursor, searched = query.get("cursor") or None, None
    pair = _PAIR.fullmatch(search)
    try:
        if search and not pair:
            found, cursor, searched = _searched(database, search, selected, cursor)
        else:
            filter_ = {pair[1]: _value(pair[2])} if pair else None
            page = database.saver.list_threads(filter=filter_, limit=PAGE, cursor=cursor, **selected)
            found, cursor = list(page), page.cursor
    except ValueError as error:
        raise HTTPException(400, f"The list cannot be made: {error}.") from error
    kept = {"search": search, "show": query.get("show"), "order": query.get("order")}
    counts = counts_of(database)
    badges = [(word, counts.get(word), link("", **kept, status=word)) for word in STATUSES]
    return {
        "threads": found,
        "search": search,
        "searched": searched,
        "status": status,
        "shown": shown,
        "order": order,
        "total": counts.get(""),
        "badges": badges,
        "all_link": link("", **kept),
        "first": link("", **kept, status=status) if query.get("cursor") else None,
        "more": link("", **kept, status=status, cursor=cursor) if cursor else None,
    }


def counts_of(database: Database) -> dict[str, int]:
    """How many threads have each status, and `""` for all; without archived ones. Empty if it takes long."""
    counts: dict[str, int] | None = database.figure("statuses", lambda: _count(database), PATIENCE)
    return counts or {}


def _count(database: Database) -> dict[str, int]:
    counts = {status: database.saver.count_threads(status=status) for status in STATUSES}  # type: ignore[arg-type]
    return {"": database.saver.count_threads(), **counts}


def _searched(
    database: Database, search: str, selected: dict[str, Any], cursor: str | None
) -> tuple[list[Thread], str | None, int]:
    """The threads with a text in their id or title: a page full of them, or as far as one page looks."""
    words, found, searched = search.casefold(), [], 0
    if cursor is None:
        # The thread itself comes first, wherever it is in the order.
        exact = database.saver.get_thread(search)
        found = [exact] if exact is not None and _fits(exact, selected) else []
    while True:
        page = database.saver.list_threads(limit=PAGE, cursor=cursor, **selected)
        searched, cursor = searched + len(page), page.cursor
        found += [thread for thread in page if thread.thread_id != search and _has(thread, words)]
        if cursor is None or len(found) >= PAGE or searched >= MOST_SEARCHED:
            return found, cursor, searched


def _has(thread: Thread, words: str) -> bool:
    return words in thread.thread_id.casefold() or words in (thread.title or "").casefold()


def _fits(thread: Thread, selected: dict[str, Any]) -> bool:
    status, archived = selected["status"], selected["archived"]
    return status in (None, thread.status) and archived in (None, thread.archived)


def _value(text: str) -> Any:
    """A value of metadata: JSON if it is a plain one, else text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, (dict, list)) else value
