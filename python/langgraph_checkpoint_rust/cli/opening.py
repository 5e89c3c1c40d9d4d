"""Opens the database of a command, in a way that suits the file and never makes or converts one."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langgraph_checkpoint_rust import RustSqliteSaver, _address
from langgraph_checkpoint_rust.cli.exits import CommandError, ExitCode
from langgraph_checkpoint_rust.errors import DatabaseBusyError
from langgraph_checkpoint_rust.inspection import PlainSerializer, Unreadable
from langgraph_checkpoint_rust.settings import SqliteSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT = 5.0
"""Seconds to wait for another process: a person waits, not an app."""
_HEADER, _VERSION_PLACE = 100, 96
_AUTO_VACUUM = ("none", "full", "incremental")


@dataclass(frozen=True)
class FileFacts:
    """What SQLite says of a database file, before anything is opened.

    Read with Python's own `sqlite3`, which is closed again before a saver opens the file: two SQLite
    libraries at once would drop each other's locks.
    """

    path: Path
    bytes: int
    wal_bytes: int
    page_size: int
    pages: int
    free_pages: int
    journal_mode: str
    auto_vacuum: str
    encoding: str
    user_version: int
    application_id: int
    written_by: str
    """The SQLite that changed the file last."""
    has_checkpoints: bool
    meta: dict[str, str]
    """`checkpoint_meta`: the format and the least versions that may read and write."""
    checkpoints: int | None
    """Counted only if a bar will show it."""


def path_of(database: str) -> Path:
    """The file that the option names. It is there."""
    path = _address.resolve(database).path
    if path is None:
        raise CommandError(ExitCode.USAGE, "a database in memory ends with its process; name a file")
    if not path.exists():
        raise CommandError(ExitCode.MISSING, f"there is no file `{path}`")
    if not path.is_file():
        raise CommandError(ExitCode.MISSING, f"`{path}` is no file")
    return path


def facts_of(database: str, *, count: bool = False) -> FileFacts:
    """What there is to know of the file without opening a saver."""
    path = path_of(database)
    try:
        return _facts_of(path, count and sys.stderr.isatty())
    except sqlite3.DatabaseError as error:
        # The saver has an error for each case.
        with RustSqliteSaver(path, read_only=True, journal_mode="DELETE", busy_timeout=0) as saver:
            saver.setup()
        if "locked" in str(error):
            raise DatabaseBusyError(f"database `{path}` is locked by another process; retry") from error
        raise CommandError(ExitCode.DAMAGED, f"database `{path}` cannot be read: {error}") from error


def _facts_of(path: Path, count: bool) -> FileFacts:
    with path.open("rb") as file:
        header = file.read(_HEADER)
    wal = path.with_name(path.name + "-wal")
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)
    try:

        def rows(statement: str) -> list[Any]:
            return connection.execute(statement).fetchall()

        def pragma(name: str) -> Any:
            return rows(f"PRAGMA {name}")[0][0]

        tables = {name for (name,) in rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
        has_checkpoints = {"checkpoints", "writes"} <= tables
        stored = rows("SELECT key, value FROM checkpoint_meta") if "checkpoint_meta" in tables else []
        meta = {str(key): str(value) for key, value in stored}
        return FileFacts(
            path,
            bytes=path.stat().st_size,
            wal_bytes=wal.stat().st_size if wal.exists() else 0,
            page_size=pragma("page_size"),
            pages=pragma("page_count"),
            free_pages=pragma("freelist_count"),
            journal_mode=pragma("journal_mode"),
            auto_vacuum=_AUTO_VACUUM[pragma("auto_vacuum")],
            encoding=pragma("encoding"),
            user_version=pragma("user_version"),
            application_id=pragma("application_id"),
            written_by=version_of(int.from_bytes(header[_VERSION_PLACE:], "big")),
            has_checkpoints=has_checkpoints,
            meta=meta,
            checkpoints=rows("SELECT count(*) FROM checkpoints")[0][0] if count and has_checkpoints else None,
        )
    finally:
        connection.close()


def version_of(number: int) -> str:
    """SQLite's version number in words."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}" if number else "unknown"


class _OnlyReadable(PlainSerializer):
    """Refuses what it cannot read: a verb that deletes would take it for empty."""

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        value = super().loads_typed(data)
        if isinstance(value, Unreadable):
            raise CommandError(
                ExitCode.REFUSED,
                f"a value with the tag {value.tag!r} can only be read by the app's own serializer; "
                "call this verb in the app",
            )
        return value


@contextmanager
def reading(
    database: str, *, count: bool = False, tenant: str | None = None
) -> Iterator[tuple[FileFacts, RustSqliteSaver]]:
    """A saver that only reads, plain values.

    Args:
        database: The option.
        count: Whether a bar will count checkpoints.
        tenant: Whose threads it sees; all if None.
    """
    facts = facts_of(database, count=count)
    require_checkpoints(facts)
    with _saver(facts, PlainSerializer(), read_only=True, busy_timeout=WAIT) as saver:
        saver.setup()
        yield facts, saver if tenant is None else saver.scoped(tenant)


@contextmanager
def writing(
    database: str, timeout: float, *, yes: bool = True, tenant: str | None = None
) -> Iterator[tuple[FileFacts, RustSqliteSaver]]:
    """A saver that may write; for a dry run one that only reads, and refuses the same data.

    Args:
        database: The option.
        timeout: Seconds to wait for another process that writes.
        yes: Whether it is to be done.
        tenant: As in `reading`.
    """
    facts = facts_of(database, count=True)
    require_checkpoints(facts)
    if yes and not os.access(facts.path, os.W_OK):
        raise CommandError(ExitCode.REFUSED, f"`{facts.path}` cannot be written; check its permissions")
    with _saver(facts, _OnlyReadable(), read_only=not yes, busy_timeout=timeout) as saver:
        # What the file is, is known before anything is done: `restore` would replace that of a later version.
        saver.setup()
        yield facts, saver if tenant is None else saver.scoped(tenant)


def _saver(facts: FileFacts, serde: PlainSerializer, **options: Any) -> RustSqliteSaver:
    """With the settings of the environment, as the app has them, but for what the file decides."""
    journal_mode = "WAL" if facts.journal_mode == "wal" else "DELETE"
    settings = SqliteSettings.from_env().replace({"format": "auto", "journal_mode": journal_mode, **options})  # type: ignore[typeddict-item]
    return RustSqliteSaver(facts.path, serde=serde, settings=settings)


def require_checkpoints(facts: FileFacts) -> None:
    """Ends the command if the database is another app's: a saver would make its tables in it."""
    if not facts.has_checkpoints:
        raise CommandError(
            ExitCode.DAMAGED, f"`{facts.path}` is a database without checkpoints: it has no such tables"
        )
