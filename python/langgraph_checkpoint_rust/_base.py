"""Everything that the sync and the async saver share: all verbs, in both colours.

Each verb's work is one generator of steps (`_bridge`), so the two colours cannot differ.
"""

from __future__ import annotations

import asyncio
import os
import pickle
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from langgraph.checkpoint.base import WRITES_IDX_MAP, BaseCheckpointSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph_checkpoint_rust import _config, _metadata, _serialize, _tuples
from langgraph_checkpoint_rust._bridge import arun, run
from langgraph_checkpoint_rust._core import ShapeBook
from langgraph_checkpoint_rust._pages import Pages
from langgraph_checkpoint_rust._store import Store
from langgraph_checkpoint_rust._versions import next_version
from langgraph_checkpoint_rust.serde import RustSerializer
from langgraph_checkpoint_rust.settings import SqliteOptions, SqliteSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import (
        ChannelVersions,
        Checkpoint,
        CheckpointMetadata,
        CheckpointTuple,
        DeltaChannelHistory,
    )
    from langgraph.checkpoint.serde.base import SerializerProtocol
    from typing_extensions import Self, Unpack

    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust._core import Removal

T = TypeVar("T")

_PATH_VARIABLE = "CHECKPOINTS_DB_PATH"
_PRUNE_STRATEGIES = ("keep_latest", "delete")
_UPSTREAM_ATTRIBUTES = {
    "conn": "savers keep no sqlite3 connection; use the verbs, or open the file with sqlite3 yourself",
    "cursor": "savers lend no cursor; use put, get_tuple, list or delete_thread",
    "lock": "savers need no lock: call the verbs from any thread or task",
    "loop": "savers belong to no event loop: call the verbs from any",
}


