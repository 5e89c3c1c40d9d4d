"""What every saver of this package is: how it is made, what it shares, when it ends.

The verbs are in `_writes`, `_reads` and `_threads`.
"""

from __future__ import annotations

import asyncio
import os
import pickle
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph_checkpoint_rust import _serialize, _storage
from langgraph_checkpoint_rust._core import ShapeBook
from langgraph_checkpoint_rust._store import Store, TenantStore
from langgraph_checkpoint_rust.errors import SaverClosedError
from langgraph_checkpoint_rust.host import HostSettings, parted
from langgraph_checkpoint_rust.serde import RustSerializer
from langgraph_checkpoint_rust.settings import SqliteSettings

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol
    from typing_extensions import Self, Unpack

    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust._rows import TypedData
    from langgraph_checkpoint_rust.host import SaverOptions

T = TypeVar("T")

_PATH_VARIABLE = "CHECKPOINTS_DB_PATH"
_UPSTREAM_ATTRIBUTES = {
    "conn": "savers keep no sqlite3 connection; use the verbs, or open the file with sqlite3 yourself",
    "cursor": "savers lend no cursor; use put, get_tuple, list or delete_thread",
    "lock": "savers need no lock: call the verbs from any thread or task",
    "loop": "savers belong to no event loop: call the verbs from any",
}


