"""What changed between two checkpoints, for the page of the later one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from langgraph.checkpoint.serde.types import _DeltaSnapshot

from langgraph_checkpoint_rust.inspection import StoredObject, diff
from langgraph_checkpoint_rust.inspection.rendering import is_secret_name
from langgraph_checkpoint_rust.ui._nodes import Node, is_secret_object

if TYPE_CHECKING:
    from langgraph_checkpoint_rust.inspection import Change
    from langgraph_checkpoint_rust.ui._nodes import Budget

MOST_CHANGES = 100
_STEERING = ("branch:to:", "join:", "__")


class Shown(NamedTuple):
    """A change between two states; the node is None where there was or is nothing."""

    where: str
    is_steering: bool
    kind: str
    before: Node | None
    after: Node | None


def is_steering(channel: Any) -> bool:
    """Whether a channel is of the graph's own making: it says which nodes are to run."""
    return str(channel).startswith(_STEERING)


def changes_of(
    before: Mapping[str, Any], after: Mapping[str, Any], budget: Budget
) -> tuple[list[Shown], int]:
    """The changes of the channels' values, and how many more there are than are shown.

    Args:
        before: The values before.
        after: The values after.
        budget: What the page may still show.

    Returns:
        The changes, those of steering channels last.
    """
    changes = diff(before, after)
    changes.sort(key=lambda change: is_steering(change.where))
    shown = [_shown(change, before, after, budget) for change in changes[:MOST_CHANGES]]
    return shown, len(changes) - len(shown)


def _shown(change: Change, before: Any, after: Any, budget: Budget) -> Shown:
    # The values alone do not tell that they are secret: names on the way to them do.
    secret = _leads_through_secret(before if change.kind == "removed" else after, change.path)
    return Shown(
        budget.text(change.where),
        is_steering(change.where),
        change.kind,
        None if change.kind == "added" else budget.value(change.before, secret=secret),
        None if change.kind == "removed" else budget.value(change.after, secret=secret),
    )


def _leads_through_secret(value: Any, path: tuple[str | int, ...]) -> bool:
    """Whether a path of `diff` goes through a secret's name or object."""
    for part in (*path, None):
        while isinstance(value, (StoredObject, _DeltaSnapshot)):
            if isinstance(value, StoredObject) and is_secret_object(value):
                return True
            value = value.value
        if is_secret_name(part):
            return True
        if isinstance(value, Mapping):
            value = next((item for key, item in value.items() if str(key) == part), None)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
    return False
