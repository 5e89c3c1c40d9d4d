"""What a mirror writes to: a store of this package, by the stored bytes, or any other saver, by its verbs."""

from __future__ import annotations

import json
import os
import weakref
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol

from langgraph.checkpoint.base import BaseCheckpointSaver

from langgraph_checkpoint_rust import _address
from langgraph_checkpoint_rust._core import SqliteBackend, stored_thread_id
from langgraph_checkpoint_rust._mirror import DELETE
from langgraph_checkpoint_rust._runner import Runner
from langgraph_checkpoint_rust._slices import deleted, replicated, storing
from langgraph_checkpoint_rust._tuples import config_of
from langgraph_checkpoint_rust.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph.checkpoint.serde.base import SerializerProtocol

    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust._mirror import Entry
    from langgraph_checkpoint_rust._rows import Key, PlacedWrite, StoredCheckpoint, ThreadRow, TypedData
    from langgraph_checkpoint_rust._store import Store
    from langgraph_checkpoint_rust.mirror import MirrorTarget
    from langgraph_checkpoint_rust.settings import SqliteOptions

_OWN_SETTINGS: SqliteOptions = {"read_only": False, "on_deleted_thread": "allow", "on_conflict": "fork"}
"""What differs from the source's settings: what it stored is stored."""


def target_of(target: MirrorTarget, store: Store, serde: SerializerProtocol) -> Target:
    """What a mirror of a store writes to."""
    source = Source(weakref.ref(store))
    if not isinstance(target, BaseCheckpointSaver):
        return _file(os.fspath(target), source, store)
    other: Store | None = getattr(target, "_store", None)
    if other is None:
        return SaverTarget(source, target, serde)
    return NativeTarget(source, lambda: other.native, lambda: None)


def _file(path: str, source: Source, store: Store) -> Target:
    address = _address.resolve(path)
    if address.path is None:
        raise ValueError("a mirror in memory could not be read by anyone; give a path, or a saver")
    if os.path.realpath(address.path) == os.path.realpath(store.path):
        raise ValueError(f"the mirror is the database itself: {store.path}")
    backend = SqliteBackend(address.path, store.settings.replace(_OWN_SETTINGS))
    return NativeTarget(source, lambda: backend, backend.close)


class Target(Protocol):
    """Where entries go. Called by one thread."""

    def apply(self, entry: Entry) -> None:
        """Does what was done."""

    def copy(self, tenant: str | None, thread_id: str) -> None:
        """Makes the thread equal to the source's."""

    def close(self) -> None:
        """Lets go of what the mirror opened itself."""


class Source:
    """The store that is mirrored, which may be gone."""

    def __init__(self, store: weakref.ref[Store]) -> None:
        self._store = store

    def settled(self, tenant: str | None) -> Steps[SqliteBackend]:
        """Its native backend, after all that was to be stored before: a cancelled call may be under way."""
        store = self._store()
        if store is None:
            raise CheckpointError("the saver is gone; its mirror lacks what was to be copied from it")
        if not store.settings.read_only:
            yield store.native.finish_deletions()
        return scoped(store.native, tenant)


def scoped(native: SqliteBackend, tenant: str | None) -> SqliteBackend:
    """The backend as a tenant sees it."""
    return native if tenant is None else native.scoped(tenant)


