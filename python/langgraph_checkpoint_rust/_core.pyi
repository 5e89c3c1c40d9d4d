"""The native half. Users import from `langgraph_checkpoint_rust`, never from here.

The verbs of `SqliteBackend` may be called from any thread; each returns a `Call`. Errors are those of
`langgraph_checkpoint_rust.errors`.
"""

import builtins
from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, Literal, final

from langgraph_checkpoint_rust._rows import (
    ConversionProgress,
    CopyProgress,
    Key,
    ListFilter,
    Notes,
    Policy,
    ThreadCursor,
    ThreadFilter,
    ThreadRow,
    TypedData,
)
from langgraph_checkpoint_rust.settings import SqliteSettings

__all__ = [
    "Call",
    "Cancel",
    "Carving",
    "Channel",
    "Codec",
    "Copying",
    "Garbage",
    "Meter",
    "Part",
    "Payload",
    "Removal",
    "RetentionRun",
    "ShapeBook",
    "SqliteBackend",
    "Survey",
    "Unpack",
    "__version__",
    "after_fork_in_child",
    "after_fork_in_parent",
    "before_fork",
    "build_info",
    "dumps_json",
    "loads_json",
    "stored_thread_id",
]
__version__: str

def build_info() -> tuple[bool, int, list[str]]:
    """How this library was built: `(debug, SQLite version number, SQLite compile options)`."""

def dumps_json(object: Any) -> bytes | None:
    """Encode as `json.JSONEncoder(ensure_ascii=False)` does; None for what is not plain.

    Plain are dicts with str keys, lists, tuples, str, int of 64 bits, bool and None.
    """

def loads_json(data: bytes) -> dict[str, Any] | None:
    """Decode an object as `json.loads` does; None for what holds floats, escapes or faults."""

def stored_thread_id(tenant: str, thread_id: str) -> str:
    """A tenant's thread as a store that is not scoped names it."""

@final
class ShapeBook:
    """The outlines of checkpoints that only their serializer can read."""

    def __new__(cls) -> ShapeBook: ...
    def learn(
        self,
        value: TypedData,
        version: int,
        timestamp: str | None,
        channel_versions: set[str],
        channel_values: dict[str, bool],
    ) -> None:
        """Remembers the outline of a stored checkpoint.

        Args:
            value: The stored checkpoint, as a verb returned it.
            version: Its format version.
            timestamp: When it was made, in ISO 8601.
            channel_versions: The channels that have a version.
            channel_values: The channels it stores, and whether each is a delta snapshot.
        """

@final
class Removal:
    """What a verb found to be removed; its length is the number of steps."""

    def __len__(self) -> int: ...
    @property
    def weight(self) -> tuple[int, int, int]:
        """Checkpoints, writes and bytes that go."""

    @property
    def thread_ids(self) -> set[str]:
        """The threads that lose something."""

@final
class RetentionRun:
    """A run of a policy."""

    def step(self) -> Call:
        """Does a little. Result: `(Stepped | None, [TypedData])`: what `shapes` must learn first."""

@final
class Garbage:
    """Chunks of a thread that nothing refers to; its length is their number."""

    def __len__(self) -> int: ...

@final
class Survey:
    """What is left of a damaged database; its length is the number of keys that were found."""

    def __len__(self) -> int: ...
    @property
    def lost(self) -> builtins.list[tuple[str, str, str, str]]:
        """What is known to have been there: `(thread_id, checkpoint_ns, checkpoint_id, detail)`."""

    @property
    def gaps(self) -> int:
        """Places in the tables where pages could not be read."""

@final
class Carving:
    """The reading of a damaged file, page by page, without SQLite; its rows go into a new database.

    Args:
        source: The file; it is not changed.
        target: An empty file, which becomes a database that `survey` reads.
    """

    def __new__(cls, source: str | PathLike[str], target: str | PathLike[str]) -> Carving: ...
    def step(self) -> Call:
        """Reads for a moment. Result: `(whether all is done, pages read, pages, rows, damaged pages)`."""

    def abandon(self) -> Call:
        """Ends it, and leaves what it has."""

@final
class Copying:
    """A backup or a restore under way. Dropped before its end, it is abandoned."""

    def step(self) -> Call:
        """Copies for a moment. Result: `(whether all is done, pages copied, pages, bytes of a page)`."""

    def abandon(self) -> Call:
        """Ends it as if it had not begun."""

