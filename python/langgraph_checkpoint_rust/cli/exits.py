"""How a command ends: one exit code by what the caller can do next, and one line about it."""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
import traceback
from enum import IntEnum
from typing import Any

from typer import Exit
from typer.core import TyperGroup

from langgraph_checkpoint_rust import errors
from langgraph_checkpoint_rust.cli.output import clean


class ExitCode(IntEnum):
    """The exit codes of all commands."""

    OK = 0
    FOUND = 1
    """A check found something."""
    USAGE = 2
    """The command line is wrong."""
    MISSING = 3
    """There is no such file, thread or checkpoint."""
    DAMAGED = 4
    """The file is damaged, or no database of checkpoints."""
    BUSY = 5
    """Another process uses the file. Retry."""
    NEWER = 6
    """A later version of this package wrote the file."""
    REFUSED = 7
    """The file system, or what is there, does not allow it."""
    INTERNAL = 70
    """A defect of this package."""
    INTERRUPTED = 130
    """Ctrl-C."""


class CommandError(Exception):
    """Ends a command with a message and a code."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.code = code


_CODES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], ExitCode], ...] = (
    (errors.SchemaVersionError, ExitCode.NEWER),
    (errors.DatabaseCorruptError, ExitCode.DAMAGED),
    (
        (
            errors.DatabaseBusyError,
            errors.DatabaseInUseError,
            errors.PoolTimeoutError,
            errors.LeaseHeldError,
            errors.DatabaseReplacedError,
        ),
        ExitCode.BUSY,
    ),
    (errors.InternalError, ExitCode.INTERNAL),
    ((errors.CheckpointError, OSError, sqlite3.Error), ExitCode.REFUSED),
    ((ValueError, TypeError), ExitCode.USAGE),
)


def code_of(error: Exception) -> ExitCode:
    """The exit code of an error."""
    if isinstance(error, CommandError):
        return error.code
    return next((code for kinds, code in _CODES if isinstance(error, kinds)), ExitCode.INTERNAL)


class Commands(TyperGroup):
    """The group of all commands: ends each with one line on standard error instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was named."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except KeyboardInterrupt:
            _say("interrupted; the file is as good as before")
            raise Exit(ExitCode.INTERRUPTED) from None
        except OSError as error:
            if error.errno != errno.EPIPE:
                raise _ended(error) from None
            # Whoever read, such as `head`, has seen enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise Exit(ExitCode.OK) from None
        except (CommandError, errors.CheckpointError, ValueError, TypeError, sqlite3.Error) as error:
            raise _ended(error) from None
        return result


def _ended(error: Exception) -> Exit:
    code = code_of(error)
    if code is ExitCode.INTERNAL:
        traceback.print_exception(error)
    text = (
        f"{error.strerror}: `{error.filename}`"
        if isinstance(error, OSError) and error.filename
        else str(error)
    )
    _say(text)
    return Exit(code)


def _say(text: str) -> None:
    sys.stderr.write(f"lgcheckpoint: {clean(text)}\n")
