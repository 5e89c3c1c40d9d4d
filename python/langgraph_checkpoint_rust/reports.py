"""What the verbs on whole files and threads answer.

Example:
    >>> from langgraph_checkpoint_rust import RustSqliteSaver
    >>> RustSqliteSaver(":memory:").verify().damaged_threads
    ()
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "CopyReport",
    "EraseReport",
    "Finding",
    "RecoverReport",
    "RepairReport",
    "TransferReport",
    "VerifyReport",
]


@dataclass(frozen=True)
class CopyReport:
    """What `backup` or `restore` copied.

    Attributes:
        pages: Pages of the database.
        bytes: Their size.
        seconds: How long it took.
    """

    pages: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class TransferReport:
    """What `export_thread`, `import_thread` or `copy_from` transferred.

    Attributes:
        threads: Threads.
        checkpoints: Checkpoints of them.
        writes: Pending writes of them.
        unchanged: Checkpoints that were there already, with the same writes; they count above too.
    """

    threads: int
    checkpoints: int
    writes: int
    unchanged: int = 0


@dataclass(frozen=True)
class Finding:
    """A place in a database, and what `verify` found there. The detail holds no user data.

    Attributes:
        thread_id: The thread.
        checkpoint_ns: The namespace.
        checkpoint_id: The checkpoint.
        detail: What was found.
    """

    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str
    detail: str


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` looked at, and what it found.

    Attributes:
        checkpoints: Checkpoints looked at.
        writes: Writes looked at.
        integrity: What SQLite's own `integrity_check` complains of.
        damaged: Rows that cannot be read to their end.
        missing_parents: Checkpoints whose parent is not stored. Deletions leave some; a `DeltaChannel` that
            needs the parent has lost that part of its history.
        writes_without_checkpoint: Writes whose checkpoint is not stored. Runs under way have some, since
            LangGraph stores writes first.
        orphan_chunks: Threads with chunks that nothing refers to, which `compact` deletes.
    """

    checkpoints: int
    writes: int
    integrity: tuple[str, ...] = ()
    damaged: tuple[Finding, ...] = ()
    missing_parents: tuple[Finding, ...] = ()
    writes_without_checkpoint: tuple[Finding, ...] = ()
    orphan_chunks: tuple[Finding, ...] = ()

    @property
    def is_ok(self) -> bool:
        """Whether all that is stored can be read."""
        return not (self.integrity or self.damaged)

    @property
    def damaged_threads(self) -> tuple[str, ...]:
        """The threads with damaged rows, each once."""
        return tuple(dict.fromkeys(found.thread_id for found in self.damaged))


@dataclass(frozen=True)
class EraseReport:
    """The receipt of `erase_thread`.

    Attributes:
        checkpoints: Checkpoints deleted and overwritten.
        writes: Writes of them, likewise.
        chunks: Chunks of them, likewise.
        wal_emptied: Whether nothing is left in the WAL.
        unreachable: Where copies may still be, in words, and what to do about it.
    """

    checkpoints: int
    writes: int
    chunks: int
    wal_emptied: bool
    unreachable: tuple[str, ...]


@dataclass(frozen=True)
class RepairReport:
    """What `repair` did.

    Attributes:
        chunks: Chunks deleted that nothing referred to.
        writes: Writes deleted whose checkpoint never came.
        threads: Threads whose row was made anew.
        unread_threads: Threads with a row that cannot be read: nothing of them was deleted.
    """

    chunks: int
    writes: int
    threads: int
    unread_threads: tuple[str, ...] = ()


@dataclass(frozen=True)
class RecoverReport:
    """What `recover` saved, and what was lost.

    Attributes:
        threads: Threads of which something was saved.
        checkpoints: Checkpoints saved.
        writes: Writes saved.
        lost: What was found, or known to be there, and could not be read.
        gaps: Places in the tables where pages could not be read. What was on them is in `lost` as far as the
            index names it.
    """

    threads: int
    checkpoints: int
    writes: int
    lost: tuple[Finding, ...] = ()
    gaps: int = 0

    @property
    def lost_threads(self) -> tuple[str, ...]:
        """The threads that lost something, each once."""
        return tuple(dict.fromkeys(found.thread_id for found in self.lost))
