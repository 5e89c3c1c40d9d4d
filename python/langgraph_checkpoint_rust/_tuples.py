"""Stored rows to `CheckpointTuple`s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.serde.types import TASKS

from langgraph_checkpoint_rust import _metadata

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import Checkpoint, PendingWrite
    from langgraph.checkpoint.serde.base import SerializerProtocol

    from langgraph_checkpoint_rust._rows import StoredTuple, StoredWrite

VERSION_WITH_SENDS = 4
"""The checkpoint version from which pending sends are a channel of the checkpoint itself."""


def config_of(thread_id: Any, checkpoint_ns: str, checkpoint_id: Any) -> RunnableConfig:
    """A config that names one checkpoint."""
    return {
        "configurable": {
            "thread_id": thread_id,
            "checkpoint_ns": checkpoint_ns,
            "checkpoint_id": checkpoint_id,
        }
    }


def writes_of(serde: SerializerProtocol, writes: list[StoredWrite]) -> list[PendingWrite]:
    """Decodes stored writes."""
    return [(task_id, channel, serde.loads_typed(typed)) for task_id, channel, typed in writes]  # type: ignore[arg-type]


def tuple_of(
    serde: SerializerProtocol, row: StoredTuple, config: RunnableConfig | None = None
) -> CheckpointTuple:
    """Decodes a stored tuple.

    Args:
        serde: The saver's serializer.
        row: The stored tuple.
        config: What the tuple's config shall be; made from the row if None.
    """
    thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, typed, metadata, writes = row
    return CheckpointTuple(
        config_of(thread_id, checkpoint_ns, checkpoint_id) if config is None else config,
        serde.loads_typed(typed),  # type: ignore[arg-type]
        _metadata.loads(metadata),
        config_of(thread_id, checkpoint_ns, parent_checkpoint_id) if parent_checkpoint_id else None,
        writes_of(serde, writes),
    )


def lacks_sends(row: StoredTuple, checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint's pending sends are stored as writes of its parent."""
    if row[3] is None or not isinstance(checkpoint, (dict, Mapping)):
        return False
    version = checkpoint.get("v", VERSION_WITH_SENDS)
    return isinstance(version, int) and version < VERSION_WITH_SENDS


def add_sends(
    serde: SerializerProtocol,
    checkpoint: Checkpoint,
    sends: list[StoredWrite],
    next_version: Callable[[None, None], str],
) -> None:
    """Gives an old checkpoint its pending sends, as `PostgresSaver` does."""
    if not sends:
        return
    checkpoint["channel_values"][TASKS] = [value for _, _, value in writes_of(serde, sends)]
    versions = checkpoint["channel_versions"]
    versions[TASKS] = max(versions.values()) if versions else next_version(None, None)
