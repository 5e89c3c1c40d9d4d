"""What changed between two plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from langgraph.checkpoint.serde.types import _DeltaSnapshot

from langgraph_checkpoint_rust.inspection.plain import StoredObject

if TYPE_CHECKING:
    from collections.abc import Iterator

Path: TypeAlias = tuple[str | int, ...]

_MOST_ALIGNED = 2000
"""Elements that differ, beyond which lists are compared by place: alignment costs the square."""


@dataclass(frozen=True)
class Change:
    """A difference.

    Attributes:
        path: Keys, fields and indices that lead there; of an element that was removed, its index before.
        kind: `"added"`, `"removed"` or `"changed"`.
        before: The value before; None if it was added.
        after: The value after; None if it was removed.
    """

    path: Path
    kind: Literal["added", "removed", "changed"]
    before: Any = None
    after: Any = None

    @property
    def where(self) -> str:
        """The path in words, as `messages[3].content`."""
        text = ""
        for part in self.path:
            if isinstance(part, int):
                text += f"[{part}]"
            else:
                text += f".{part}" if text else part
        return text


def diff(before: Any, after: Any) -> list[Change]:
    """Compares two plain values, such as the `channel_values` of two checkpoints.

    Lists are aligned first, so one message that was appended, or dropped in front, is one change. Objects are
    compared field by field if they are of one class, and, where they have ids, of one id. Comparison is
    strict: 1, 1.0 and True differ.

    Args:
        before: The one.
        after: The other.

    Returns:
        The changes, in the order of `after`, then what only `before` has; none if they are equal.

    Example:
        >>> from langgraph_checkpoint_rust.inspection import diff
        >>> [(change.where, change.kind) for change in diff({"a": [1, 2], "b": 1}, {"a": [1, 2, 3], "b": 2})]
        [('a[2]', 'added'), ('b', 'changed')]
    """
    return list(_changes((), before, after))


def _changes(path: Path, before: Any, after: Any) -> Iterator[Change]:
    match before, after:
        case Mapping(), Mapping():
            yield from _of_mappings(path, before, after)
        case list(), list():
            yield from _of_lists(path, before, after)
        case StoredObject(), StoredObject() if _is_same_object(before, after):
            yield from _changes(path, before.value, after.value)
        case _DeltaSnapshot(), _DeltaSnapshot():
            yield from _changes(path, before.value, after.value)
        case _ if _identity(before) != _identity(after):
            yield Change(path, "changed", before, after)


def _of_mappings(path: Path, before: Mapping[Any, Any], after: Mapping[Any, Any]) -> Iterator[Change]:
    for key, value in after.items():
        if key in before:
            yield from _changes((*path, str(key)), before[key], value)
        else:
            yield Change((*path, str(key)), "added", after=value)
    for key, value in before.items():
        if key not in after:
            yield Change((*path, str(key)), "removed", before=value)


def _of_lists(path: Path, before: list[Any], after: list[Any]) -> Iterator[Change]:
    old, new = list(map(_identity, before)), list(map(_identity, after))
    start, most = 0, min(len(old), len(new))
    while start < most and old[start] == new[start]:
        start += 1
    end = 0
    while end < most - start and old[-1 - end] == new[-1 - end]:
        end += 1
    old, new = old[start : len(old) - end], new[start : len(new) - end]
    if len(old) + len(new) > _MOST_ALIGNED:
        spans = [(0, len(old), 0, len(new))]
    else:
        matcher = SequenceMatcher(None, old, new, autojunk=False)
        spans = [tuple(code[1:]) for code in matcher.get_opcodes() if code[0] != "equal"]  # type: ignore[misc]
    for old_from, old_to, new_from, new_to in spans:
        pairs = min(old_to - old_from, new_to - new_from)
        for place in range(pairs):
            index, was = start + new_from + place, before[start + old_from + place]
            if _is_replaced(was, after[index]):
                yield Change((*path, index - new_from + old_from), "removed", before=was)
                yield Change((*path, index), "added", after=after[index])
            else:
                yield from _changes((*path, index), was, after[index])
        for index in range(start + new_from + pairs, start + new_to):
            yield Change((*path, index), "added", after=after[index])
        for index in range(start + old_from + pairs, start + old_to):
            yield Change((*path, index), "removed", before=before[index])


def _is_same_object(one: StoredObject, other: StoredObject) -> bool:
    return (one.module, one.name) == (other.module, other.name)


def _is_replaced(before: Any, after: Any) -> bool:
    """Whether two elements at one place are different things, not one that changed."""
    if not (isinstance(before, StoredObject) and isinstance(after, StoredObject)):
        return False
    return not _is_same_object(before, after) or _id_of(before) != _id_of(after)


def _id_of(found: StoredObject) -> Any:
    return found.value.get("id") if isinstance(found.value, dict) else None


def _identity(value: Any) -> str:
    """Equal for values that are equal and of equal types; mappings in any order of keys."""
    if isinstance(value, StoredObject):
        return f"{value.module}.{value.name}({_identity(value.value)})"
    if isinstance(value, Mapping):
        return "{" + ",".join(sorted(f"{key!r}:{_identity(item)}" for key, item in value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_identity, value)) + "]"
    return f"{type(value).__name__}:{value!r}"
