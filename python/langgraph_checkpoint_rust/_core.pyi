"""The native half. Users import from `langgraph_checkpoint_rust`, never from here.

Every method of `SqliteBackend` blocks with the GIL released and may be called from any thread. Errors
are those of `langgraph_checkpoint_rust.errors`.
"""

import builtins
from os import PathLike
from typing import TypeAlias, final

from langgraph_checkpoint_rust.settings import SqliteSettings

__version__: str

Key: TypeAlias = tuple[str, str, str]
"""`(thread_id, checkpoint_ns, checkpoint_id)`."""
TypedData: TypeAlias = tuple[str | None, bytes | str | None]
"""`(tag, data)` of a serializer; not importable at run time, like the other aliases here."""
StoredWrite: TypeAlias = tuple[str, str, TypedData]
"""`(task_id, channel, value)`."""
StoredTuple: TypeAlias = tuple[str, str, str, str | None, TypedData, bytes | str | None, list[StoredWrite]]
"""`(thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata, writes)`."""
MetadataCondition: TypeAlias = tuple[str, str | None, str | int | float | None]
"""`(JSON path, path to read where the first is missing, value)`."""
ListFilter: TypeAlias = tuple[str | None, str | None, str | None, str | None, list[MetadataCondition]]
"""`(thread_id, checkpoint_ns, checkpoint_id, before, metadata)`."""
DeltaHistory: TypeAlias = tuple[list[tuple[list[StoredWrite], int | None]], list[TypedData]]
"""Per channel its writes and the index of its seed; the checkpoints that hold seeds."""

def build_info() -> tuple[bool, int, list[str]]:
    """How this library was built: `(debug, SQLite version number, SQLite compile options)`."""

@final
class ShapeBook:
    """The outlines of checkpoints that only their serializer can read."""

    def __new__(cls) -> ShapeBook: ...
    def learn(
        self,
        value: TypedData,
        version: int,
        channel_versions: set[str],
        channel_values: dict[str, bool],
    ) -> None:
        """Remembers the outline of a stored checkpoint.

        Args:
            value: The stored checkpoint, as a verb returned it.
            version: Its format version.
            channel_versions: The channels that have a version.
            channel_values: The channels it stores, and whether each is a delta snapshot.
        """

@final
class SqliteBackend:
    """The verbs on one SQLite database; opened on first use.

    Args:
        path: The file; None for a database in memory.
        settings: The settings.
    """

    def __new__(cls, path: str | PathLike[str] | None, settings: SqliteSettings) -> SqliteBackend: ...
    def setup(self) -> tuple[bool, int]:
        """Opens the database: whether it was made, and its size in bytes."""

    def close(self) -> None:
        """Closes the database; later calls raise `SaverClosedError`."""

    def put(self, key: Key, parent_checkpoint_id: str | None, value: TypedData, metadata: bytes) -> None:
        """Stores a checkpoint, replacing one with the same key."""

    def put_writes(
        self,
        key: Key,
        task_id: str,
        task_path: str,
        replace: bool,
        writes: builtins.list[tuple[int, str, TypedData]],
    ) -> None:
        """Stores writes (`(index, channel, value)`): all or none."""

    def get_tuple(self, thread_id: str, checkpoint_ns: str, checkpoint_id: str | None) -> StoredTuple | None:
        """The checkpoint with this id, or the latest of the namespace."""

    def pending_sends(self, keys: builtins.list[Key]) -> builtins.list[builtins.list[StoredWrite]]:
        """The `__pregel_tasks` writes of each checkpoint."""

    def list(
        self, filter: ListFilter, after: Key | None, limit: int
    ) -> tuple[builtins.list[StoredTuple], Key | None]:
        """A page, and where the next begins; None at the end."""

    def delete_thread(self, thread_id: str) -> None:
        """Deletes a thread."""

    def delete_for_runs(self, run_ids: builtins.list[str]) -> None:
        """Deletes the checkpoints of runs."""

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copies a thread."""

    def prune(self, thread_id: str, delete: bool, shapes: ShapeBook) -> tuple[None, builtins.list[TypedData]]:
        """Deletes what need not be kept, or returns the checkpoints that `shapes` must learn first."""

    def get_delta_channel_history(
        self,
        thread_id: str,
        checkpoint_ns: str,
        checkpoint_id: str | None,
        channels: builtins.list[str],
        shapes: ShapeBook,
    ) -> tuple[DeltaHistory | None, builtins.list[TypedData]]:
        """The history, or the checkpoints that `shapes` must learn first."""
