"""Which classes are stored, for an allow-list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.serde._msgpack import SAFE_MSGPACK_TYPES

from langgraph_checkpoint_rust.inspection.plain import PlainSerializer, StoredObject, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust._rows import TypedData
    from langgraph_checkpoint_rust._saver import Saver

_PAGE = 512


@dataclass(frozen=True, order=True)
class StoredType:
    """A class that stored values name.

    Attributes:
        module: Its module.
        name: Its name.
        values: How many checkpoints and writes hold it.
        allowed: Whether LangGraph's serializers revive it without being told to.
    """

    module: str
    name: str
    values: int
    allowed: bool


@dataclass(frozen=True)
class TypesReport:
    """The classes that are stored in a database.

    Attributes:
        types: The classes, by module and name.
        checkpoints: Checkpoints looked at.
        writes: Writes looked at.
        unread: By tag, how many values only their own serializer can read: what they hold is not known.
    """

    types: tuple[StoredType, ...]
    checkpoints: int
    writes: int
    unread: Mapping[str, int] = field(default_factory=dict)

    @property
    def allow_list(self) -> list[tuple[str, str]]:
        """What `allowed_msgpack_modules` of a serializer needs, beside what LangGraph allows anyhow."""
        return [(found.module, found.name) for found in self.types if not found.allowed]


def types_in(value: Any) -> set[tuple[str, str]]:
    """The classes that a value names.

    Args:
        value: What a `PlainSerializer` read, or a `(tag, bytes)` pair as it is stored.

    Returns:
        Pairs of module and class.

    Example:
        >>> from uuid import UUID
        >>> from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
        >>> from langgraph_checkpoint_rust.inspection import types_in
        >>> types_in(JsonPlusSerializer().dumps_typed([UUID(int=1)]))
        {('uuid', 'UUID')}
    """
    if isinstance(value, tuple) and len(value) == len(("tag", "bytes")):
        value = PlainSerializer().loads_typed(value)
    return {(found.module, found.name) for found in _objects(value) if isinstance(found, StoredObject)}


def stored_types(saver: Saver, *, progress: Callable[[int, int], object] | None = None) -> TypesReport:
    """Finds every class that is stored in a database, without importing one.

    All threads are read, archived ones too, with writes whose checkpoint is still to come.

    Args:
        saver: A saver of the database; its serializer is not used.
        progress: Called with the threads looked at and all threads. What it raises ends the call.

    Returns:
        The classes; `allow_list` is what to pass to a serializer.

    Raises:
        DatabaseCorruptError: If a stored value cannot be read.

    Example:
        >>> from langgraph_checkpoint_rust import RustSqliteSaver
        >>> from langgraph_checkpoint_rust.inspection import stored_types
        >>> stored_types(RustSqliteSaver(":memory:")).allow_list
        []
    """
    return saver._run(_stored_types(saver, progress))


async def astored_types(saver: Saver, *, progress: Callable[[int, int], object] | None = None) -> TypesReport:
    """As `stored_types`."""
    return await saver._arun(_stored_types(saver, progress))


def _stored_types(saver: Any, progress: Callable[[int, int], object] | None) -> Steps[TypesReport]:
    census = _Census()
    total = yield from saver._count_threads(None, None, None)
    done, cursor = 0, None
    while True:
        page = yield from saver._list_threads((None, None, [], "thread_id"), _PAGE, cursor)
        for thread in page:
            rows, after = yield saver._store.backend.read_thread(thread.thread_id, None)
            while rows:
                for _, _, checkpoint, writes in rows:
                    census.add(checkpoint and checkpoint[1], [typed for *_, typed in writes])
                rows, after = yield saver._store.backend.read_thread(thread.thread_id, after)
            done += 1
            if progress is not None:
                progress(done, max(done, total))
        cursor = page.cursor
        if cursor is None:
            return census.report()


class _Census:
    """Counts classes."""

    def __init__(self) -> None:
        self._serde = PlainSerializer()
        self._checkpoints = self._writes = 0
        self._types: Counter[tuple[str, str]] = Counter()
        self._unread: Counter[str] = Counter()

    def add(self, checkpoint: TypedData | None, writes: list[TypedData]) -> None:
        if checkpoint is not None:
            self._checkpoints += 1
            self._look_at(checkpoint)
        self._writes += len(writes)
        for typed in writes:
            self._look_at(typed)

    def _look_at(self, typed: TypedData) -> None:
        value = self._serde.loads_typed(typed)  # type: ignore[arg-type]
        found = list(_objects(value))
        self._types.update({(one.module, one.name) for one in found if isinstance(one, StoredObject)})
        self._unread.update({one.tag for one in found if isinstance(one, Unreadable)})

    def report(self) -> TypesReport:
        types = [
            StoredType(*key, values=count, allowed=key in SAFE_MSGPACK_TYPES)
            for key, count in self._types.items()
        ]
        return TypesReport(tuple(sorted(types)), self._checkpoints, self._writes, dict(self._unread))


def _objects(value: Any) -> Iterator[StoredObject | Unreadable]:
    """All objects in a plain value, itself among them."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, (StoredObject, Unreadable)):
            yield found
        if isinstance(found, StoredObject):
            waiting.append(found.value)
        elif isinstance(found, Mapping):
            waiting.extend(found.values())
        elif isinstance(found, (list, tuple)):
            waiting.extend(found)
