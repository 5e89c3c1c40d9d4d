"""The lines beside a timeline: which checkpoint follows which, drawn as a column of lanes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_LANES = 8
"""Further branches are drawn over the last of them."""
LANE = 18
"""The width of a lane in the units of the drawing."""
HEIGHT = 64
"""The height of a row in them."""


@dataclass(frozen=True)
class Row:
    """The drawing of one checkpoint, between the one above, which is newer, and the one below.

    Attributes:
        lane: The lane of its dot.
        lines: Paths of an SVG, each with the number of its lane.
        width: The width of the drawing.
        children: How many of the checkpoints above follow it.
    """

    lane: int
    lines: tuple[tuple[str, int], ...]
    width: int
    children: int

    @property
    def x(self) -> int:
        """Where the dot is."""
        return centre(self.lane)


def centre(lane: int) -> int:
    """The middle of a lane."""
    return LANE // 2 + LANE * min(lane, MOST_LANES - 1)


def draw(
    steps: Iterable[tuple[str, str | None]], waiting: Sequence[str | None] = ()
) -> tuple[list[Row], list[str | None]]:
    """Draws a page of a timeline.

    Args:
        steps: Each checkpoint and its parent, newest first.
        waiting: What the page above ended with.

    Returns:
        A drawing for each, and which parents the lanes wait for below; None is a free lane.
    """
    lanes = list(waiting)
    drawn: list[tuple[int, list[tuple[str, int]], int]] = []
    for checkpoint, parent in steps:
        children = [number for number, awaited in enumerate(lanes) if awaited == checkpoint]
        lane = children[0] if children else _free(lanes)
        lines = []
        for number, awaited in enumerate(lanes):
            if number in children:
                lines.append((_curve(number, lane), number))
            elif awaited is not None:
                lines.append((f"M{centre(number)} -1V{HEIGHT + 1}", number))
        for number in children:
            lanes[number] = None
        lanes[lane] = parent
        if parent is not None:
            lines.append((f"M{centre(lane)} {HEIGHT // 2}V{HEIGHT + 1}", lane))
        while lanes and lanes[-1] is None:
            lanes.pop()
        drawn.append((lane, lines, len(children)))
    used = [number for lane, lines, _ in drawn for number in (lane, *(crossed for _, crossed in lines))]
    width = (min(max(used, default=0), MOST_LANES - 1) + 1) * LANE
    rows = [Row(lane, tuple(lines), width, children) for lane, lines, children in drawn]
    return rows, lanes


def _free(lanes: list[str | None]) -> int:
    """A lane for a checkpoint that nothing above follows."""
    if None not in lanes:
        lanes.append(None)
    return lanes.index(None)


def _curve(start: int, end: int) -> str:
    """From the top of one lane to the dot in another."""
    middle = HEIGHT // 2
    if start == end:
        return f"M{centre(start)} -1V{middle}"
    return f"M{centre(start)} -1C{centre(start)} {middle} {centre(start)} {middle} {centre(end)} {middle}"
