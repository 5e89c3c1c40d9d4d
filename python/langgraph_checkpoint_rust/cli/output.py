"""All that is printed: tables, values and JSON on standard output, remarks on standard error."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TextIO

from rich import box
from rich.console import Console
from rich.constrain import Constrain
from rich.pretty import Pretty
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

_UNLIMITED = 100_000
"""Columns, where nobody looks: programs get whole cells."""
_WIDEST_VALUE = 120
_MOST_ITEMS, _MOST_TEXT = 20, 200
"""What is shown of a list, and of a text within a state."""
_STYLES = {
    "busy": "cyan",
    "interrupted": "yellow",
    "error": "red",
    "pending": "blue",
    "done": "green",
    "ok": "green",
    "note": "blue",
    "warning": "yellow",
}
NOTHING = "-"


def clean(text: str) -> str:
    """A text that cannot steer a terminal: control characters are escaped, line ends are kept."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def console(stream: TextIO) -> Console:
    """A console of a stream, as wide as its terminal."""
    width = None if stream.isatty() or "COLUMNS" in os.environ else _UNLIMITED
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False)


def show(*parts: RenderableType) -> None:
    """Prints on standard output."""
    _print(sys.stdout, [Text(clean(part)) if isinstance(part, str) else part for part in parts])


def remark(text: str) -> None:
    """Prints a line on standard error: what is not the answer."""
    _print(sys.stderr, [Text(clean(text), style="dim")])


def _print(stream: TextIO, parts: Iterable[RenderableType]) -> None:
    target = console(stream)
    with target.capture() as captured:
        for part in parts:
            target.print(part)
    text = captured.get()
    # Cells are padded to their columns.
    stream.write(text if target.is_terminal else re.sub(r" +$", "", text, flags=re.MULTILINE))
    stream.flush()


def show_json(document: Mapping[str, Any]) -> None:
    """Prints the one JSON document of a command."""
    sys.stdout.write(json.dumps(document, indent=2, default=_json_of, allow_nan=False) + "\n")
    sys.stdout.flush()


def _json_of(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return str(value)


def cell(value: Any) -> Text:
    """A cell of a table."""
    if value is None or value == "":
        return Text(NOTHING, style="dim")
    if isinstance(value, Text):
        return value
    if isinstance(value, bool):
        value = "yes" if value else "no"
    if isinstance(value, int):
        value = f"{value:,}"
    if isinstance(value, datetime):
        value = moment(value)
    text = clean(str(value))
    return Text(text, style=_STYLES.get(text, ""))


def table(columns: Mapping[str, str], rows: Iterable[Iterable[Any]]) -> Table:
    """A table.

    Args:
        columns: Heads, each with how it is set: `<` or `>`, and `!` if it must not be cut or broken.
        rows: The cells.
    """
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for head, how in columns.items():
        made.add_column(
            head,
            justify="right" if ">" in how else "left",
            no_wrap="!" in how or ">" in how,
            overflow="fold",
        )
    for row in rows:
        made.add_row(*map(cell, row))
    return made


def facts(pairs: Mapping[str, Any]) -> Table:
    """Names and values, one a line."""
    made = Table.grid(padding=(0, 2))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs.items():
        made.add_row(name, cell(value))
    return made


def pretty(value: Any) -> Constrain:
    """A value of a state: long texts and lists are cut, control characters escaped."""
    return Constrain(Pretty(value, max_length=_MOST_ITEMS, max_string=_MOST_TEXT), _WIDEST_VALUE)


def size(count: float) -> str:
    """Bytes, with a unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:  # noqa: PLR2004 - of the units
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def moment(when: datetime) -> str:
    """A time, in UTC, to the second."""
    return f"{when.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S}"


def minute(when: datetime) -> str:
    """A time, in UTC, to the minute."""
    return moment(when)[:-3]


def counted(count: int, word: str) -> str:
    """A number with its word."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def remark_dry_run(yes: bool) -> None:
    """Says that nothing was done, unless it was."""
    if not yes:
        remark("dry run: nothing was changed; --yes does it")