class NativeTarget:
    """A store of this package: gets the bytes as they were stored."""

    def __init__(
        self, source: Source, native: Callable[[], SqliteBackend], close: Callable[[], None]
    ) -> None:
        self._source = source
        self._native = native
        self._close = close
        self._runner = Runner()

    def apply(self, entry: Entry) -> None:
        self._runner.run_part(self._applied(scoped(self._native(), entry.tenant), entry))

    def copy(self, tenant: str | None, thread_id: str) -> None:
        self._runner.run_part(self._copied(scoped(self._native(), tenant), tenant, thread_id))

    def close(self) -> None:
        self._close()

    @staticmethod
    def _applied(target: SqliteBackend, entry: Entry) -> Steps[None]:
        if entry.verb in {"put", "put_writes"}:
            # Without the lease, which is one of the source's.
            yield from storing(target, getattr(target, entry.verb), *entry.arguments[:-1], None)
        elif entry.verb == "write_thread":
            yield from storing(target, target.write_thread, *entry.arguments)
        elif entry.verb == DELETE:
            (overwrite,) = entry.arguments
            yield from deleted(target, entry.thread_id, overwrite=overwrite)
            if overwrite:
                yield target.scrub()
        else:
            yield getattr(target, entry.verb)(*entry.arguments)

    def _copied(self, target: SqliteBackend, tenant: str | None, thread_id: str) -> Steps[None]:
        source = yield from self._source.settled(tenant)
        yield from deleted(target, thread_id)
        yield from replicated(source, target, thread_id)


class SaverTarget:
    """Any other saver: its sync verbs get decoded values. What LangGraph has no verb for is left out."""

    def __init__(self, source: Source, saver: BaseCheckpointSaver[Any], serde: SerializerProtocol) -> None:
        self._source = source
        self._saver = saver
        self._serde = serde
        self._runner = Runner()

    def apply(self, entry: Entry) -> None:
        thread_id = _stored(entry.tenant, entry.thread_id)
        arguments: Any = entry.arguments
        if entry.verb == "put":
            (_, *place), parent, typed, metadata, *_ = arguments
            self._put((thread_id, *place), (parent, typed, metadata))
        elif entry.verb == "put_writes":
            (_, *place), task_id, task_path, _, writes, *_ = arguments
            values = [(channel, typed) for _, channel, typed in writes]
            self._put_writes((thread_id, *place), task_id, task_path, values)
        elif entry.verb == "write_thread":
            self._store_rows(thread_id, arguments[1])
        elif entry.verb == DELETE:
            self._saver.delete_thread(thread_id)

    def copy(self, tenant: str | None, thread_id: str) -> None:
        source = self._runner.run_part(self._source.settled(tenant))
        stored = _stored(tenant, thread_id)
        self._saver.delete_thread(stored)
        after, more = None, True
        while more:
            rows, after = self._runner.run_part(_page(source, thread_id, after))
            self._store_rows(stored, rows)
            more = after is not None

    def close(self) -> None:
        """The saver is its owner's to close."""

    def _store_rows(self, thread_id: str, rows: list[ThreadRow]) -> None:
        for checkpoint_ns, checkpoint_id, checkpoint, writes in rows:
            key = (thread_id, checkpoint_ns, checkpoint_id)
            for (task_id, task_path), own in groupby(writes, key=_task_of):
                self._put_writes(key, task_id, task_path, [(write[3], write[4]) for write in own])
            if checkpoint is not None:
                self._put(key, checkpoint)

    def _put(self, key: Key, stored: StoredCheckpoint) -> None:
        parent, typed, metadata = stored
        config = config_of(key[0], key[1], parent)
        checkpoint = self._loads(typed)
        versions = checkpoint.get("channel_versions") or {}
        self._saver.put(config, checkpoint, json.loads(metadata or "{}"), versions)

    def _put_writes(
        self, key: Key, task_id: str, task_path: str, writes: list[tuple[str, TypedData]]
    ) -> None:
        values = [(channel, self._loads(typed)) for channel, typed in writes]
        self._saver.put_writes(config_of(*key), values, task_id, task_path)

    def _loads(self, typed: TypedData) -> Any:
        return self._serde.loads_typed(typed)  # type: ignore[arg-type]


def _stored(tenant: str | None, thread_id: str) -> str:
    """The id of a tenant's thread for a saver that knows no tenants: the one in the source's file."""
    return thread_id if tenant is None else stored_thread_id(tenant, thread_id)


def _task_of(write: PlacedWrite) -> tuple[str, str]:
    return write[0], write[1]


def _page(source: SqliteBackend, thread_id: str, after: Any) -> Steps[Any]:
    page = yield source.read_thread(thread_id, after)
    return page
