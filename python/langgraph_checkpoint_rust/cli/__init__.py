"""The command line `lgcheckpoint`: see docs/command-line.md.

One file for each group of commands; `opening` opens databases, `exits` knows the exit codes, and `output`
all that is printed.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command that `sys.argv` names, and ends the process with its exit code."""
    try:
        from langgraph_checkpoint_rust.cli.app import app  # noqa: PLC0415 - needs the extra
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.exit(f"lgcheckpoint: {error.name} is not installed; pip install 'langgraph-checkpoint-rust[cli]'")
    except KeyboardInterrupt:
        sys.exit(130)
    app(prog_name="lgcheckpoint")
