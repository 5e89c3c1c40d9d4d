"""The shared half of a saver: the address, the settings and the native backend.

Clones of a saver share one store: LangGraph copies savers and drops the copies, so a saver owns nothing.
"""

from __future__ import annotations

import logging
import math
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from langgraph_checkpoint_rust import _address
from langgraph_checkpoint_rust._core import SqliteBackend
from langgraph_checkpoint_rust._mirror import Mirror
from langgraph_checkpoint_rust._mirror_targets import target_of
from langgraph_checkpoint_rust._observer import Observer
from langgraph_checkpoint_rust._requests import Policies, Requests
from langgraph_checkpoint_rust._runner import Runner
from langgraph_checkpoint_rust._slices import replicated
from langgraph_checkpoint_rust.errors import SaverClosedError
from langgraph_checkpoint_rust.events import Emitter
from langgraph_checkpoint_rust.fallback import Fallback
from langgraph_checkpoint_rust.retention import minutes_to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langgraph.checkpoint.serde.base import SerializerProtocol

    from langgraph_checkpoint_rust._address import Address
    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust.host import HostSettings
    from langgraph_checkpoint_rust.settings import SqliteSettings

_FORMATS = {"interop": "interop (as langgraph-checkpoint-sqlite; `upgrade()` makes it compact)"}

_REFRESH_EVERY = 0.05
"""The part of its time to live within which a thread that is read again is not written again."""
_MOST_REFRESHED = 10_000
_PAGE = 256

_logger = logging.getLogger("langgraph_checkpoint_rust")


class Store:
    """One database as the Python side knows it."""

    tenant: str | None = None
    """Whose threads are seen; None for all."""

    def __init__(
        self,
        conn: Any,
        settings: SqliteSettings,
        host: HostSettings,
        serde: SerializerProtocol,
    ) -> None:
        self.settings = settings
        self.host = host
        self._refreshed: dict[tuple[str | None, str], float] = {}
        ttl = host.ttl or {}
        default = minutes_to_milliseconds("default_ttl", ttl.get("default_ttl"))
        self._refreshes_to = default if ttl.get("refresh_on_read") else None
        """The time to live that a read gives a thread, in milliseconds; None if reads give none."""
        self.emit = Emitter(host.on_event)
        self._fallback = None
        if host.fallback is not None:
            if settings.read_only:
                raise ValueError("a saver that only reads needs no fallback: drop read_only or fallback")
            self._fallback = Fallback(settings, host.policy(), self.emit)
        self.mirror: Mirror | None = None
        self._policies = Policies(self.emit, host.retry, self._fallback)
        self._makes_requests = any(part is not None for part in (host.retry, host.fallback, host.mirror))
        self.runner = Runner([self._policies] if self._makes_requests else [])
        self._observer: Observer | None = None
        if host.is_watching:
            self._observer = Observer(host, self.emit, self)
            self.runner.watch(self._observer)
        _stores.add(self)
        self.is_open = False
        self.format: str = settings.format
        self.leases: dict[tuple[str | None, str], str] = {}
        """By tenant and thread: the token of the lease that is held."""
        self._closed = False
        self._unresolved: Any = None
        self._address: Address | None = None
        self._backend: SqliteBackend | None = None
        if _address.is_aiosqlite(conn):
            # Only its own event loop can ask it for its file.
            self._unresolved = conn
        else:
            self._attach(_address.resolve(conn))
        mirror = host.mirror_policy()
        if mirror is not None:
            self.mirror = Mirror(mirror, target_of(mirror.target, self, serde), self.emit)
            self._policies.mirror = self.mirror
            weakref.finalize(self, self.mirror.end).atexit = False

    def _attach(self, address: Address) -> SqliteBackend:
        if address.read_only:
            self.settings = self.settings.replace({"read_only": True})
        self._address = address
        self._unresolved = None
        self._backend = SqliteBackend(address.path, self.settings, self.host.policy())
        return self._backend

    @property
    def path(self) -> str:
        """The file, `:memory:`, or a word for a connection that was not asked yet."""
        if self._address is None:
            return "an aiosqlite connection"
        return ":memory:" if self._address.path is None else str(self._address.path)

    @property
    def in_memory(self) -> bool:
        """Whether no other process can reach the data."""
        return self._address is not None and self._address.path is None

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def is_degraded(self) -> bool:
        """Whether verbs go on in memory in place of the file."""
        return self._fallback is not None and self._fallback.memory is not None

    def go_back(self) -> Steps[int]:
        """Brings what is stored in memory into the file, and uses the file again; the threads brought."""
        fallback, file = self._fallback, self._backend
        memory = None if fallback is None else fallback.memory
        if fallback is None or memory is None or file is None:
            return 0
        yield file.setup()
        self.format = yield file.format()
        moved: set[str] = set()
        yield from _moved(memory, file, moved)
        fallback.ended()
        # What was stored while the first round was under way.
        yield from _moved(memory, file, moved)
        memory.close()
        return len(moved)

    @property
    def file_bytes(self) -> int:
        """Size of the file; 0 in memory, and before it is opened."""
        if self.in_memory or not self.is_open:
            return 0
        try:
            return Path(self.path).stat().st_size
        except OSError:
            # Deleted under the saver, whose next verb says so.
            return 0

    def engine_figures(self) -> dict[str, dict[str, Any]]:
        """Figures of the native half; none before the database is opened."""
        return self.native.stats() if self.is_open and not self._closed else {}

    @property
    def backend(self) -> SqliteBackend:
        """What verbs call: the native backend, or one whose verbs give requests.

        Raises: as `native`.
        """
        if self._backend is not None and not self._makes_requests:
            return self._backend
        return self._handed_out(self.native)

    def _handed_out(self, native: SqliteBackend) -> SqliteBackend:
        return cast("SqliteBackend", Requests(native, self.tenant)) if self._makes_requests else native

    @property
    def native(self) -> SqliteBackend:
        """The native backend of all threads: the file's, or that in memory in its place.

        Raises:
            SaverClosedError: If the store was closed before it was resolved.
            RuntimeError: If the store was made from an `aiosqlite` connection and no async verb ran.
        """
        memory = None if self._fallback is None else self._fallback.memory
        native = memory or self._backend
        if native is not None:
            return native
        if self._closed:
            raise SaverClosedError(f"the saver of {self.path} is closed; make a new one")
        raise RuntimeError(
            "a saver made from an aiosqlite connection learns its file in the first async verb: "
            "await one (such as aget_tuple) before sync verbs, or pass the path instead"
        )

    @property
    def is_resolved(self) -> bool:
        """Whether the file is known, or never will be."""
        return self._unresolved is None

    async def resolve(self) -> None:
        """Learns the file of an `aiosqlite` connection; does nothing for any other."""
        conn = self._unresolved
        if conn is None or self._closed:
            return
        address = await _address.aresolve(conn)
        if self._backend is None:
            self._attach(address)

    def to_refresh(self, thread_id: str) -> int | None:
        """The time to live to give a thread that was read; None if that was done lately."""
        default = self._refreshes_to
        if default is None or self.settings.read_only:
            return None
        now = time.monotonic()
        if now - self._refreshed.get((self.tenant, thread_id), -math.inf) < default / 1000 * _REFRESH_EVERY:
            return None
        if len(self._refreshed) >= _MOST_REFRESHED:
            self._refreshed.clear()
        self._refreshed[self.tenant, thread_id] = now
        return default

    def opened(self, created: bool, format_: str, size: int) -> None:
        """Notes the first successful opening, in one line for the operator."""
        if self.is_open:
            return
        self.is_open = True
        self.format = format_
        if self.is_degraded:
            return
        _logger.info(
            "%s %s: format %s, journal %s, synchronous %s, %.1f MB",
            "created" if created else "opened",
            self.path,
            _FORMATS.get(format_, format_),
            self.settings.journal_mode,
            self.settings.synchronous,
            size / 1e6,
        )

    def after_fork(self) -> None:
        """In a forked child: what its parent counted is the parent's."""
        self.runner.after_fork()
        self.emit.after_fork()
        if self._observer is not None:
            self._observer.after_fork()
        if self._fallback is not None:
            self._fallback.after_fork()
        if self.mirror is not None:
            self.mirror.after_fork()

    def changed(self, thread_ids: Iterable[str]) -> None:
        """Tells the mirror of threads that something was deleted of."""
        if self.mirror is not None:
            self.mirror.resync(self.tenant, thread_ids)

    def lease(self, thread_id: str) -> str | None:
        """The token of the lease that is held on a thread."""
        return self.leases.get((self.tenant, thread_id)) if self.leases else None

    def close(self) -> None:
        """Closes the database. Idempotent."""
        if self.mirror is not None and not self._closed:
            # It may still read what it is to copy.
            self.mirror.close()
        self._closed = True
        self._unresolved = None
        if self._fallback is not None:
            self._fallback.close()
        if self._backend is not None:
            self._backend.close()


