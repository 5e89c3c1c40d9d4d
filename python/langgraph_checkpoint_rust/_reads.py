"""The verbs that load.

Each verb's work is one generator of steps (`_bridge`), so its two colours cannot differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph_checkpoint_rust import _config, _tuples
from langgraph_checkpoint_rust._pages import Pages
from langgraph_checkpoint_rust._saver import Saver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import CheckpointTuple, DeltaChannelHistory

    from langgraph_checkpoint_rust._bridge import Steps


class ReadVerbs(Saver):
    """`get_tuple`, `list` and `get_delta_channel_history`."""

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Loads a checkpoint with its pending writes, all of one moment.

        Args:
            config: Names the thread, the namespace, and the checkpoint; the latest if none.

        Returns:
            The tuple, or None. Asked by id, its config is the caller's own.

        Raises:
            MissingKeyError: If the config has no `thread_id`.
            PoolTimeoutError: If all read connections stayed busy for `pool_timeout`.
            DatabaseCorruptError: If the stored data is damaged.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").get_tuple({"configurable": {"thread_id": "1"}}) is None
            True
        """
        return self._run(self._get_tuple(config))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As `get_tuple`."""
        return await self._arun(self._get_tuple(config))

    def _get_tuple(self, config: Any) -> Steps[CheckpointTuple | None]:
        thread_id, checkpoint_ns, checkpoint_id = _config.key(config)
        if not self._store.is_open:
            yield from self._open()
        row = yield self._store.backend.get_tuple(thread_id, checkpoint_ns, checkpoint_id)
        if row is None:
            return None
        ttl = self._store.to_refresh(thread_id)
        if ttl is not None:
            yield self._store.backend.set_term(thread_id, "refreshed", ttl)
        found = _tuples.tuple_of(self.serde, row, config if checkpoint_id else None)
        if _tuples.lacks_sends(row, found.checkpoint):
            (sends,) = yield self._store.backend.pending_sends([(row[0], row[1], row[3])])
            _tuples.add_sends(self.serde, found.checkpoint, sends, self.get_next_version)
        return found

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Yields checkpoints, newest first. Nothing is held while the caller keeps it waiting.

        Pages are read as the caller advances, so a long iteration sees checkpoints stored or
        deleted meanwhile.

        Args:
            config: Names the thread, and the namespace and checkpoint if given; None for all threads.
            filter: Metadata that must match, by key. A key with dots is a path first and the
                literal key second. None matches a missing key too.
            before: Only checkpoints with an id below this config's.
            limit: At most this many.

        Yields:
            The tuples.

        Raises:
            ValueError: If a filter key holds quotes, backslashes or control characters.
            TypeError: If `limit`, `filter` or `before` is of the wrong type.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver(":memory:")
            >>> [found.metadata for found in saver.list(None, filter={"source": "loop"}, limit=5)]
            []
        """
        pages = Pages(config, filter, before, limit)
        while pages.more:
            rows = self._run(self._page(pages), "list")
            for index, row in enumerate(rows):
                yield self._run_part(self._listed(rows, index, row, pages))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """As `list`."""
        await self._store.resolve()
        pages = Pages(config, filter, before, limit)
        while pages.more:
            rows = await self._arun(self._page(pages), "list")
            for index, row in enumerate(rows):
                yield await self._arun_part(self._listed(rows, index, row, pages))

    def _page(self, pages: Pages) -> Steps[Any]:
        yield from self._open()
        rows, after = yield self._store.backend.list(*pages.request())
        pages.advance(len(rows), after)
        return rows

    def _listed(self, rows: Any, index: int, row: Any, pages: Pages) -> Steps[CheckpointTuple]:
        found = _tuples.tuple_of(self.serde, row)
        if _tuples.lacks_sends(row, found.checkpoint):
            if row[:2] + row[3:4] not in pages.sends:
                # One call for the rest of the page: its rows are of one age, as a rule.
                keys = [(other[0], other[1], other[3]) for other in rows[index:] if other[3] is not None]
                fetched = yield self._store.backend.pending_sends(keys)
                pages.sends = dict(zip(keys, fetched, strict=True))
            sends = pages.sends[row[0], row[1], row[3]]
            _tuples.add_sends(self.serde, found.checkpoint, sends, self.get_next_version)
        return found

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """What each `DeltaChannel` is rebuilt from: its writes along the ancestors, and its seed.

        The walk goes by parent pointer and reads channel names from the stored bytes; only the
        checkpoints that hold a seed are decoded.

        Args:
            config: Names the checkpoint; the latest of the namespace if none. Its own writes do not
                count.
            channels: The channels.

        Returns:
            Per channel `writes`, oldest first, and `seed` if an ancestor stores the channel.

        Raises:
            MissingKeyError: If the config has no `thread_id`.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver(":memory:")
            >>> config = {"configurable": {"thread_id": "1"}}
            >>> saver.get_delta_channel_history(config=config, channels=["messages"])
            {'messages': {'writes': []}}
        """
        return self._run(self._get_delta_channel_history(config, channels))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """As `get_delta_channel_history`."""
        return await self._arun(self._get_delta_channel_history(config, channels))

    def _get_delta_channel_history(
        self, config: Any, channels: Sequence[str]
    ) -> Steps[dict[str, DeltaChannelHistory]]:
        names = list(channels)
        if not names:
            return {}
        key = _config.key(config)
        yield from self._open()
        found = yield from self._with_shapes(self._store.backend.get_delta_channel_history, *key, names)
        histories, seeds = found
        decoded: dict[int, Any] = {}
        result: dict[str, DeltaChannelHistory] = {}
        for name, (writes, seed) in zip(names, histories, strict=True):
            entry: DeltaChannelHistory = {"writes": _tuples.writes_of(self.serde, writes)}
            if seed is not None:
                if seed not in decoded:
                    decoded[seed] = self.serde.loads_typed(seeds[seed])["channel_values"]
                entry["seed"] = decoded[seed][name]
            result[name] = entry
        return result
