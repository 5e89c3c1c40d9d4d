"""`upgrade` and `downgrade`: the format of the file."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from langgraph_checkpoint_rust.cli.copies import refuse_existing
from langgraph_checkpoint_rust.cli.opening import WAIT, writing
from langgraph_checkpoint_rust.cli.options import AsJson, Backup, Database, NoBackup, Timeout, Yes
from langgraph_checkpoint_rust.cli.output import remark_dry_run, show, show_json, size
from langgraph_checkpoint_rust.cli.progress import progress


def upgrade(
    database: Database,
    backup: Backup = None,
    no_backup: NoBackup = False,
    no_vacuum: Annotated[
        bool, typer.Option("--no-vacuum", help="Do not write the file anew at the end; see `compact --full`.")
    ] = False,
    yes: Yes = False,
    timeout: Timeout = WAIT,
    as_json: AsJson = False,
) -> None:
    """Converts the file to the compact format, which langgraph-checkpoint-sqlite does not read."""
    _convert("compact", database, backup or not no_backup, yes, timeout, as_json, vacuum=not no_vacuum)


def downgrade(
    database: Database,
    backup: Backup = None,
    no_backup: NoBackup = False,
    yes: Yes = False,
    timeout: Timeout = WAIT,
    as_json: AsJson = False,
) -> None:
    """Converts the file to the format of langgraph-checkpoint-sqlite. It grows to what that takes."""
    _convert("interop", database, backup or not no_backup, yes, timeout, as_json)


def _convert(
    target: str, database: str, backup: Any, yes: bool, timeout: float, as_json: bool, **options: bool
) -> None:
    with writing(database, timeout, yes=yes) as (facts, saver):
        before = saver.format
        if not isinstance(backup, bool):
            refuse_existing(backup)
        if yes:
            convert = saver.upgrade if target == "compact" else saver.downgrade
            with progress("rows") as advance:
                backup = convert(backup=backup, progress=advance, **options).backup
    after = facts.path.stat().st_size
    if as_json:
        sizes = {"bytes_before": facts.bytes, "bytes_after": after}
        copy = str(backup) if yes and backup else None
        show_json({"dry_run": not yes, "from": before, "to": target, "backup": copy, **sizes})
        return
    if yes:
        copy = f"; {backup} is as it was" if backup else ""
        show(f"{before} to {target}: {size(facts.bytes)} before, {size(after)} now{copy}")
    elif before == target:
        show(f"{facts.path} is in the {target} format already")
    else:
        named = "beside it" if backup is True else f"as {backup}"
        copy = f"back it up {named} and " if backup else ""
        show(
            f"would {copy}convert {facts.path} ({size(facts.bytes)}) from the {before} to the {target} format"
        )
    remark_dry_run(yes)