class SqliteSaverBase(BaseCheckpointSaver[str]):
    """The verbs. Not used by itself: see `RustSqliteSaver` and `AsyncRustSqliteSaver`."""

    jsonplus_serde: JsonPlusSerializer
    _store: Store

    def __init__(
        self,
        conn: Any,
        *,
        serde: SerializerProtocol | None = None,
        settings: SqliteSettings | None = None,
        **options: Unpack[SqliteOptions],
    ) -> None:
        super().__init__(serde=serde or RustSerializer())
        self.jsonplus_serde = JsonPlusSerializer()
        self._store = Store(conn, (settings or SqliteSettings()).replace(options))

    # --- making one ---

    @classmethod
    def from_conn_string(
        cls,
        conn_string: str,
        *,
        serde: SerializerProtocol | None = None,
        settings: SqliteSettings | None = None,
        **options: Unpack[SqliteOptions],
    ) -> Self:
        """Makes a saver that is also a context manager.

        Args:
            conn_string: A path, `:memory:`, `sqlite:///…` or a `file:` URI.
            serde: The serializer; a `RustSerializer` if None.
            settings: The settings; defaults if None.
            **options: Single settings, which win over `settings`.

        Returns:
            The saver. It works un-entered too; leaving the `with` block closes it.

        Raises:
            ValueError: If the string or a setting cannot be understood.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> with RustSqliteSaver.from_conn_string(":memory:") as saver:
            ...     saver.get_tuple({"configurable": {"thread_id": "1"}}) is None
            True
        """
        return cls(conn_string, serde=serde, settings=settings, **options)

    @classmethod
    def from_env(
        cls,
        *,
        conn: Any = None,
        serde: SerializerProtocol | None = None,
        **options: Unpack[SqliteOptions],
    ) -> Self:
        """Makes a saver from environment variables; keyword wins over variable over default.

        Reads `CHECKPOINTS_DB_PATH` and `LANGGRAPH_CHECKPOINT_<SETTING>`. Nothing else in this
        package reads the environment.

        Args:
            conn: The database; `CHECKPOINTS_DB_PATH` if None.
            serde: The serializer; a `RustSerializer` if None.
            **options: Settings that win over the environment's.

        Returns:
            The saver.

        Raises:
            ValueError: If there is no path, or a variable cannot be read; the message names it.

        Example:
            >>> import os
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> os.environ["CHECKPOINTS_DB_PATH"] = ":memory:"
            >>> RustSqliteSaver.from_env(pool_size=2).settings.pool_size
            2
        """
        if conn is None:
            conn = os.environ.get(_PATH_VARIABLE)
            if not conn:
                raise ValueError(f"no database: set {_PATH_VARIABLE}, or pass conn=")
        return cls(conn, serde=serde, settings=SqliteSettings.from_env(), **options)

    @property
    def settings(self) -> SqliteSettings:
        """The settings in force. Frozen: make another saver for others."""
        return self._store.settings

    @property
    def is_setup(self) -> bool:
        """Whether the database was opened."""
        return self._store.is_open

    # --- put ---

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Stores a checkpoint; one with the same id is replaced.

        Args:
            config: Names the thread, the namespace (`""` if missing) and the parent checkpoint.
            checkpoint: Any mapping with an `id`; unknown keys and key order survive.
            metadata: Stored as JSON, merged with the config's own. What JSON refuses becomes text,
                a list or an object that stands for it.
            new_versions: A hint; everything is stored whatever it says.

        Returns:
            A config that names the stored checkpoint.

        Raises:
            MissingKeyError: If the config has no `thread_id` or the checkpoint no `id`.
            SerializationError: If the checkpoint holds what the serializer refuses.
            DatabaseBusyError: If another writer held the file for `busy_timeout`.
            DiskFullError: If no space is left.

        Example:
            >>> from langgraph.checkpoint.base import empty_checkpoint
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver(":memory:")
            >>> stored = saver.put({"configurable": {"thread_id": "1"}}, empty_checkpoint(), {"step": 1}, {})
            >>> sorted(stored["configurable"])
            ['checkpoint_id', 'checkpoint_ns', 'thread_id']
        """
        return run(self._put(config, checkpoint, metadata))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As `put`. The arguments are serialized before the first suspension.

        If the await is cancelled, the checkpoint is stored or it is not, never in part.
        """
        await self._store.resolve()
        return await arun(self._put(config, checkpoint, metadata))

    def _put(self, config: Any, checkpoint: Any, metadata: Any) -> Steps[RunnableConfig]:
        checkpoint_id = _config.id_of(checkpoint)
        key = (_config.thread_id(config), _config.checkpoint_ns(config), str(checkpoint_id))
        parent = _config.checkpoint_id(config)
        typed = _serialize.dumps(self.serde, checkpoint, "the checkpoint")
        encoded = _metadata.dumps(config, metadata)
        yield from self._open()
        yield self._store.backend.put(key, parent, typed, encoded)
        return _tuples.config_of(config["configurable"]["thread_id"], key[1], checkpoint_id)

    # --- put_writes ---

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Stores the writes of a task: all of them, or none.

        Args:
            config: Names the checkpoint that the task ran from. Its row need not be stored yet.
            writes: `(channel, value)` pairs.
            task_id: The task. A repeated task keeps its first writes, except to the special
                channels (errors, interrupts, resumes), where the last ones win.
            task_path: The task's path in the graph; orders the writes of one step.

        Raises:
            MissingKeyError: If the config has no `thread_id` or `checkpoint_id`.
            SerializationError: If a value is refused by the serializer.
            DatabaseBusyError: If another writer held the file for `busy_timeout`.
            DiskFullError: If no space is left.

        Example:
            >>> from langgraph.checkpoint.base import empty_checkpoint
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver(":memory:")
            >>> config = saver.put({"configurable": {"thread_id": "1"}}, empty_checkpoint(), {}, {})
            >>> saver.put_writes(config, [("messages", "hello")], task_id="task-1")
            >>> saver.get_tuple(config).pending_writes
            [('task-1', 'messages', 'hello')]
        """
        run(self._put_writes(config, writes, task_id, task_path))

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """As `put_writes`. The values are serialized before the first suspension."""
        await self._store.resolve()
        await arun(self._put_writes(config, writes, task_id, task_path))

    def _put_writes(self, config: Any, writes: Any, task_id: str, task_path: str) -> Steps[None]:
        key = (
            _config.thread_id(config),
            _config.checkpoint_ns(config),
            _config.required_checkpoint_id(config),
        )
        encoded = [
            (WRITES_IDX_MAP.get(channel, index), channel, self._dumps_write(channel, value))
            for index, (channel, value) in enumerate(writes)
        ]
        replace = all(channel in WRITES_IDX_MAP for _, channel, _ in encoded)
        yield from self._open()
        yield self._store.backend.put_writes(key, task_id, task_path, replace, encoded)

    def _dumps_write(self, channel: str, value: Any) -> Any:
        return _serialize.dumps(self.serde, value, f"the write to channel `{channel}`")

    # --- get_tuple ---

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
        return run(self._get_tuple(config))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As `get_tuple`."""
        await self._store.resolve()
        return await arun(self._get_tuple(config))

    def _get_tuple(self, config: Any) -> Steps[CheckpointTuple | None]:
        checkpoint_id = _config.checkpoint_id(config)
        thread_id, checkpoint_ns = _config.thread_id(config), _config.checkpoint_ns(config)
        yield from self._open()
        row = yield self._store.backend.get_tuple(thread_id, checkpoint_ns, checkpoint_id)
        if row is None:
            return None
        found = _tuples.tuple_of(self.serde, row, config if checkpoint_id else None)
        if _tuples.lacks_sends(row, found.checkpoint):
            (sends,) = yield self._store.backend.pending_sends([(row[0], row[1], row[3])])
            _tuples.add_sends(self.serde, found.checkpoint, sends, self.get_next_version)
        return found

    # --- list ---

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
            rows = run(self._page(pages))
            for index, row in enumerate(rows):
                yield run(self._listed(rows, index, row, pages))

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
            rows = await arun(self._page(pages))
            for index, row in enumerate(rows):
                yield await arun(self._listed(rows, index, row, pages))

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

    # --- delete_thread ---

    def delete_thread(self, thread_id: str) -> None:
        """Deletes a thread: all namespaces, checkpoints and writes.

        In one transaction; a thread that is too large for one of 250 ms loses its oldest checkpoints
        first, so that its latest state is whole until the end. If that is interrupted, call again.

        Args:
            thread_id: The thread. An unknown one is no error.

        Raises:
            DatabaseBusyError: If another writer held the file for `busy_timeout`.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").delete_thread("1")
        """
        run(self._delete_thread(thread_id))

    async def adelete_thread(self, thread_id: str) -> None:
        """As `delete_thread`."""
        await self._store.resolve()
        await arun(self._delete_thread(thread_id))

    def _delete_thread(self, thread_id: str) -> Steps[None]:
        yield from self._open()
        while (yield self._store.backend.delete_thread(str(thread_id))):
            pass

    # --- delete_for_runs ---

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Deletes the checkpoints whose metadata names one of the runs, with their writes.

        The metadata of the whole file is scanned: upstream's tables have no index to ask, and may
        get none. A live thread whose `DeltaChannel` needs a deleted checkpoint loses that history.

        Args:
            run_ids: The runs. Unknown ones are no error.

        Raises:
            TypeError: If `run_ids` is a single `str`.
            DatabaseBusyError: If another writer held the file for `busy_timeout`.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").delete_for_runs(["run-1"])
        """
        run(self._delete_for_runs(run_ids))

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """As `delete_for_runs`."""
        await self._store.resolve()
        await arun(self._delete_for_runs(run_ids))

    def _delete_for_runs(self, run_ids: Sequence[str]) -> Steps[None]:
        texts = _config.texts("run_ids", run_ids)
        if texts:
            yield from self._open()
            removal = yield self._store.backend.delete_for_runs(texts)
            yield from self._remove(removal)

    # --- copy_thread ---

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copies all checkpoints and writes of a thread; ids and parents stay the same.

        Args:
            source_thread_id: The thread to copy. An unknown one is no error.
            target_thread_id: The thread to copy to; what it holds under the same ids is replaced.

        Raises:
            DatabaseBusyError: If another writer held the file for `busy_timeout`.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").copy_thread("1", "2")
        """
        run(self._copy_thread(source_thread_id, target_thread_id))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """As `copy_thread`."""
        await self._store.resolve()
        await arun(self._copy_thread(source_thread_id, target_thread_id))

    def _copy_thread(self, source_thread_id: str, target_thread_id: str) -> Steps[None]:
        yield from self._open()
        source, target = str(source_thread_id), str(target_thread_id)
        progress = yield self._store.backend.copy_thread(source, target, None)
        while progress is not None:
            progress = yield self._store.backend.copy_thread(source, target, progress)

    # --- prune ---

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Deletes history, as `PostgresSaver.prune` documents it, and for `DeltaChannel` threads too.

        `"keep_latest"` keeps the latest checkpoint of each namespace with its pending writes, what
        descends from it, the ancestors that its delta channels are rebuilt from, and the parent
        that holds the pending sends of a checkpoint from before version 4. A kept checkpoint whose
        parent went has none. The namespace of a subgraph call goes with the root checkpoint that it
        started from. Writes whose checkpoint is still to come stay. `"delete"` keeps nothing.

        Each thread is pruned in one transaction, a very long one in several of at most 250 ms. A run that
        appends to the thread meanwhile is safe; to fork or replay from a checkpoint that is being deleted
        is not.

        Args:
            thread_ids: The threads. Unknown ones are no error.
            strategy: `"keep_latest"` or `"delete"`.

        Raises:
            TypeError: If `thread_ids` is a single `str`.
            ValueError: If the strategy is unknown.
            DatabaseBusyError: If another writer held the file for `busy_timeout`; the threads before
                are pruned, and retrying is safe.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").prune(["1"], strategy="keep_latest")
        """
        run(self._prune(thread_ids, strategy))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """As `prune`."""
        await self._store.resolve()
        await arun(self._prune(thread_ids, strategy))

    def _prune(self, thread_ids: Sequence[str], strategy: str) -> Steps[None]:
        texts = _config.texts("thread_ids", thread_ids)
        if strategy not in _PRUNE_STRATEGIES:
            raise ValueError(
                f"Unknown prune strategy: {strategy!r}; use one of {', '.join(_PRUNE_STRATEGIES)}"
            )
        for thread_id in texts:
            if strategy == "delete":
                yield from self._delete_thread(thread_id)
                continue
            yield from self._open()
            removal = yield from self._with_shapes(self._store.backend.prune, thread_id)
            yield from self._remove(removal)

    # --- get_delta_channel_history ---

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
        return run(self._get_delta_channel_history(config, channels))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """As `get_delta_channel_history`."""
        await self._store.resolve()
        return await arun(self._get_delta_channel_history(config, channels))

    def _get_delta_channel_history(
        self, config: Any, channels: Sequence[str]
    ) -> Steps[dict[str, DeltaChannelHistory]]:
        names = list(channels)
        if not names:
            return {}
        key = (_config.thread_id(config), _config.checkpoint_ns(config), _config.checkpoint_id(config))
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

    # --- versions ---

    def get_next_version(self, current: str | None, channel: None) -> str:
        """The version that follows `current`: a counter, then a random fraction, as upstream makes it.

        Args:
            current: The channel's version, or None.
            channel: Not used; kept for old callers.

        Returns:
            A version that sorts after `current`.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").get_next_version(None, None).split(".")[0][-1]
            '1'
        """
        return next_version(current)

    # --- figures ---

    def stats(self) -> dict[str, dict[str, Any]]:
        """Figures of the writer, the readers, the WAL and the lock guard, of all savers of the file.

        Returns:
            `writer`: `groups` and `jobs` committed, `largest_group` in jobs, `void_groups` that SQLite
            rolled back as a whole, jobs `queued` now, `lock_waits` for other processes. `readers`:
            connections `open` and `idle`, and `size`, the most. `wal`: its `bytes`; its `pages` and
            `checkpointed_pages` at the last checkpoint; `checkpoints` run, and those that a reader of
            another process `blocked`. `lock_guard`: its `status`, and descriptors by kind.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> sorted(RustSqliteSaver(":memory:").stats())
            ['lock_guard', 'readers', 'wal', 'writer']
        """
        return self._store.backend.stats()

    async def astats(self) -> dict[str, dict[str, Any]]:
        """As `stats`."""
        await self._store.resolve()
        return self.stats()

    # --- lifetime ---

    def close(self) -> None:
        """Closes the database, for all copies of this saver. Idempotent.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver(":memory:")
            >>> saver.close()
            >>> saver.close()
        """
        self._store.close()

    async def aclose(self) -> None:
        """As `close`, which may wait for the disk, off the event loop."""
        await asyncio.get_running_loop().run_in_executor(None, self._store.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await self._store.resolve()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def __copy__(self) -> Self:
        clone = object.__new__(type(self))
        clone.__dict__.update(self.__dict__)
        return clone

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # A saver is a handle: its data is in the database.
        return self.__copy__()

    def __getstate__(self) -> dict[str, Any]:
        if self._store.in_memory:
            raise pickle.PicklingError("a saver of a database in memory cannot be pickled; use a file")
        state = {name: _serialize.portable(value) for name, value in self.__dict__.items()}
        store: Store = state.pop("_store")
        # Raises for a store that does not know its file yet.
        store.backend  # noqa: B018
        return state | {"_path": store.path, "_settings": store.settings}

    def __setstate__(self, state: dict[str, Any]) -> None:
        path, settings = state.pop("_path"), state.pop("_settings")
        self.__dict__.update(state)
        self._store = Store(path, settings)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self._store.path!r}, format='interop', "
            f"synchronous={self.settings.synchronous!r})"
        )

    def __getattr__(self, name: str) -> NoReturn:
        # Reached only for names that do not exist.
        advice = _UPSTREAM_ATTRIBUTES.get(name)
        message = f"{type(self).__name__!r} object has no attribute {name!r}"
        raise AttributeError(f"{message}: {advice}" if advice else message)

    # --- shared steps ---

    def _open(self) -> Steps[None]:
        if not self._store.is_open:
            report = yield self._store.backend.setup()
            self._store.opened(*report)

    def _remove(self, removal: Removal) -> Steps[None]:
        """Removes what a verb found: at once, or, where that would keep other writers waiting, in slices.

        Nothing found is removed too, so that a file that cannot be written says so.
        """
        done = yield self._store.backend.remove(removal, 0)
        while done < len(removal):
            done = yield self._store.backend.remove(removal, done)

    def _with_shapes(self, verb: Any, *arguments: Any) -> Steps[Any]:
        """Calls a verb until it knows the outline of each checkpoint it meets.

        The native half reads outlines from plain msgpack itself; what only the serializer can read
        comes back, is decoded here, outside any transaction, and is known in the next call.
        """
        shapes = ShapeBook()
        while True:
            result, unknown = yield verb(*arguments, shapes)
            if not unknown:
                return result
            for typed in unknown:
                shapes.learn(typed, *_serialize.outline(self.serde, typed))
