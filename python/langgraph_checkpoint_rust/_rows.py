"""What crosses the border to the native half: rows and keys as tuples."""

from __future__ import annotations

from typing import TypeAlias

from langgraph_checkpoint_rust.reports import ThreadStatus

Key: TypeAlias = tuple[str, str, str]
"""`(thread_id, checkpoint_ns, checkpoint_id)`."""
TypedData: TypeAlias = tuple[str | None, bytes | str | None]
"""`(tag, data)` of a serializer."""
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
CopyProgress: TypeAlias = tuple[bool, bool, tuple[str, str] | None]
"""`(the target was looked at, all writes are copied, (namespace, checkpoint) copied last)`."""
ConversionProgress: TypeAlias = tuple[int, int, int]
"""`(stage, row id, rows looked at)`."""
StorageFigures: TypeAlias = tuple[tuple[int, int], int, int, dict[str, tuple[int, int, int, int]]]
"""`((checkpoints, writes), metadata bytes, write bytes, {channel: (live, logical, stored, chunks)})`."""
Keep: TypeAlias = tuple[int, int | None] | None
"""How many of the newest checkpoints stay, and those since when in ms; None to keep nothing."""
Stepped: TypeAlias = tuple[bool, list[tuple[str, str, tuple[int, int, int]]]]
"""Whether it was the last step; `[(thread_id, reason, (checkpoints, writes, bytes))]`."""
Policy: TypeAlias = tuple[
    int | None, int | None, int | None, int | None, int | None, str | None, int | None, float | None
]
"""`(keep_last, max_age, thread_idle_for, done_after, max_bytes, archive_to, default_ttl, interval)`: times in
ms, the interval in seconds."""
PlacedWrite: TypeAlias = tuple[str, str, int, str, TypedData]
"""`(task_id, task_path, index, channel, value)`."""
StoredCheckpoint: TypeAlias = tuple[str | None, TypedData, bytes | str | None]
"""`(parent_checkpoint_id, checkpoint, metadata)`."""
ThreadRow: TypeAlias = tuple[str, str, StoredCheckpoint | None, list[PlacedWrite]]
"""`(checkpoint_ns, checkpoint_id, checkpoint, writes)`."""
ThreadFilter: TypeAlias = tuple[str | None, bool | None, list[MetadataCondition], str]
"""`(status, archived, conditions on the user's metadata, order)`."""
ThreadCursor: TypeAlias = tuple[int, int, str]
"""`(time, number, thread_id)`."""
ThreadProgress: TypeAlias = tuple[int | None, str | None, str | None, ThreadStatus | None, str | None]
"""`(step, source, run_id, status, next nodes in JSON)`."""
ThreadNotes: TypeAlias = tuple[str | None, str | None, bool, bool]
"""`(title, metadata in JSON, archived, pinned)`."""
Notes: TypeAlias = tuple[str | None, str | None, bool, bool, int | None, int | None]
"""`(title, metadata in JSON, archived, pinned, time to live, until when it lives at least)`, times in ms."""
ThreadFigures: TypeAlias = tuple[tuple[int, str], tuple[int, int, int, int], ThreadProgress, ThreadNotes]
"""`((number, thread_id), (created, updated, checkpoints, bytes), progress, notes)`, times in milliseconds."""
ChannelEntry: TypeAlias = tuple[str, str, TypedData | list[StoredWrite]]
"""`(checkpoint_id, kind, what is stored)`; the kind is that of a `ChannelValue`, or `"checkpoint"`."""
