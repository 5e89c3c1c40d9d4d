"""All commands, in groups."""

from __future__ import annotations

from typing import Annotated

import typer

from langgraph_checkpoint_rust import __version__
from langgraph_checkpoint_rust.cli import (
    conversion,
    copies,
    deletion,
    doctor,
    history,
    listing,
    marks,
    overview,
    page,
    upkeep,
)
from langgraph_checkpoint_rust.cli.exits import Commands

_GROUPS = {
    "Look (read-only)": (
        overview.info,
        listing.threads,
        history.show_,
        history.diff,
        overview.stats,
        overview.types,
        upkeep.verify,
        doctor.doctor,
        page.ui,
    ),
    "Threads": (
        marks.archive,
        marks.unarchive,
        marks.pin,
        marks.unpin,
        copies.copy,
        copies.export,
        copies.import_,
    ),
    "Delete (a dry run without --yes)": (
        deletion.prune,
        deletion.retention,
        deletion.delete,
        deletion.erase,
    ),
    "The file": (
        copies.backup,
        copies.restore,
        upkeep.repair,
        upkeep.recover,
        upkeep.compact,
        upkeep.optimize,
        conversion.upgrade,
        conversion.downgrade,
    ),
}

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for panel, commands in _GROUPS.items():
    for command in commands:
        app.command(name=command.__name__.rstrip("_"), rich_help_panel=panel)(command)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def lgcheckpoint(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Looks at databases of LangGraph checkpoints, and takes care of them.

    Name the database with -d FILE or CHECKPOINTS_DB_PATH. What deletes or overwrites is a dry run unless
    --yes is given. Every command prints JSON with --json. Exit codes: 0 done, 1 a check found something,
    2 usage, 3 no such file or thread, 4 damaged or no database, 5 in use, 6 a later version's file,
    7 refused, 130 Ctrl-C.
    """
