"""The history of a thread as a tree: oldest first, forks to the right, the newest branch straight on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from langgraph_checkpoint_rust.cli.output import clean, size
from langgraph_checkpoint_rust.cli.states import next_of
from langgraph_checkpoint_rust.inspection import branches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langgraph_checkpoint_rust.inspection import Step


def drawn(steps: Iterable[Step]) -> Text:
    """The tree, a line for each checkpoint."""
    text = Text()
    waiting = [(branch, 0, False) for branch in reversed(branches(steps))]
    while waiting:
        branch, depth, is_fork = waiting.pop()
        if is_fork:
            text.append("│ " * (depth - 1) + "├─╮\n", style="dim")
        for step in branch.steps:
            _draw(text, step, depth)
        *forks, straight = branch.branches or (None,)
        if straight is not None:
            waiting.append((straight, depth, False))
        waiting += [(fork, depth + 1, True) for fork in reversed(forks) if fork is not None]
    text.rstrip()
    return text


def _draw(text: Text, step: Step, depth: int) -> None:
    text.append("│ " * depth, style="dim").append("● ")
    number = "?" if step.step is None else str(step.step)
    text.append(f"{number:>3} {clean(step.source or '?'):<6} ", style="bold")
    text.append(f"{clean(step.checkpoint_id)} {size(step.bytes):>9}  ")
    text.append_text(next_of(step)).append("\n")
