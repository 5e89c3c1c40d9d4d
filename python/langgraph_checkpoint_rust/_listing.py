"""The verbs that tell of threads: `list_threads`, `get_thread`, `set_thread`, `history` and their like.

Each verb's work is one generator of steps (`_bridge`), so its two colours cannot differ.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.serde.types import _DeltaSnapshot

from langgraph_checkpoint_rust import _config
from langgraph_checkpoint_rust._saver import Saver
from langgraph_checkpoint_rust.reports import ChannelValue, Thread, ThreadPage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from typing import Literal, TypeAlias

    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust._rows import ChannelEntry, ThreadCursor, ThreadFigures, ThreadFilter
    from langgraph_checkpoint_rust.reports import ThreadStatus

    Order: TypeAlias = Literal["updated", "created", "thread_id"]

_STATUSES = ("busy", "interrupted", "error", "pending", "done")
_ORDERS = ("updated", "created", "thread_id")
_HISTORY_PAGE = 16


class ListingVerbs(Saver):
    """What is known of threads."""

    def list_threads(
        self,
        *,
        filter: dict[str, Any] | None = None,
        status: ThreadStatus | None = None,
        archived: bool | None = False,
        order_by: Order = "updated",
        limit: int = 50,
        cursor: str | None = None,
    ) -> ThreadPage:
        """Lists threads with how each stands, without reading state.

        In a compact file a page costs the same however many threads there are, unless a filter or a status
        is rare. In an interop file, where no row says it, all threads are looked up by their keys, and the
        newest checkpoint of each thread of the page is read.

        Args:
            filter: What the user's metadata of the thread (`set_thread`) must match, as in `list`.
            status: Only threads that stand so: see `Thread.status`.
            archived: False for those that are not archived, True for those that are, None for both.
            order_by: `"updated"`: last stored first, within 10 seconds. `"created"`: newest first.
                `"thread_id"`: by id.
            limit: At most this many.
            cursor: Where a page ended: its `cursor`. A thread that moves meanwhile may come twice or not.

        Returns:
            The page; its `cursor` is None at the end.

        Raises:
            ValueError: If a filter key, the status, the order, the limit or the cursor is wrong.

        Example:
            >>> from langgraph.checkpoint.base import empty_checkpoint
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver(":memory:")
            >>> for thread_id in ("a", "b"):
            ...     config = {"configurable": {"thread_id": thread_id}}
            ...     stored = saver.put(config, empty_checkpoint(), {"source": "loop", "step": 1}, {})
            >>> [(thread.thread_id, thread.status) for thread in saver.list_threads(order_by="thread_id")]
            [('a', 'done'), ('b', 'done')]
        """
        return self._run(self._list_threads(_selected(filter, status, archived, order_by), limit, cursor))

    async def alist_threads(
        self,
        *,
        filter: dict[str, Any] | None = None,
        status: ThreadStatus | None = None,
        archived: bool | None = False,
        order_by: Order = "updated",
        limit: int = 50,
        cursor: str | None = None,
    ) -> ThreadPage:
        """As `list_threads`."""
        return await self._arun(
            self._list_threads(_selected(filter, status, archived, order_by), limit, cursor)
        )

    def _list_threads(self, selected: ThreadFilter, limit: Any, cursor: str | None) -> Steps[ThreadPage]:
        if not isinstance(limit, int) or limit < 1:
            raise ValueError(f"limit must be a positive int, not {limit!r}")
        after = None if cursor is None else _after(cursor)
        yield from self._open()
        rows = yield self._store.backend.list_threads(selected, after, limit + 1)
        threads = tuple(_thread_of(row) for row in rows[:limit])
        more = len(rows) > limit
        return ThreadPage(threads, _cursor_of(rows[limit - 1], selected[-1]) if more else None)

    def count_threads(
        self,
        *,
        filter: dict[str, Any] | None = None,
        status: ThreadStatus | None = None,
        archived: bool | None = False,
    ) -> int:
        """Counts the threads that `list_threads` would list.

        Args:
            filter: As there.
            status: As there.
            archived: As there.

        Returns:
            How many.

        Raises:
            ValueError: If a filter key or the status is wrong.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").count_threads(status="interrupted")
            0
        """
        return self._run(self._count_threads(filter, status, archived))

    async def acount_threads(
        self,
        *,
        filter: dict[str, Any] | None = None,
        status: ThreadStatus | None = None,
        archived: bool | None = False,
    ) -> int:
        """As `count_threads`."""
        return await self._arun(self._count_threads(filter, status, archived))

    def _count_threads(self, filter_: Any, status: Any, archived: bool | None) -> Steps[int]:
        selected = _selected(filter_, status, archived, "updated")
        yield from self._open()
        count: int = yield self._store.backend.count_threads(selected)
        return count

    def get_thread(self, thread_id: str) -> Thread | None:
        """Tells what is known of a thread, without reading its state.

        Args:
            thread_id: The thread, archived or not.

        Returns:
            The thread, or None if nothing is stored of it.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").get_thread("1") is None
            True
        """
        return self._run(self._get_thread(thread_id))

    async def aget_thread(self, thread_id: str) -> Thread | None:
        """As `get_thread`."""
        return await self._arun(self._get_thread(thread_id))

    def _get_thread(self, thread_id: str) -> Steps[Thread | None]:
        yield from self._open()
        row = yield self._store.backend.get_thread(str(thread_id))
        return None if row is None else _thread_of(row)

    def set_thread(
        self, thread_id: str, *, title: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Stores a title and metadata of the user's for a thread, which may have no checkpoint yet.

        They are deleted with the thread, and not copied with it. In an interop file the first of them makes
        a table of this package's.

        Args:
            thread_id: The thread.
            title: Its new title; `""` for none, None to leave it.
            metadata: Its new metadata, which replaces the old; `{}` for none, None to leave it.

        Raises:
            TypeError: If the metadata is no mapping, or JSON refuses it.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver(":memory:")
            >>> saver.set_thread("1", title="Trip to Rome", metadata={"user": "ada"})
            >>> saver.list_threads(filter={"user": "ada"}).threads[0].title
            'Trip to Rome'
        """
        self._run(self._set_thread(thread_id, title, metadata))

    async def aset_thread(
        self, thread_id: str, *, title: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> None:
        """As `set_thread`."""
        await self._arun(self._set_thread(thread_id, title, metadata))

    def _set_thread(self, thread_id: str, title: str | None, metadata: Any) -> Steps[None]:
        if metadata is not None and not isinstance(metadata, Mapping):
            raise TypeError(f"metadata must be a mapping, not {type(metadata).__name__}")
        text = None if metadata is None else json.dumps(dict(metadata), ensure_ascii=False, allow_nan=False)
        yield from self._open()
        yield self._store.backend.set_thread(str(thread_id), title, text)

    def archive_thread(self, thread_id: str) -> None:
        """Leaves a thread out of `list_threads` and `count_threads`, unless they are asked for it.

        All else works on it as before; `unarchive_thread` undoes it.

        Args:
            thread_id: The thread. An unknown one is no error.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver(":memory:")
            >>> saver.set_thread("1", title="Trip to Rome")
            >>> saver.archive_thread("1")
            >>> saver.count_threads(), saver.count_threads(archived=True)
            (0, 1)
        """
        self._run(self._archive_thread(thread_id))

    async def aarchive_thread(self, thread_id: str) -> None:
        """As `archive_thread`."""
        await self._arun(self._archive_thread(thread_id))

    def _archive_thread(self, thread_id: str) -> Steps[None]:
        yield from self._open()
        yield self._store.backend.archive_thread(str(thread_id))

    def unarchive_thread(self, thread_id: str) -> None:
        """Undoes `archive_thread`.

        Args:
            thread_id: The thread. An unknown one is no error.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").unarchive_thread("1")
        """
        self._run(self._unarchive_thread(thread_id))

    async def aunarchive_thread(self, thread_id: str) -> None:
        """As `unarchive_thread`."""
        await self._arun(self._unarchive_thread(thread_id))

    def _unarchive_thread(self, thread_id: str) -> Steps[None]:
        yield from self._open()
        yield self._store.backend.unarchive_thread(str(thread_id))

    def history(
        self,
        thread_id: str,
        channel: str = "messages",
        *,
        checkpoint_ns: str = "",
        limit: int | None = None,
    ) -> Iterator[ChannelValue]:
        """Yields what is stored of one channel at each checkpoint, newest first.

        In a compact file nothing is read of the other channels' values. Checkpoints that store nothing of
        the channel are left out. A `DeltaChannel` is stored as a seed now and then, and as writes in between,
        and its reducer is the graph's: for it you get both (`ChannelValue.kind`), as far as they are stored.

        Args:
            thread_id: The thread.
            channel: The channel.
            checkpoint_ns: The namespace: the root graph's if it is `""`.
            limit: At most this many.

        Yields:
            The values.

        Raises:
            TypeError: If `limit` is no int.
            DatabaseCorruptError: If a stored value cannot be read.

        Example:
            >>> from langgraph.checkpoint.base import empty_checkpoint
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver(":memory:")
            >>> checkpoint = {**empty_checkpoint(), "channel_values": {"messages": ["hello"]}}
            >>> stored = saver.put({"configurable": {"thread_id": "1"}}, checkpoint, {}, {})
            >>> [found.value for found in saver.history("1")]
            [['hello']]
        """
        left, before, more = _config.limit(limit), None, True
        while more and left != 0:
            page, before = self._run(self._history(thread_id, checkpoint_ns, channel, before, left))
            more = before is not None
            left = None if left is None else left - len(page)
            for entry in page:
                if (found := self._entry(entry, channel)) is not None:
                    yield found

    async def ahistory(
        self,
        thread_id: str,
        channel: str = "messages",
        *,
        checkpoint_ns: str = "",
        limit: int | None = None,
    ) -> AsyncIterator[ChannelValue]:
        """As `history`."""
        await self._store.resolve()
        left, before, more = _config.limit(limit), None, True
        while more and left != 0:
            page, before = await self._arun(self._history(thread_id, checkpoint_ns, channel, before, left))
            more = before is not None
            left = None if left is None else left - len(page)
            for entry in page:
                if (found := self._entry(entry, channel)) is not None:
                    yield found

    def _history(
        self, thread_id: str, checkpoint_ns: str, channel: str, before: str | None, left: int | None
    ) -> Steps[tuple[list[ChannelEntry], str | None]]:
        yield from self._open()
        size = _HISTORY_PAGE if left is None else min(left, _HISTORY_PAGE)
        page: tuple[list[ChannelEntry], str | None] = yield self._store.backend.history(
            str(thread_id), checkpoint_ns, channel, before, size
        )
        return page

    def _entry(self, entry: Any, channel: str) -> ChannelValue | None:
        checkpoint_id, kind, stored = entry
        if kind == "writes":
            value: Any = [self.serde.loads_typed(typed) for _, _, typed in stored]
        else:
            value = self.serde.loads_typed(stored)
        if kind == "checkpoint":
            values = value.get("channel_values") or {} if isinstance(value, Mapping) else {}
            if channel not in values:
                return None
            value = values[channel]
            kind = "seed" if isinstance(value, _DeltaSnapshot) else "value"
        if isinstance(value, _DeltaSnapshot):
            value = value.value
        return ChannelValue(checkpoint_id, kind, value)


def _selected(filter_: Any, status: Any, archived: bool | None, order_by: Any) -> ThreadFilter:
    if status is not None and status not in _STATUSES:
        raise ValueError(f"status must be one of {', '.join(_STATUSES)}, not {status!r}")
    if order_by not in _ORDERS:
        raise ValueError(f"order_by must be one of {', '.join(_ORDERS)}, not {order_by!r}")
    return status, archived, [] if filter_ is None else _config.conditions(filter_), order_by


def _after(cursor: str) -> ThreadCursor:
    try:
        time, number, thread_id = json.loads(base64.urlsafe_b64decode(cursor))
        return int(time), int(number), str(thread_id)
    except (binascii.Error, ValueError, TypeError):
        raise ValueError("cursor must be the `cursor` of a page of list_threads") from None


def _cursor_of(row: ThreadFigures, order_by: str) -> str:
    (number, thread_id), (created, updated, *_), *_ = row
    after = (created if order_by == "created" else updated, number, thread_id)
    return base64.urlsafe_b64encode(json.dumps(after).encode()).decode()


def _thread_of(row: ThreadFigures) -> Thread:
    (_, thread_id), figures, (step, source, run_id, status, nodes), notes = row
    created, updated, checkpoints, size = figures
    title, metadata, archived, pinned = notes
    return Thread(
        thread_id=thread_id,
        created=_time_of(created),
        updated=_time_of(updated),
        checkpoints=checkpoints,
        bytes=size,
        step=step,
        source=source,
        run_id=run_id,
        status=status,
        next=() if nodes is None else tuple(json.loads(nodes)),
        title=title,
        metadata={} if metadata is None else json.loads(metadata),
        archived=archived,
        pinned=pinned,
    )


def _time_of(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
