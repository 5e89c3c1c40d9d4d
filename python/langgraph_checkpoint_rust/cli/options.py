"""The options that commands share."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from langgraph_checkpoint_rust.cli.exits import CommandError, ExitCode

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGT])(i)?)?B?", re.IGNORECASE)

Database: TypeAlias = Annotated[
    str,
    typer.Option(
        "--database",
        "-d",
        envvar="CHECKPOINTS_DB_PATH",
        metavar="FILE",
        help="The database.",
        show_default=False,
    ),
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Yes: TypeAlias = Annotated[
    bool, typer.Option("--yes", "-y", help="Do it. Without, only tell what would happen.")
]
Timeout: TypeAlias = Annotated[
    float, typer.Option(help="Seconds to wait for another process that writes.", min=0, metavar="SECONDS")
]
ThreadId: TypeAlias = Annotated[str, typer.Argument(metavar="THREAD", help="The thread.", show_default=False)]
ThreadIds: TypeAlias = Annotated[
    list[str], typer.Argument(metavar="THREAD", help="The threads.", show_default=False)
]
NewFile: TypeAlias = Annotated[
    Path, typer.Argument(metavar="FILE", help="The file to make; must not exist.", show_default=False)
]
Tenant: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="TENANT", help="Only the threads of this tenant, by its own ids.", show_default=False
    ),
]
Backup: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Where a copy of the database goes first; beside it, with the time in its name, if not told.",
        show_default=False,
    ),
]
NoBackup: TypeAlias = Annotated[bool, typer.Option("--no-backup", help="Make no copy first.")]
NoRedact: TypeAlias = Annotated[bool, typer.Option("--no-redact", help="Show what looks like a secret, too.")]


def duration(text: str) -> timedelta:
    """Reads `90s`, `30m`, `12h`, `30d` or `2w`."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no duration; write 90s, 30m, 12h, 30d or 2w")
    return timedelta(seconds=float(found[1]) * _SECONDS[found[2]])


def bytes_of(text: str) -> int:
    """Reads `500MB`, `2GiB` or a number."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no size; write 500MB, 2GiB or a number of bytes")
    power = " KMGT".index((found[2] or " ").upper())
    unit: int = (1024 if found[3] else 1000) ** power
    return round(float(found[1]) * unit)


def duration_option(help_: str) -> Any:
    """An option that takes a duration."""
    return typer.Option(parser=duration, metavar="DURATION", help=help_, show_default=False)


def missing_thread(thread_id: str) -> CommandError:
    """The error of a thread that is not there."""
    return CommandError(
        ExitCode.MISSING, f"thread {thread_id!r} does not exist; `lgcheckpoint threads` lists them"
    )