@final
class Channel:
    """Brings outcomes to an event loop, which watches `fileno()` and then calls `drain()`."""

    def __new__(cls) -> Channel: ...
    def fileno(self) -> int:
        """The descriptor to watch for reading."""

    def drain(self) -> list[tuple[int, Any, BaseException | None]]:
        """What arrived: `(token, result, error)`."""

@final
class Cancel:
    """Withdraws a call that was left to run."""

    def cancel(self) -> None:
        """A write that did not begin is dropped, a read that runs is stopped; else nothing happens."""

@final
class Meter:
    """Counts and times a verb, without locks. May be used from any thread."""

    def __new__(cls) -> Meter: ...
    def record(self, seconds: float) -> None:
        """Counts a call that took so long."""

    def moved(self, call: Call) -> None:
        """Adds the bytes that a call moved."""

    def report(
        self, exponents: Sequence[int]
    ) -> tuple[int, float, tuple[float, float, float] | None, list[int], tuple[int, int]]:
        """What was counted.

        Args:
            exponents: Powers of two, of nanoseconds.

        Returns:
            Calls, their seconds together, the 50th, 95th and 99th percentile in seconds within a 32nd part of
            each (None of nothing), the calls below each power, and the bytes in and out.
        """

@final
class Call:
    """A verb that is ready to be carried out, once."""

    @property
    def bytes_in(self) -> int:
        """Bytes of state that it stores."""

    @property
    def bytes_out(self) -> int:
        """Bytes of state that it found; 0 until its outcome is there."""

    def wait(self, meter: Meter | None = None) -> Any:
        """Carries it out here, with the GIL released; the result. Signal handlers run meanwhile.

        Args:
            meter: What counts the bytes that it moves, if it succeeds.
        """

    def then(self, channel: Channel, token: int) -> Cancel:
        """Lets it be carried out elsewhere; the outcome comes through the channel with this token."""

def before_fork() -> None:
    """Waits, for at most 5 seconds, until no connection is in use, and keeps it so."""

def after_fork_in_parent() -> None:
    """Lets calls go on."""

def after_fork_in_child() -> None:
    """Lets calls go on with connections of their own."""