def _moved(source: SqliteBackend, target: SqliteBackend, moved: set[str]) -> Steps[None]:
    """Copies all threads; what is there already with the same key is replaced."""
    last: str | None = None
    while page := (yield source.thread_ids(last, True, _PAGE)):
        for last in page:
            yield from replicated(source, target, last)
        moved.update(page)


class TenantStore(Store):
    """The same database as one tenant sees it.

    Only the native half knows how the tenant's ids are stored. What this class does not define is the whole
    store's, to read and to set.
    """

    _OWN = frozenset({"tenant", "_whole", "_scoped", "_scoped_from"})

    tenant: str

    def __init__(self, whole: Store, tenant: str) -> None:
        self._whole = whole
        self.tenant = tenant
        self._scoped: SqliteBackend | None = None
        self._scoped_from: SqliteBackend | None = None

    @property
    def backend(self) -> SqliteBackend:
        """As `Store.backend`, of what sees the tenant's threads only."""
        native = self._whole.native
        scoped = self._scoped
        if scoped is None or self._scoped_from is not native:
            scoped = native.scoped(self.tenant)
            self._scoped, self._scoped_from = scoped, native
        return self._handed_out(scoped)

    async def resolve(self) -> None:
        """As `Store.resolve`."""
        await self._whole.resolve()

    def close(self) -> None:
        """Refuses: others use the database.

        Raises:
            ValueError: Always.
        """
        raise self._refusal("close")

    def go_back(self) -> Steps[int]:
        """Refuses: the file is others' too.

        Raises:
            ValueError: Always.
        """
        raise self._refusal("end_fallback of")

    def _refusal(self, verb: str) -> ValueError:
        return ValueError(
            f"this saver is scoped to tenant {self.tenant!r}: {verb} the saver that it was made from"
        )

    def __getattr__(self, name: str) -> Any:
        # Reached only for what is not this object's own.
        return getattr(self._whole, name)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self if name in self._OWN else self._whole, name, value)


_stores: weakref.WeakSet[Store] = weakref.WeakSet()


def after_fork() -> None:
    """In a forked child."""
    for store in _stores:
        store.after_fork()
