"""The first argument of a saver: from a path, a URI or a connection to a file."""

from __future__ import annotations

import os
import sqlite3
import urllib.parse
import warnings
from pathlib import Path
from typing import Any, NamedTuple

_MEMORY = ":memory:"
# `PRAGMA database_list` yields (number, name, file); the file is '' for a database in memory.
_FILE_COLUMN = 2


class Address(NamedTuple):
    """Where a database is."""

    path: Path | None
    """The file; None for one in memory."""
    read_only: bool = False


def is_aiosqlite(conn: Any) -> bool:
    """Whether `conn` is an `aiosqlite` connection, without importing that package."""
    return any(base.__module__.partition(".")[0] == "aiosqlite" for base in type(conn).__mro__)


def resolve(conn: Any) -> Address:
    """Finds the database that a path, a URI or a `sqlite3.Connection` names.

    Raises:
        TypeError: If `conn` is something else.
        ValueError: If the URI asks for what a saver cannot do, or the connection holds data in memory.
    """
    if isinstance(conn, sqlite3.Connection):
        rows = conn.execute("PRAGMA database_list").fetchall()
        return _of_connection(rows, conn.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if isinstance(conn, os.PathLike):
        conn = os.fspath(conn)
    if isinstance(conn, bytes):
        conn = os.fsdecode(conn)
    if not isinstance(conn, str):
        raise TypeError(
            "the first argument must be a path, a URI, or a sqlite3 or aiosqlite connection, "
            f"not {type(conn).__name__}"
        )
    if conn.startswith("sqlite:"):
        return _of_url(conn)
    if conn.startswith("file:"):
        return _of_uri(conn)
    return _of_path(conn)


async def aresolve(conn: Any) -> Address:
    """As `resolve`, for an `aiosqlite` connection; it is connected if it is not yet."""
    try:
        rows = await conn.execute_fetchall("PRAGMA database_list")
    except ValueError:  # not connected yet
        await conn
        rows = await conn.execute_fetchall("PRAGMA database_list")
    counts = await conn.execute_fetchall("SELECT count(*) FROM sqlite_master")
    return _of_connection(list(rows), next(iter(counts))[0])


def _of_path(path: str) -> Address:
    if not path:
        raise ValueError("the path of the database is empty; pass a file name or ':memory:'")
    if "\0" in path:
        raise ValueError("the path of the database contains a NUL character")
    return Address(None if path == _MEMORY else Path(path))


def _of_url(url: str) -> Address:
    """SQLAlchemy's form: `sqlite:///relative`, `sqlite:////absolute`, `sqlite://` in memory."""
    rest = url.removeprefix("sqlite:")
    if rest in ("", "//", "///"):
        return Address(None)
    if not rest.startswith("///"):
        raise ValueError(f"{url!r} is no SQLite URL; write sqlite:///relative.db or sqlite:////absolute.db")
    path, _, query = rest.removeprefix("///").partition("?")
    if query:
        raise ValueError(f"{url!r} has parameters; pass settings as keyword arguments")
    return _of_path(urllib.parse.unquote(path))


def _of_uri(uri: str) -> Address:
    """https://sqlite.org/uri.html; of its parameters only `mode` has a meaning here."""
    rest, _, _fragment = uri.removeprefix("file:").partition("#")
    path, _, query = rest.partition("?")
    if path.startswith("//"):
        host, slash, path = path.removeprefix("//").partition("/")
        if host not in ("", "localhost"):
            raise ValueError(f"{uri!r} names the host {host!r}; only local files can be opened")
        path = slash + path
    path = urllib.parse.unquote(path)
    parameters = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    mode = parameters.pop("mode", "rwc")
    parameters.pop("cache", None)  # shared or private: a saver's connections have caches of their own
    if parameters:
        raise ValueError(f"{uri!r}: cannot honour {', '.join(sorted(parameters))}; only mode= is understood")
    if mode not in ("ro", "rw", "rwc", "memory"):
        raise ValueError(f"{uri!r}: mode must be ro, rw, rwc or memory")
    if mode == "memory" or path == _MEMORY:
        return Address(None)
    return _of_path(path)._replace(read_only=mode == "ro")


def _of_connection(rows: list[Any], tables: int) -> Address:
    file = next((row[_FILE_COLUMN] for row in rows if row[1] == "main"), "")
    if file:
        return Address(Path(file))
    if tables:
        raise ValueError(
            "the connection holds data in memory that another connection cannot reach; "
            "pass a file, or ':memory:' for an empty database"
        )
    warnings.warn(
        "a saver opens connections of its own: the data will be in memory of its own, not in this connection",
        UserWarning,
        stacklevel=5,
    )
    return Address(None)
