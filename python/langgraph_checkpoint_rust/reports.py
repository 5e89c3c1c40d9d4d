"""What the verbs on whole files and threads answer.

Example:
    >>> from langgraph_checkpoint_rust import RustSqliteSaver
    >>> RustSqliteSaver(":memory:").verify().damaged_threads
    ()
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

__all__ = [
    "ChannelValue",
    "ConversionReport",
    "CopyReport",
    "EraseReport",
    "Finding",
    "OptimizeReport",
    "PruneReport",
    "RecoverReport",
    "RepairReport",
    "RetentionReport",
    "Thread",
    "ThreadOutcome",
    "ThreadPage",
    "ThreadStatus",
    "TransferReport",
    "VerifyReport",
]

ThreadStatus: TypeAlias = Literal["busy", "interrupted", "error", "pending", "done"]
"""How a thread stands: see `Thread`."""


@dataclass(frozen=True)
class Thread:
    """What is known of a thread. All but `title` and `metadata` is derived from what is stored.

    `status` is what the stored data can tell:

    - `busy`: somebody holds a lease on the thread.
    - `interrupted`: a node called `interrupt()` at the newest checkpoint and waits for its resume.
    - `error`: a node raised there.
    - `pending`: nodes are to run: they are running, or their process ended, or the graph stopped at a static
      breakpoint (`interrupt_before`, `interrupt_after`). The stored data is the same in all three cases.
    - `done`: nothing is to run.
    - None: not to be told, since only the thread's own serializer can read it: in an interop file, and after
      the thread was copied, imported or upgraded.

    `next` are the nodes of the next step, those that finished already too, by the triggers that `StateGraph`
    makes and by its sends. What it cannot tell: the nodes of a hand-made `Pregel` graph that other channels
    trigger (its status is `done` where a `StateGraph` is `pending`), the name of an `@entrypoint`
    (`__start__` stands for it), nodes that the graph has no more, their order in the graph, and sends of
    checkpoints from before format 4. Nodes of subgraphs are not listed: they run in a node of the root graph.

    Attributes:
        thread_id: The thread.
        created: When its first checkpoint was stored, or its title.
        updated: When its last one was, less at most 10 seconds.
        checkpoints: Its checkpoints, of all namespaces.
        bytes: What they take, with their metadata and all chunks of the thread; not its small writes.
        step: `step` in the metadata of the newest checkpoint of the root graph.
        source: `source` there.
        run_id: `run_id` there.
        status: How it stands.
        next: The nodes of the next step.
        title: The title that `set_thread` gave it.
        metadata: The metadata that `set_thread` gave it.
        archived: Whether listings leave it out.
        pinned: Whether it is kept whatever the retention says.
    """

    thread_id: str
    created: datetime
    updated: datetime
    checkpoints: int
    bytes: int
    step: int | None = None
    source: str | None = None
    run_id: str | None = None
    status: ThreadStatus | None = None
    next: tuple[str, ...] = ()
    title: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    archived: bool = False
    pinned: bool = False


@dataclass(frozen=True)
class ThreadPage:
    """A page of `list_threads`: iterates over its threads.

    Attributes:
        threads: The threads.
        cursor: Where the next page begins; None at the end.
    """

    threads: tuple[Thread, ...]
    cursor: str | None = None

    def __iter__(self) -> Iterator[Thread]:
        return iter(self.threads)

    def __len__(self) -> int:
        return len(self.threads)


@dataclass(frozen=True)
class ChannelValue:
    """What is stored of a channel at a checkpoint.

    Attributes:
        checkpoint_id: The checkpoint.
        kind: `"value"`: the channel's value. Of a `DeltaChannel`: `"seed"`, a snapshot of its value, or
            `"writes"`, the list of what the step before the checkpoint wrote to it: the value there is what
            the channel's reducer makes of the writes since the seed.
        value: The value, the snapshot or the list.
    """

    checkpoint_id: str
    kind: Literal["value", "seed", "writes"]
    value: Any


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
class ConversionReport:
    """What `upgrade` or `downgrade` did.

    Attributes:
        format: The format that the file has now.
        rows: Checkpoints and writes looked at.
        backup: The copy that was made before; None if none was.
    """

    format: Literal["compact", "interop"]
    rows: int
    backup: Path | None = None


@dataclass(frozen=True)
class OptimizeReport:
    """What `optimize` did.

    Attributes:
        chunks: Chunks deleted that nothing referred to.
        pages: Pages given back to the file system.
        free_pages: Pages that are free and still in the file, which was made without `auto_vacuum` then: they
            are used again.
        wal_emptied: Whether nothing is left in the WAL; else a reader was in the way.
    """

    chunks: int
    pages: int
    free_pages: int
    wal_emptied: bool


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
