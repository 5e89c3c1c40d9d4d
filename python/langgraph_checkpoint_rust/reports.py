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
    "Finding",
    "PruneReport",
    "RetentionReport",
    "ThreadOutcome",
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
class PruneReport:
    """What goes, or would go.

    Attributes:
        threads: Threads that lose something.
        checkpoints: Checkpoints that go.
        writes: Pending writes that go.
        bytes: An estimate of the space they take in the file.
    """

    threads: int = 0
    checkpoints: int = 0
    writes: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class ThreadOutcome:
    """What a thread loses.

    Attributes:
        thread_id: The thread.
        reason: `"history"` for checkpoints beyond those to keep; else all of it goes, because it is
            `"expired"`, `"idle"` or `"done"`, or because of the file's `"size"`.
        checkpoints: Checkpoints that go.
        writes: Pending writes that go.
        bytes: An estimate of the space they take in the file.
    """

    thread_id: str
    reason: str
    checkpoints: int
    writes: int
    bytes: int


@dataclass(frozen=True)
class RetentionReport:
    """What `apply_retention` deleted, or would delete.

    Attributes:
        threads: Threads that lose something.
        dry_run: Whether nothing was deleted.
    """

    threads: tuple[ThreadOutcome, ...] = ()
    dry_run: bool = True

    @property
    def checkpoints(self) -> int:
        """Checkpoints that go."""
        return sum(thread.checkpoints for thread in self.threads)

    @property
    def writes(self) -> int:
        """Pending writes that go."""
        return sum(thread.writes for thread in self.threads)

    @property
    def bytes(self) -> int:
        """An estimate of the space they take in the file."""
        return sum(thread.bytes for thread in self.threads)


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
    """

    checkpoints: int
    writes: int
    integrity: tuple[str, ...] = ()
    damaged: tuple[Finding, ...] = ()
    missing_parents: tuple[Finding, ...] = ()
    writes_without_checkpoint: tuple[Finding, ...] = ()

    @property
    def is_ok(self) -> bool:
        """Whether all that is stored can be read."""
        return not (self.integrity or self.damaged)

    @property
    def damaged_threads(self) -> tuple[str, ...]:
        """The threads with damaged rows, each once."""
        return tuple(dict.fromkeys(found.thread_id for found in self.damaged))
