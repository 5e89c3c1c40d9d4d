"""The checkpoints of a thread as steps, and as the tree that forks make of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.serde.types import ERROR, INTERRUPT, TASKS

from langgraph_checkpoint_rust import _metadata
from langgraph_checkpoint_rust._pages import Pages
from langgraph_checkpoint_rust.inspection.plain import PlainSerializer, StoredObject

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from langgraph_checkpoint_rust._rows import StoredTuple
    from langgraph_checkpoint_rust._saver import Saver

_START = "__start__"
_BRANCH, _JOIN = "branch:to:", "join:"


@dataclass(frozen=True)
class Step:
    """A checkpoint, without its state.

    Attributes:
        checkpoint_ns: The namespace: `""` for the root graph.
        checkpoint_id: The checkpoint.
        parent_id: The checkpoint it follows, which may be deleted.
        created: When it was made; None if it does not say so.
        step: `step` in its metadata.
        source: `source` there: `"input"`, `"loop"`, `"update"` or `"fork"`.
        run_id: `run_id` there.
        next: The nodes of the next step, by the rules of `Thread.next`.
        channels: The channels it holds values of.
        writes: How many writes are stored with it: what the next nodes made so far.
        bytes: The size of the state, its metadata and its writes, as its serializer made them. A compact file
            takes less: what steps share is stored once.
        interrupts: What nodes called `interrupt()` with at this checkpoint, as plain values.
        errors: What nodes raised at this checkpoint.
    """

    checkpoint_ns: str
    checkpoint_id: str
    parent_id: str | None
    created: datetime | None
    step: int | None
    source: str | None
    run_id: str | None
    next: tuple[str, ...]
    channels: tuple[str, ...]
    writes: int
    bytes: int
    interrupts: tuple[Any, ...] = ()
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Branch:
    """Steps that follow each other, and what forks off at the last of them.

    Attributes:
        steps: The steps, oldest first.
        branches: The branches that begin there, oldest first; none or at least two.
    """

    steps: tuple[Step, ...]
    branches: tuple[Branch, ...] = ()


def timeline(
    saver: Saver,
    thread_id: str,
    *,
    checkpoint_ns: str | None = "",
    before: str | None = None,
    limit: int | None = None,
) -> Iterator[Step]:
    """Yields the checkpoints of a thread, newest first, without importing a class.

    Args:
        saver: A saver of the database; its serializer is not used.
        thread_id: The thread.
        checkpoint_ns: The namespace: the root graph's if it is `""`; None for all.
        before: Only checkpoints with an id below this one: the last of the page before.
        limit: At most this many.

    Yields:
        The steps. Pages are read as the caller advances; nothing is held meanwhile.

    Raises:
        DatabaseCorruptError: If a stored value cannot be read.

    Example:
        >>> from langgraph.checkpoint.base import empty_checkpoint
        >>> from langgraph_checkpoint_rust import RustSqliteSaver
        >>> from langgraph_checkpoint_rust.inspection import timeline
        >>> saver = RustSqliteSaver(":memory:")
        >>> config = {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}
        >>> stored = saver.put(config, empty_checkpoint(), {"source": "input", "step": -1}, {})
        >>> [(step.step, step.source, step.next) for step in timeline(saver, "1")]
        [(-1, 'input', ())]
    """
    pages = _pages(thread_id, checkpoint_ns, before, limit)
    while pages.more:
        yield from map(_step_of, saver._run(saver._page(pages), "list"))


async def atimeline(
    saver: Saver,
    thread_id: str,
    *,
    checkpoint_ns: str | None = "",
    before: str | None = None,
    limit: int | None = None,
) -> AsyncIterator[Step]:
    """As `timeline`."""
    await saver._store.resolve()
    pages = _pages(thread_id, checkpoint_ns, before, limit)
    while pages.more:
        rows: list[StoredTuple] = await saver._arun(saver._page(pages), "list")
        for row in rows:
            yield _step_of(row)


def branches(steps: Iterable[Step]) -> tuple[Branch, ...]:
    """The tree that steps make by their parents: one branch for each step whose parent is not among them.

    Args:
        steps: The steps, in any order.

    Returns:
        The branches, oldest first.

    Example:
        >>> from langgraph_checkpoint_rust import RustSqliteSaver
        >>> from langgraph_checkpoint_rust.inspection import branches, timeline
        >>> branches(timeline(RustSqliteSaver(":memory:"), "1"))
        ()
    """
    known = {(step.checkpoint_ns, step.checkpoint_id): step for step in steps}
    # Newest first, so that what follows a step is whole before the step is looked at.
    tails: dict[Any, tuple[list[Step], tuple[Branch, ...]]] = {}
    children: dict[Any, list[Any]] = {}
    roots: list[Any] = []
    for key in sorted(known, reverse=True):
        step = known[key]
        followers = children.pop(key, [])
        if len(followers) == 1:
            tail, forks = tails.pop(followers[0])
            tail.append(step)
        else:
            tail = [step]
            forks = tuple(_branch(*tails.pop(follower)) for follower in reversed(followers))
        tails[key] = tail, forks
        parent = (step.checkpoint_ns, step.parent_id or "")
        # A parent is older; damaged data could make a circle.
        (children.setdefault(parent, []) if parent in known and parent < key else roots).append(key)
    return tuple(_branch(*tails[key]) for key in reversed(roots))


def _branch(tail: list[Step], forks: tuple[Branch, ...]) -> Branch:
    return Branch(tuple(reversed(tail)), forks)


def _pages(thread_id: str, checkpoint_ns: str | None, before: str | None, limit: int | None) -> Pages:
    configurable = {"thread_id": thread_id}
    if checkpoint_ns is not None:
        configurable["checkpoint_ns"] = checkpoint_ns
    until = None if before is None else {"configurable": {**configurable, "checkpoint_id": before}}
    return Pages({"configurable": configurable}, None, until, limit)


def _step_of(row: StoredTuple) -> Step:
    _, checkpoint_ns, checkpoint_id, parent_id, typed, metadata, writes = row
    serde = PlainSerializer()
    checkpoint = _mapping(serde.loads_typed(typed))  # type: ignore[arg-type]
    told = _mapping(_metadata.loads(metadata))
    notable = [
        (channel, serde.loads_typed(value))  # type: ignore[arg-type]
        for _, channel, value in writes
        if channel in (INTERRUPT, ERROR)
    ]
    sizes = [len(data or b"") for data in (typed[1], metadata, *(value[1] for _, _, value in writes))]
    return Step(
        checkpoint_ns,
        checkpoint_id,
        parent_id,
        _time_of(checkpoint.get("ts")),
        step=told.get("step"),
        source=told.get("source"),
        run_id=told.get("run_id"),
        next=_next_nodes(checkpoint),
        channels=tuple(map(str, _mapping(checkpoint.get("channel_values")))),
        writes=len(writes),
        bytes=sum(sizes),
        interrupts=tuple(
            _mapping(found.value).get("value") if isinstance(found, StoredObject) else found
            for channel, value in notable
            if channel == INTERRUPT
            for found in (value if isinstance(value, list) else [value])
        ),
        errors=tuple(str(value) for channel, value in notable if channel == ERROR),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _time_of(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None


def _next_nodes(checkpoint: Mapping[str, Any]) -> tuple[str, ...]:
    """By the rules of the engine (`src/progress.rs`), which reads them from the bytes."""
    values = _mapping(checkpoint.get("channel_values"))
    versions = _mapping(checkpoint.get("channel_versions"))
    seen = _mapping(checkpoint.get("versions_seen"))
    nodes = set()
    for channel in versions.keys() & values.keys():
        node = _node_of(channel)
        if node is None or not _is_available(channel, values[channel]):
            continue
        observers = [name for name in seen if name != INTERRUPT] if channel == _START else [node]
        if all(_mapping(seen.get(name)).get(channel) != versions[channel] for name in observers):
            nodes.add(node)
    sends = values.get(TASKS)
    first = [
        str(send.value[0])
        for send in (sends if isinstance(sends, list) else ())
        if isinstance(send, StoredObject) and isinstance(send.value, list) and send.value
    ]
    return (*first, *sorted(nodes))


def _node_of(channel: Any) -> str | None:
    """The node that a channel triggers."""
    if not isinstance(channel, str):
        return None
    if channel == _START or channel.startswith(_BRANCH):
        return channel.removeprefix(_BRANCH)
    return channel.rpartition(":")[2] if channel.startswith(_JOIN) else None


def _is_available(channel: str, value: Any) -> bool:
    """Whether a trigger with this value fires: that of a deferred node ends with whether it may."""
    if channel == _START:
        return True
    if isinstance(value, list) and value and value[-1] is False:
        return False
    if not channel.startswith(_JOIN):
        return True
    names = channel.removeprefix(_JOIN).rpartition(":")[0]
    wrote = value[0] if isinstance(value, list) and value else value
    wrote = wrote.value if isinstance(wrote, StoredObject) else ()
    return sum(len(name) + 1 for name in wrote) == len(names) + 1
