"""The errors of this package, by what the caller can do next.

Every class derives from `CheckpointError`, and from the exception that code written for
`langgraph-checkpoint-sqlite` catches today, so a `except sqlite3.OperationalError` keeps working.
Misuse (a wrong type, an unknown strategy) is a plain `TypeError` or `ValueError`.

Example:
    >>> from langgraph_checkpoint_rust import RustSqliteSaver
    >>> from langgraph_checkpoint_rust.errors import SaverClosedError
    >>> saver = RustSqliteSaver(":memory:")
    >>> saver.close()
    >>> try:
    ...     saver.setup()
    ... except SaverClosedError as error:
    ...     print(error)
    the saver of `:memory:` is closed; make a new one
"""

from __future__ import annotations

import sqlite3

from ormsgpack import MsgpackEncodeError

__all__ = [
    "CheckpointError",
    "ConcurrentWriteError",
    "DatabaseBusyError",
    "DatabaseCorruptError",
    "DatabaseError",
    "DatabaseInUseError",
    "DatabaseOpenError",
    "DatabaseReplacedError",
    "DiskFullError",
    "ForeignSqliteError",
    "ForkedDatabaseError",
    "InternalError",
    "LeaseHeldError",
    "LeaseLostError",
    "MissingKeyError",
    "OutcomeUnknownError",
    "PoolTimeoutError",
    "ReadOnlyError",
    "SaverClosedError",
    "SchemaVersionError",
    "SerializationError",
    "ThreadDeletedError",
    "UnsupportedFilesystemError",
]


class CheckpointError(Exception):
    """Base of all errors of this package."""


class DatabaseError(CheckpointError, sqlite3.OperationalError):
    """SQLite failed in a way that no other class here names.

    Attributes:
        sqlite_errorcode: SQLite's extended result code (https://sqlite.org/rescode.html); 0 if it gave none.
    """

    sqlite_errorcode: int

    def __init__(self, message: str, sqlite_errorcode: int = 0) -> None:
        super().__init__(message, sqlite_errorcode)
        self.sqlite_errorcode = sqlite_errorcode

    def __str__(self) -> str:
        return str(self.args[0])


class DatabaseBusyError(CheckpointError, sqlite3.OperationalError):
    """Another connection held the write lock for longer than `busy_timeout`. Retry."""


class PoolTimeoutError(CheckpointError, TimeoutError, sqlite3.OperationalError):
    """All readers were busy for `pool_timeout` seconds. Retry, or raise `pool_size`."""


class SaverClosedError(CheckpointError, sqlite3.ProgrammingError):
    """The saver was closed. Make a new one."""


class DatabaseCorruptError(CheckpointError, sqlite3.DatabaseError):
    """The file is no database, or what it holds is damaged. Restore a backup."""


class DatabaseInUseError(CheckpointError, sqlite3.OperationalError):
    """Someone else has the database open that is to be restored, or a restore is under way.

    Close the others, or wait for the restore, and retry.
    """


class DatabaseOpenError(CheckpointError, sqlite3.OperationalError):
    """The file cannot be opened or made, or refuses a setting."""


class DatabaseReplacedError(CheckpointError, sqlite3.OperationalError):
    """The file was replaced or deleted while it was open. Close the saver and make a new one."""


class SchemaVersionError(CheckpointError, sqlite3.DatabaseError):
    """A later version of this package wrote the file. Nothing was changed; update this one."""


class UnsupportedFilesystemError(CheckpointError, sqlite3.OperationalError):
    """The file is on a network or virtual-machine file system, where WAL loses data.

    Put it on a local one, or set `journal_mode="DELETE"` if one host only uses it.
    """


class ForeignSqliteError(CheckpointError, sqlite3.OperationalError):
    """A second SQLite library of this process has the file open, and no guard protects the locks."""


class ForkedDatabaseError(CheckpointError, sqlite3.ProgrammingError):
    """This process inherited the saver over a fork in a way that it cannot use. Make a new one."""


class OutcomeUnknownError(CheckpointError, sqlite3.OperationalError):
    """The disk failed while a commit was synced. Check the disk, then read back before you retry."""


class DiskFullError(CheckpointError, sqlite3.OperationalError):
    """No space is left. Nothing of the call was stored; free space and retry."""


class ReadOnlyError(CheckpointError, sqlite3.OperationalError):
    """The file or its directory cannot be written."""


class ThreadDeletedError(CheckpointError, sqlite3.IntegrityError):
    """The thread was deleted after the run began that stores in it (`on_deleted_thread="raise"`).

    Nothing was stored. End the run; a new one may use the same thread id.
    """


class ConcurrentWriteError(CheckpointError, sqlite3.IntegrityError):
    """Another run stored in the thread since this one read it (`on_conflict="raise"`).

    Nothing was stored. Read the state again and retry.
    """


class LeaseHeldError(CheckpointError, sqlite3.OperationalError):
    """Another holds the lease of the thread. Retry later."""


class LeaseLostError(CheckpointError, sqlite3.IntegrityError):
    """The lease of the thread expired, or is another's by now. Nothing was stored.

    Take a new lease, with a longer `ttl` or `renew()`, and read the state again.
    """


class SerializationError(CheckpointError, MsgpackEncodeError):
    """The state holds an object that the serializer refuses; the message says where. Nothing was stored.

    A `TypeError`, as upstream's error is.
    """


class MissingKeyError(CheckpointError, KeyError, ValueError):
    """A config or a checkpoint lacks a key that the call needs, such as `thread_id`."""

    def __str__(self) -> str:
        # KeyError would show the message in quotes.
        return str(self.args[0])


class InternalError(CheckpointError):
    """A defect of this package. Nothing of the call was stored; the next call works."""
