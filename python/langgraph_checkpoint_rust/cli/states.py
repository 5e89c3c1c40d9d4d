"""The values of one checkpoint, and differences of two, as `show` and `diff` print them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rich.text import Text

from langgraph_checkpoint_rust._tuples import config_of
from langgraph_checkpoint_rust.cli.exits import CommandError, ExitCode
from langgraph_checkpoint_rust.cli.output import clean, pretty
from langgraph_checkpoint_rust.inspection import (
    Change,
    Step,
    StoredObject,
    as_json,
    redacted,
    timeline,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langgraph_checkpoint_rust import RustSqliteSaver

_LONGEST_STEP = 9
"""Digits of a step; an id has more."""
_SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}


@dataclass(frozen=True)
class State:
    """A checkpoint with its values."""

    checkpoint_ns: str
    checkpoint_id: str | None
    parent_id: str | None
    metadata: Any
    values: Any
    writes: tuple[tuple[str, str, Any], ...]
    """Task, channel and value of each pending write."""

    def shown(self, channels: list[str] | None, *, redact: bool) -> State:
        """What is to be printed of it."""
        values, writes = self.values, self.writes
        if channels and isinstance(values, Mapping):
            values = {name: value for name, value in values.items() if name in channels}
            writes = tuple(write for write in writes if write[1] in channels)
        if not redact:
            return replace(self, values=values, writes=writes)
        return replace(
            self,
            values=redacted(values),
            metadata=redacted(self.metadata),
            # By the channel's name, too.
            writes=tuple(
                (task, channel, redacted({channel: value})[channel]) for task, channel, value in writes
            ),
        )

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "checkpoint_ns": self.checkpoint_ns,
            "checkpoint_id": self.checkpoint_id,
            "parent_id": self.parent_id,
            "metadata": as_json(self.metadata),
            "values": as_json(self.values),
            "pending_writes": [
                {"task_id": task, "channel": channel, "value": as_json(value)}
                for task, channel, value in self.writes
            ],
        }

    def lines(self) -> Iterator[Any]:
        """For people."""
        yield f"checkpoint {self.checkpoint_id}"
        yield from _titled("metadata", self.metadata)
        for name, value in (
            self.values.items() if isinstance(self.values, Mapping) else [("state", self.values)]
        ):
            yield from _titled(str(name), value)
        for task, channel, value in self.writes:
            yield from _titled(f"write of task {task} to {channel}", value)


def _titled(title: str, value: Any) -> Iterator[Any]:
    yield Text(f"\n{clean(title)}", style="bold")
    yield pretty(value)


def nothing(checkpoint_ns: str) -> State:
    """What comes before the first checkpoint."""
    return State(checkpoint_ns, None, None, {}, {}, ())


def load(saver: RustSqliteSaver, thread_id: str, checkpoint_ns: str, named: str | None) -> State:
    """The checkpoint that an id, the beginning of one, or a step names; the newest if none."""
    checkpoint_id = None if named is None else _find(saver, thread_id, checkpoint_ns, named)
    config = config_of(thread_id, checkpoint_ns, checkpoint_id)
    found = saver.get_tuple(config)
    if found is None:
        what = "checkpoint" if named is None else f"checkpoint {named!r}"
        raise CommandError(
            ExitCode.MISSING, f"thread {thread_id!r} has no {what} in namespace {checkpoint_ns!r}"
        )
    parent = None if found.parent_config is None else found.parent_config["configurable"]["checkpoint_id"]
    checkpoint: Any = found.checkpoint
    is_plain = isinstance(checkpoint, Mapping)
    return State(
        checkpoint_ns,
        checkpoint_id
        or (str(checkpoint["id"]) if is_plain else found.config["configurable"]["checkpoint_id"]),
        parent,
        found.metadata,
        checkpoint.get("channel_values", {}) if is_plain else checkpoint,
        tuple(found.pending_writes or ()),
    )


def _find(saver: RustSqliteSaver, thread_id: str, checkpoint_ns: str, named: str) -> str:
    digits = named.removeprefix("-")
    steps = timeline(saver, thread_id, checkpoint_ns=checkpoint_ns)
    if digits.isdecimal() and len(digits) <= _LONGEST_STEP:
        return next((step.checkpoint_id for step in steps if step.step == int(named)), named)
    if saver.get_tuple(config_of(thread_id, checkpoint_ns, named)) is not None:
        return named
    found = [step.checkpoint_id for step in steps if step.checkpoint_id.startswith(named)]
    if len(found) > 1:
        raise CommandError(
            ExitCode.USAGE, f"{len(found)} checkpoints of thread {thread_id!r} begin with {named!r}"
        )
    return found[0] if found else named


def masked(change: Change, *, redact: bool) -> Change:
    """A change without secrets, by the names that lead to it, too."""
    if not redact:
        return change
    before, after = change.before, change.after
    for name in reversed(change.path):
        before, after = {name: before}, {name: after}
    before, after = redacted(before), redacted(after)
    for _ in change.path:
        before, after = (next(iter(value.values())) for value in (before, after))
    return replace(change, before=before, after=after)


def change_document(change: Change, *, values: bool) -> dict[str, Any]:
    """A change as JSON."""
    document: dict[str, Any] = {"path": list(change.path), "where": change.where, "kind": change.kind}
    if values:
        document |= {"before": as_json(change.before), "after": as_json(change.after)}
    return document


def change_line(change: Change, *, values: bool) -> Any:
    """A change for people: where, and what, as words or values."""
    sign, style = _SIGNS[change.kind]
    line = Text(f"{sign} {clean(change.where)}  ", style=style)
    parts = {"added": [change.after], "removed": [change.before], "changed": [change.before, change.after]}
    words = [clean(_cut(repr(part))) if values else _kind_of(part) for part in parts[change.kind]]
    return line.append(" -> ".join(words), style="default")


def _cut(text: str, most: int = 500) -> str:
    return text if len(text) <= most else f"{text[:most]}... ({len(text):,} characters)"


def _kind_of(value: Any) -> str:
    match value:
        case StoredObject(_, name):
            return clean(name)
        case str() | bytes():
            return f"{type(value).__name__} of {len(value):,}"
        case list() | Mapping():
            return f"{type(value).__name__} of {len(value):,}"
    return "None" if value is None else type(value).__name__


def next_of(step: Step) -> Text:
    """The nodes that come next, and what became of them."""
    text = Text(clean(", ".join(step.next)))
    if step.errors:
        text.append(" (error)", style="red")
    elif step.interrupts:
        text.append(" (interrupt)", style="yellow")
    return text
