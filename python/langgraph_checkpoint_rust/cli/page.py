"""`ui`: the web page."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from langgraph_checkpoint_rust.cli.exits import CommandError, ExitCode
from langgraph_checkpoint_rust.cli.opening import reading
from langgraph_checkpoint_rust.cli.options import AsJson, Database, NoRedact
from langgraph_checkpoint_rust.cli.output import remark, show_json
from langgraph_checkpoint_rust.ui import serve


def ui(
    database: Database,
    port: Annotated[int, typer.Option(help="The port at 127.0.0.1; 0 for a free one.", min=0, max=65535)] = 0,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
    no_redact: NoRedact = False,
    as_json: AsJson = False,
) -> None:
    """Serves a read-only web page about the file to this machine, until Ctrl-C."""

    def announce(url: str) -> None:
        if as_json:
            show_json({"url": url})
        else:
            # In one line, however narrow the terminal.
            typer.echo(url)
            remark("Ctrl-C ends it")
        sys.stdout.flush()

    # For its errors, which come with their exit codes.
    with reading(database) as (facts, _):
        path = facts.path
    try:
        serve(path, port=port, open_browser=browser, redact=not no_redact, announce=announce)
    except ImportError as error:
        raise CommandError(ExitCode.REFUSED, str(error)) from error