@final
class SqliteBackend:
    """The verbs on one SQLite database; opened on first use.

    Args:
        path: The file; None for a database in memory.
        settings: The settings.
        policy: What goes by itself.
    """

    def __new__(
        cls, path: str | PathLike[str] | None, settings: SqliteSettings, policy: Policy | None = None
    ) -> SqliteBackend: ...
    def setup(self) -> Call:
        """Opens the database. Result: whether it was made, its format, and its size in bytes."""

    def format(self) -> Call:
        """How the file keeps its rows. Result: `"interop"`, `"compact"` or `"downgrading"`."""

    def scoped(self, tenant: str) -> SqliteBackend:
        """The verbs on the threads of one tenant, by its own ids; those on the whole file are refused."""

    def close(self) -> None:
        """Lets go of the database; later calls raise `SaverClosedError`. Blocks."""

    def put(
        self,
        key: Key,
        parent_checkpoint_id: str | None,
        value: TypedData,
        metadata: bytes,
        outline: bytes | None,
        chunkable: bool,
        lease: str | None,
    ) -> Call:
        """Stores a checkpoint, replacing one with the same key; in parts, if that may be and pays.

        Args:
            key: Its key.
            parent_checkpoint_id: The checkpoint it follows.
            value: The checkpoint, serialized.
            metadata: JSON.
            outline: In msgpack, what tells the next nodes, where that is not to be read from `value`.
            chunkable: Whether the value may be stored in parts.
            lease: The token of the lease that the caller holds.

        Result: True if the thread is being deleted, and nothing was stored.
        """

    def put_writes(
        self,
        key: Key,
        task_id: str,
        task_path: str,
        replace: bool,
        writes: builtins.list[tuple[int, str, TypedData]],
        chunkable: bool,
        lease: str | None,
    ) -> Call:
        """Stores writes (`(index, channel, value)`): all or none. Result: as of `put`."""

    def get_tuple(self, thread_id: str, checkpoint_ns: str, checkpoint_id: str | None) -> Call:
        """The checkpoint with this id, or the latest of the namespace. Result: `StoredTuple | None`."""

    def pending_sends(self, keys: builtins.list[Key]) -> Call:
        """The `__pregel_tasks` writes of each checkpoint. Result: `list[list[StoredWrite]]`."""

    def list(self, filter: ListFilter, after: Key | None, limit: int) -> Call:
        """A page. Result: `(list[StoredTuple], Key | None)`: where the next begins, None at the end."""

    def delete_threads(self, thread_ids: builtins.list[str], overwrite: bool) -> Call:
        """Deletes as many threads as a slice can. Result: `(rest, (checkpoints, writes, chunks), threads)`.

        The rest is None, `"unmarked"` if the next thread is half deleted, or `"marked"` for
        `finish_deletions`; the threads are those that nobody sees any more.
        """

    def finish_deletions(self) -> Call:
        """Deletes a slice of what is left behind markers. Result: as of `delete_threads`."""

    def scrub(self) -> Call:
        """Empties the WAL. Result: whether it is empty, and the number of free pages."""

    def acquire_lease(self, thread_id: str, token: str, milliseconds: int) -> Call:
        """Takes or renews a lease. Result: its fence or None, and the time until another's expires."""

    def release_lease(self, thread_id: str, token: str) -> Call:
        """Gives a lease back, if the token still holds it."""

    def delete_for_runs(self, run_ids: builtins.list[str]) -> Call:
        """Finds the checkpoints of runs. Result: `Removal`."""

    def select(self, thread_id: str, up_to: str | None, last: int | None, shapes: ShapeBook) -> Call:
        """Finds what a copy of a part leaves out. Result: as of `prune`."""

    def copy_thread(
        self,
        source_thread_id: str,
        target_thread_id: str,
        without: Removal | None,
        on_existing: str,
        progress: CopyProgress | None,
    ) -> Call:
        """Copies a slice of a thread, or of a part of it.

        Result: whether one of the threads is being deleted, and `CopyProgress | None`: what to go on from.
        """

    def prune(self, thread_id: str, keep: tuple[int, int | None] | None, shapes: ShapeBook) -> Call:
        """Finds what need not be kept. Result: `(Removal | None, [TypedData])`: what `shapes` must learn.

        Args:
            thread_id: The thread.
            keep: How many of the newest stay, and those since when in ms; None to keep nothing.
            shapes: What is known of checkpoints that only their serializer can read.
        """

    def apply_retention(self, policy: Policy | None, dry_run: bool, shapes: ShapeBook) -> RetentionRun:
        """A run of a policy, of the backend's own if it is None."""

    def set_term(
        self, thread_id: str, term: Literal["pinned", "ttl", "refreshed"], value: int | None
    ) -> Call:
        """Notes that a thread is pinned, if there is a value, or its time to live in ms."""

    def garbage(self, thread_id: str) -> Call:
        """Finds the chunks of a thread that nothing refers to. Result: `Garbage`."""

    def sweep(self, garbage: Garbage, progress: tuple[int, int]) -> Call:
        """Deletes a slice of them. Result: whether the thread changed, and what to go on from or None."""

    def convert(self, target: str, progress: ConversionProgress | None) -> Call:
        """Converts a slice of the file. Result: `ConversionProgress | None`: what to go on from."""

    def count_rows(self) -> Call:
        """The rows that a conversion looks at. Result: `int`."""

    def chunked_threads(self, after: str) -> Call:
        """Some threads that have chunks, in order. Result: `list[str]`."""

    def rebuild(self) -> Call:
        """Writes the file anew without its free pages, while other writers wait."""

    def storage(self, thread_id: str | None) -> Call:
        """What the state costs. Result: `StorageFigures`."""

    def vacuum(self) -> Call:
        """Gives a slice of the free pages back. Result: whether the file can, pages freed, pages left."""

    def remove(self, removal: Removal, from_: int) -> Call:
        """Carries out a slice of a removal. Result: the first step that is left."""

    def get_delta_channel_history(
        self,
        thread_id: str,
        checkpoint_ns: str,
        checkpoint_id: str | None,
        channels: builtins.list[str],
        shapes: ShapeBook,
    ) -> Call:
        """The history. Result: `(DeltaHistory | None, list[TypedData])`: what `shapes` must learn first."""

    def list_threads(self, filter: ThreadFilter, after: ThreadCursor | None, limit: int) -> Call:
        """The threads that match, after one. Result: `list[ThreadFigures]`."""

    def count_threads(self, filter: ThreadFilter) -> Call:
        """How many threads match. Result: `int`."""

    def get_thread(self, thread_id: str) -> Call:
        """What is known of a thread. Result: `ThreadFigures | None`."""

    def set_thread(self, thread_id: str, title: str | None, metadata: str | None) -> Call:
        """Stores a title and metadata, in JSON, if they are given."""

    def read_notes(self, thread_id: str) -> Call:
        """What users said of a thread. Result: `Notes`."""

    def write_notes(self, thread_id: str, notes: Notes) -> Call:
        """Stores what users said of a thread elsewhere, over what was said of it here."""

    def archive_thread(self, thread_id: str) -> Call:
        """Leaves a thread out of listings."""

    def unarchive_thread(self, thread_id: str) -> Call:
        """Takes it in again."""

    def history(
        self, thread_id: str, checkpoint_ns: str, channel: str, before: str | None, limit: int
    ) -> Call:
        """A channel at checkpoints. Result: `(list[ChannelEntry], str | None)`: before which to go on."""

    def backup(self, target: str | PathLike[str]) -> Copying:
        """Copies the database to a new file; begins with the first step."""

    def restore(self, source: str | PathLike[str]) -> Copying:
        """Copies a backup into the database; begins with the first step."""

    def integrity(self) -> Call:
        """Runs SQLite's own check. Result: `list[str]`, its complaints."""

    def verify(self, after: Key | None) -> Call:
        """Reads a slice of the rows to their ends.

        Result: `(checkpoints, writes, damaged, missing parents, writes without checkpoint, Key | None)`, with
        what was found as `(thread_id, checkpoint_ns, checkpoint_id, detail)`.
        """

    def repair(self, keys: builtins.list[Key]) -> Call:
        """Deletes a slice of what nothing needs, writes at the keys among them.

        Result: `(whether something is left, (writes deleted, thread rows made, chunks deleted))`.
        """

    def survey(self, before: Survey | None, gaps: int) -> Call:
        """Finds what is left of a damaged file. Result: `Survey`.

        Args:
            before: What was found of the file that this one was carved from.
            gaps: Pages of that one that could not be read.
        """

    def salvage(self, survey: Survey, from_: int) -> Call:
        """Reads a page of that. Result: `(thread_id | None, list[ThreadRow], what cannot be read, next)`."""

    def thread_ids(self, after: str | None, noted: bool, limit: int) -> Call:
        """The first threads after one, if asked those with notes only too. Result: `list[str]`."""

    def read_thread(self, thread_id: str, after: tuple[str, str] | None) -> Call:
        """A page of a thread as it is stored. Result: `(list[ThreadRow], after)`; None after the last."""

    def write_thread(self, thread_id: str, rows: builtins.list[ThreadRow]) -> Call:
        """Stores rows, replacing those with the same keys: all or none. Result: as of `put`."""

    def stats(self) -> dict[str, dict[str, Any]]:
        """Figures of the writer, the readers, the WAL and the lock guard."""