class Saver(BaseCheckpointSaver[str]):
    """A saver without verbs."""

    jsonplus_serde: JsonPlusSerializer
    _store: Store

    def __init__(
        self,
        conn: Any,
        *,
        serde: SerializerProtocol | None = None,
        settings: SqliteSettings | None = None,
        **options: Unpack[SaverOptions],
    ) -> None:
        super().__init__(serde=serde or RustSerializer())
        self.jsonplus_serde = JsonPlusSerializer()
        sqlite, host = parted(options)
        settings = (settings or SqliteSettings()).replace(sqlite)
        self._store = Store(conn, settings, HostSettings(**host), self.serde)

    @classmethod
    def from_conn_string(
        cls,
        conn_string: str,
        *,
        serde: SerializerProtocol | None = None,
        settings: SqliteSettings | None = None,
        **options: Unpack[SaverOptions],
    ) -> Self:
        """Makes a saver that is also a context manager.

        Args:
            conn_string: A path, `:memory:`, `sqlite:///…` or a `file:` URI.
            serde: The serializer; a `RustSerializer` if None.
            settings: The settings of SQLite; defaults if None.
            **options: Single settings, which win over `settings`, and those of the host: see `SqliteSettings`
                and `HostSettings`.

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
        **options: Unpack[SaverOptions],
    ) -> Self:
        """Makes a saver from environment variables; keyword wins over variable over default.

        Reads `CHECKPOINTS_DB_PATH` and `LANGGRAPH_CHECKPOINT_<SETTING>`. Nothing else in this
        package reads the environment.

        Args:
            conn: The database; `CHECKPOINTS_DB_PATH` if None.
            serde: The serializer; a `RustSerializer` if None.
            **options: As in `from_conn_string`; they win over the environment's.

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
        merged: SaverOptions = {**HostSettings.from_env().as_options(), **options}
        return cls(conn, serde=serde, settings=SqliteSettings.from_env(), **merged)

    @property
    def settings(self) -> SqliteSettings:
        """The settings in force. Frozen: make another saver for others."""
        return self._store.settings

    @property
    def host(self) -> HostSettings:
        """What the host asked for. Frozen: make another saver for others."""
        return self._store.host

    @property
    def tenant(self) -> str | None:
        """Whose threads this saver sees; None for all: see `scoped`."""
        return self._store.tenant

    @property
    def is_setup(self) -> bool:
        """Whether the database was opened."""
        return self._store.is_open

    @property
    def format(self) -> str:
        """How the file keeps its rows: `"compact"` or `"interop"`. Opens the database.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").format
            'compact'
        """
        return self._run(self._format())

    def _format(self) -> Steps[str]:
        yield from self._open()
        self._store.format = yield self._store.backend.format()
        return self._store.format

    @property
    def _chunkable(self) -> bool:
        """Whether the serializer's bytes are known: then a compact file keeps values in parts."""
        return type(self.serde) in (RustSerializer, JsonPlusSerializer)

    def stats(self, thread_id: str | None = None, *, by: Literal["channel"] | None = None) -> dict[str, Any]:
        """Figures of the connections; or, of one thread or by channel, what the stored state costs.

        A scoped saver tells only what the stored state of its tenant costs.

        Args:
            thread_id: Only this thread's state.
            by: `"channel"` for the state's cost by channel, of all threads if none is named. Reads the
                inline bytes of every row.

        Returns:
            Without arguments, of all savers of the file in this process: `writer`: `groups` and `jobs`
            committed, `largest_group` in jobs, `void_groups` that SQLite rolled back whole, jobs `queued`
            now, `lock_waits` for other processes. `readers`: connections `open` and `idle`, `size`, the
            most, and calls that had to wait: `waits`, `timeouts` of them, `waited_seconds`. `cache` of what
            was stored last: puts that found it (`hits`) or not (`misses`), `entries`, `bytes`. `wal`: its
            `bytes`; its `pages` and `checkpointed_pages` at the last checkpoint;
            `checkpoints` run, and those that a reader of another process `blocked`. `retention`: `runs` of
            this saver's policy, `threads` deleted, `checkpoints`, `writes` and `bytes` that went, threads
            `skipped` since only their serializer can read them, and runs that `failed`. `lock_guard`: its
            `status`, and descriptors by kind.

            Else: `checkpoints` and `writes` in rows, `chunks`, and in bytes `live_bytes` (the newest
            checkpoint of each namespace), `logical_bytes` (all checkpoints, as upstream would store them),
            `stored_bytes` (as they are stored), `metadata_bytes` and `write_bytes`; `ratio`, logical to
            stored; and `channels`, by name, with the same words. What channels share is under `""`.

        Raises:
            DatabaseCorruptError: If a stored value cannot be read.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver(":memory:")
            >>> sorted(saver.stats())
            ['cache', 'lock_guard', 'readers', 'retention', 'wal', 'writer']
            >>> saver.stats(by="channel")["stored_bytes"]
            0
        """
        if thread_id is None and by is None and self.tenant is None:
            return self._store.backend.stats()
        return self._run(self._storage(thread_id), "stats")

    async def astats(
        self, thread_id: str | None = None, *, by: Literal["channel"] | None = None
    ) -> dict[str, Any]:
        """As `stats`."""
        await self._store.resolve()
        if thread_id is None and by is None and self.tenant is None:
            return self._store.backend.stats()
        return await self._arun(self._storage(thread_id), "stats")

    def _storage(self, thread_id: str | None) -> Steps[dict[str, Any]]:
        yield from self._open()
        figures = yield self._store.backend.storage(None if thread_id is None else str(thread_id))
        return _storage.stats_of(figures)

    def close(self) -> None:
        """Closes the database, for all copies of this saver and those scoped from it. Idempotent.

        Raises:
            ValueError: If this saver is scoped: others use the database.

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
        if self.tenant is None:
            self.close()

    async def __aenter__(self) -> Self:
        await self._store.resolve()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self.tenant is None:
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
        return state | {
            "_path": store.path,
            "_settings": store.settings,
            "_host": store.host,
            "_tenant": store.tenant,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        path, settings, host = state.pop("_path"), state.pop("_settings"), state.pop("_host")
        tenant = state.pop("_tenant")
        self.__dict__.update(state)
        store = Store(path, settings, host, self.serde)
        self._store = store if tenant is None else TenantStore(store, tenant)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self._store.path!r}, format={self._store.format!r}, "
            f"synchronous={self.settings.synchronous!r}"
            f"{'' if self.tenant is None else f', tenant={self.tenant!r}'})"
        )

    def __getattr__(self, name: str) -> NoReturn:
        # Reached only for names that do not exist.
        advice = _UPSTREAM_ATTRIBUTES.get(name)
        message = f"{type(self).__name__!r} object has no attribute {name!r}"
        raise AttributeError(f"{message}: {advice}" if advice else message)

    def _run(self, steps: Steps[T], verb: str | None = None) -> T:
        """Carries out a verb, named if its steps have another name."""
        return self._store.runner.run(steps, verb)

    async def _arun(self, steps: Steps[T], verb: str | None = None) -> T:
        if not self._store.is_resolved:
            await self._store.resolve()
        return await self._store.runner.arun(steps, verb)

    def _run_part(self, steps: Steps[T]) -> T:
        """Carries out a part of a verb that is not counted by itself."""
        return self._store.runner.run_part(steps)

    async def _arun_part(self, steps: Steps[T]) -> T:
        if not self._store.is_resolved:
            await self._store.resolve()
        return await self._store.runner.arun_part(steps)

    def _open(self) -> Steps[None]:
        # The verbs of each step look at `is_open` before they make these steps.
        if not self._store.is_open:
            report = yield self._store.backend.setup()
            self._store.opened(*report)

    def _note_opening(self) -> Steps[None]:
        """After a write, which opened the file. It is stored, also if the saver was closed since."""
        try:
            yield from self._open()
        except SaverClosedError:
            return

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
            self._learn(shapes, unknown)

    def _learn(self, shapes: ShapeBook, unknown: list[TypedData]) -> None:
        for typed in unknown:
            shapes.learn(typed, *_serialize.outline(self.serde, typed))
