"""The settings of a SQLite saver."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any, Literal, TypedDict, get_args, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SqliteOptions", "SqliteSettings"]

JournalMode = Literal["WAL", "DELETE"]
Synchronous = Literal["NORMAL", "FULL", "EXTRA"]
TempStore = Literal["MEMORY", "FILE"]
AutoVacuum = Literal["INCREMENTAL", "FULL", "NONE"]
OnForeignSqlite = Literal["warn", "refuse"]
Format = Literal["auto", "compact", "interop"]
OnDeletedThread = Literal["allow", "raise"]
OnConflict = Literal["fork", "raise"]
Compression = Literal["none", "zstd"]

ENVIRONMENT_PREFIX = "LANGGRAPH_CHECKPOINT_"
_WORDS = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}


class SqliteOptions(TypedDict, total=False):
    """The keyword arguments that a saver takes beside `serde`. See `SqliteSettings`."""

    journal_mode: JournalMode
    synchronous: Synchronous
    busy_timeout: float
    pool_size: int
    max_overflow: int
    pool_timeout: float
    pool_recycle: float | None
    cache_size: int
    mmap_size: int
    temp_store: TempStore
    journal_size_limit: int
    wal_autocheckpoint: int
    auto_vacuum: AutoVacuum
    cell_size_check: bool
    trusted_schema: bool
    defensive: bool
    read_only: bool
    lock_guard: bool
    on_foreign_sqlite: OnForeignSqlite
    format: Format
    on_deleted_thread: OnDeletedThread
    on_conflict: OnConflict
    compression: Compression


@dataclasses.dataclass(frozen=True, kw_only=True)
class SqliteSettings:
    """How a saver uses SQLite. Each PRAGMA is read back after it is set.

    Attributes:
        journal_mode: `"WAL"` (readers never wait for the writer), or `"DELETE"` for file systems
            that cannot share memory between processes.
        synchronous: When a commit is synced. `"NORMAL"`: power loss may take the un-synced tail,
            never consistency; a killed process loses nothing. `"FULL"`: nothing acknowledged is
            lost to power loss either. `"EXTRA"`: as FULL, and the directory in `"DELETE"` mode.
        busy_timeout: Seconds that a call waits while another process holds the write lock.
        pool_size: Read connections that stay open.
        max_overflow: Further read connections under load, closed on return.
        pool_timeout: Seconds that a call waits for a free read connection.
        pool_recycle: Age in seconds at which a read connection is replaced; None for never.
        cache_size: Page cache in bytes for the whole saver: 2 MiB a reader, the rest the writer's.
        mmap_size: Bytes of the file to map. 0: an I/O error then is an exception, not a SIGBUS.
        temp_store: Where SQLite keeps temporary tables.
        journal_size_limit: Size in bytes to which the WAL shrinks after a checkpoint.
        wal_autocheckpoint: Pages of WAL after which a thread moves them into the database; 0 for never.
        auto_vacuum: How a new file gives free pages back. Existing files keep theirs.
        cell_size_check: Check each page's cells as it is read: damage is found earlier.
        trusted_schema: Let the schema call functions with side effects.
        defensive: Refuse SQL that could damage the file deliberately.
        read_only: Never write, never create.
        lock_guard: Keep the file's locks when other code of this process opens and closes the file
            (64-bit Linux). One value for the whole process, from the first opening on.
        on_foreign_sqlite: Where the guard cannot work and a second SQLite library of this process has
            the file open: `"warn"`, or `"refuse"` to write.
        format: What a new file gets and an existing one must have. `"compact"`: history costs what changed.
            `"interop"`: rows as `langgraph-checkpoint-sqlite` writes them. `"auto"`: an existing file keeps
            its format, a new one is compact.
        on_deleted_thread: What happens to a run that goes on after its thread was deleted. `"allow"`: it is
            stored. `"raise"`: a put whose parent, and a put_writes whose checkpoint, is not newer than the
            deletion raises `ThreadDeletedError`. A new run on the same id, an import and a copy are welcome.
        on_conflict: What happens to a put whose parent is not the newest checkpoint of its namespace, since
            another run stored one meanwhile. `"fork"`: it is stored beside that one. `"raise"`:
            `ConcurrentWriteError`, also for a fork that is meant.
        compression: How a compact file keeps new chunks: as they are, or as `"zstd"` frames where that saves
            an eighth. Chunks of both kinds are always read.

    Raises:
        TypeError: If a value is of the wrong type.
        ValueError: If a value is out of range; the message names the setting and its limits.

    Example:
        >>> from langgraph_checkpoint_rust import RustSqliteSaver, SqliteSettings
        >>> settings = SqliteSettings(synchronous="FULL", pool_size=4)
        >>> saver = RustSqliteSaver(":memory:", settings=settings)
        >>> saver.settings.synchronous
        'FULL'
    """

    journal_mode: JournalMode = "WAL"
    synchronous: Synchronous = "NORMAL"
    busy_timeout: float = 30.0
    pool_size: int = 8
    max_overflow: int = 0
    pool_timeout: float = 30.0
    pool_recycle: float | None = None
    cache_size: int = 64 * 1024 * 1024
    mmap_size: int = 0
    temp_store: TempStore = "MEMORY"
    journal_size_limit: int = 64 * 1024 * 1024
    wal_autocheckpoint: int = 1000
    auto_vacuum: AutoVacuum = "INCREMENTAL"
    cell_size_check: bool = True
    trusted_schema: bool = False
    defensive: bool = True
    read_only: bool = False
    lock_guard: bool = True
    on_foreign_sqlite: OnForeignSqlite = "warn"
    format: Format = "auto"
    on_deleted_thread: OnDeletedThread = "allow"
    on_conflict: OnConflict = "fork"
    compression: Compression = "none"

    def __post_init__(self) -> None:
        for name, hint in _HINTS.items():
            object.__setattr__(self, name, _checked(name, hint, getattr(self, name)))

    def replace(self, options: SqliteOptions) -> SqliteSettings:
        """A copy with some settings changed.

        Args:
            options: The settings to change, by name.

        Returns:
            The new settings.

        Raises:
            TypeError: If a name is unknown.

        Example:
            >>> from langgraph_checkpoint_rust import SqliteSettings
            >>> SqliteSettings().replace({"pool_size": 2}).pool_size
            2
        """
        unknown = options.keys() - _HINTS.keys()
        if unknown:
            raise TypeError(f"unknown settings: {', '.join(sorted(unknown))}; known: {', '.join(_HINTS)}")
        return dataclasses.replace(self, **options)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> SqliteSettings:
        """The defaults, changed by `LANGGRAPH_CHECKPOINT_<SETTING>` variables.

        Args:
            environ: The variables; `os.environ` if None.

        Returns:
            The settings.

        Raises:
            ValueError: If a variable cannot be read; the message names it.

        Example:
            >>> from langgraph_checkpoint_rust import SqliteSettings
            >>> SqliteSettings.from_env({"LANGGRAPH_CHECKPOINT_POOL_SIZE": "3"}).pool_size
            3
        """
        environ = os.environ if environ is None else environ
        options: dict[str, Any] = {}
        for name, hint in _HINTS.items():
            variable = ENVIRONMENT_PREFIX + name.upper()
            text = environ.get(variable, "").strip()
            if text:
                try:
                    options[name] = _parsed(hint, text)
                except (KeyError, ValueError):
                    raise ValueError(f"{variable}={text!r} is no {_described(hint)}") from None
        return cls(**options)


_HINTS: dict[str, Any] = get_type_hints(SqliteSettings)


def _parsed(hint: Any, text: str) -> Any:
    if hint is bool:
        return _WORDS[text.lower()]
    if hint is int:
        return int(text)
    if hint is float:
        return float(text)
    if hint == float | None:
        return None if text.lower() == "none" else float(text)
    return text


def _described(hint: Any) -> str:
    words = [word for word in get_args(hint) if isinstance(word, str)]
    return f"value among {', '.join(words)}" if words else getattr(hint, "__name__", "number of seconds")


def _checked(name: str, hint: Any, value: Any) -> Any:
    if hint is bool:
        if not isinstance(value, bool):
            raise TypeError(f"{name} must be a bool, not {type(value).__name__}")
        return value
    words = [word for word in get_args(hint) if isinstance(word, str)]
    if words:
        for word in words:
            if isinstance(value, str) and value.upper() == word.upper():
                return word
        raise ValueError(f"{name} must be one of {', '.join(words)}, not {value!r}")
    if value is None and type(None) in get_args(hint):
        return None
    numbers = (int,) if hint is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, numbers):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    lowest, highest = _LIMITS[name]
    if not lowest <= value <= highest:
        raise ValueError(f"{name} must be between {lowest} and {highest}, not {value}")
    return value if hint is int else float(value)


_MOST_SECONDS = 2_147_483
_MOST_BYTES = 2**62
_LIMITS: dict[str, tuple[int, int]] = {
    "busy_timeout": (0, _MOST_SECONDS),
    "pool_size": (1, 1000),
    "max_overflow": (0, 1000),
    "pool_timeout": (0, _MOST_SECONDS),
    "pool_recycle": (1, _MOST_SECONDS),
    "cache_size": (0, 2**40),
    # SQLite's own ceiling (SQLITE_MAX_MMAP_SIZE).
    "mmap_size": (0, 0x7FFF0000),
    "journal_size_limit": (0, _MOST_BYTES),
    "wal_autocheckpoint": (0, 2**31 - 1),
}