@final
class Codec:
    """Encoder and decoder, bound to upstream's functions and to the classes that were found fit."""

    def __new__(
        cls,
        *,
        default: Callable[[Any], Any],
        packb: Callable[[Any], bytes],
        leaves: Sequence[type],
        enum_meta: type,
        classes: list[tuple[str, str, type]],
        safe: Sequence[tuple[str, str, type]],
        modules: dict[str, Any],
        watched: Sequence[tuple[dict[str, Any], str, Any]],
        pause_gc: bool,
    ) -> Codec: ...
    def dumps_typed(self, object: Any) -> tuple[str, bytes]:
        """Return the type tag and the msgpack of `object`; `NotImplemented` if it is upstream's to write."""
    def loads_typed(self, serde: Any, typed: Any, rebind: Callable[[Any], Any]) -> Any:
        """Return the object of `typed` by the policy of `serde`; `NotImplemented` if upstream's to read."""
    def dumps(self, object: Any) -> bytes:
        """Return the msgpack of `object`."""
    def dumps_part(self, object: Any) -> Any:
        """Return the msgpack of a part of an object, for upstream's `_msgpack_default` and nobody else."""
    def loads(self, blob: bytes, hook: Callable[[int, bytes], Any] | None, fast: bool) -> Any:
        """Return the object in `blob`. Extensions go to `hook`, except messages that fit if `fast`."""

@final
class Part:
    """A long encoded part of an object: becomes `bytes` only as a piece of the whole."""

@final
class Payload:
    """What upstream's `_msgpack_default` answers to the codec: an extension's code and bytes."""

    def __new__(cls, code: int, data: bytes | Part) -> Payload: ...

@final
class Unpack:
    """Stands in for `ormsgpack.unpackb` in a copy of upstream's hook."""

    def __new__(cls, codec: Codec, original: Callable[..., Any], hook: Any) -> Unpack: ...
    def bind(self, native: Any) -> None:
        """Say which hook is the copy. Once."""
    def unpackb(self, data: Any, *, ext_hook: Any = None, option: Any = None) -> Any:
        """Decode a part; anything unexpected by the original."""
