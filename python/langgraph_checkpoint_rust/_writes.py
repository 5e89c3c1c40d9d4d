"""The verbs that store.

Each verb's work is one generator of steps (`_bridge`), so its two colours cannot differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import WRITES_IDX_MAP

from langgraph_checkpoint_rust import _config, _metadata, _outline, _serialize, _tuples
from langgraph_checkpoint_rust._saver import Saver
from langgraph_checkpoint_rust._slices import storing
from langgraph_checkpoint_rust._versions import next_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata

    from langgraph_checkpoint_rust._bridge import Steps


class WriteVerbs(Saver):
    """`put` and `put_writes`, and the versions that they store."""

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Stores a checkpoint; one with the same id is replaced.

        Args:
            config: Names the thread, the namespace (`""` if missing) and the parent checkpoint.
            checkpoint: Any mapping with an `id`; unknown keys and key order survive.
            metadata: Stored as JSON, merged with the config's own. What JSON refuses becomes text,
                a list or an object that stands for it.
            new_versions: A hint; everything is stored whatever it says.

        Returns:
            A config that names the stored checkpoint.

        Raises:
            MissingKeyError: If the config has no `thread_id` or the checkpoint no `id`.
            SerializationError: If the checkpoint holds what the serializer refuses.
            DatabaseBusyError: If another writer held the file for `busy_timeout`.
            DiskFullError: If no space is left.
            ConcurrentWriteError: If `on_conflict="raise"` is set and the parent is not the newest checkpoint.
            ThreadDeletedError: If `on_deleted_thread="raise"` is set and the thread was deleted after the
                parent was made.
            LeaseLostError: Inside a `thread_lease` that was lost.

        Example:
            >>> from langgraph.checkpoint.base import empty_checkpoint
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver(":memory:")
            >>> stored = saver.put({"configurable": {"thread_id": "1"}}, empty_checkpoint(), {"step": 1}, {})
            >>> sorted(stored["configurable"])
            ['checkpoint_id', 'checkpoint_ns', 'thread_id']
        """
        return self._run(self._put(config, checkpoint, metadata))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As `put`. The arguments are serialized before the first suspension.

        If the await is cancelled, the checkpoint is stored or it is not, never in part.
        """
        return await self._arun(self._put(config, checkpoint, metadata))

    def _put(self, config: Any, checkpoint: Any, metadata: Any) -> Steps[RunnableConfig]:
        checkpoint_id = _config.id_of(checkpoint)
        thread_id, checkpoint_ns, parent = _config.key(config)
        key = (thread_id, checkpoint_ns, str(checkpoint_id))
        typed = _serialize.dumps(self.serde, checkpoint, "the checkpoint")
        encoded = _metadata.dumps(config, metadata)
        outline = None if self._chunkable else _outline.outline(checkpoint)
        # First, so that no later write overtakes it while the file is opened.
        backend, lease = self._store.backend, self._store.lease(key[0])
        yield from storing(backend, backend.put, key, parent, typed, encoded, outline, self._chunkable, lease)
        if not self._store.is_open:
            yield from self._note_opening()
        return _tuples.config_of(config["configurable"]["thread_id"], key[1], checkpoint_id)

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Stores the writes of a task: all of them, or none.

        Args:
            config: Names the checkpoint that the task ran from. Its row need not be stored yet.
            writes: `(channel, value)` pairs.
            task_id: The task. A repeated task keeps its first writes, except to the special
                channels (errors, interrupts, resumes), where the last ones win.
            task_path: The task's path in the graph; orders the writes of one step.

        Raises:
            MissingKeyError: If the config has no `thread_id` or `checkpoint_id`.
            SerializationError: If a value is refused by the serializer.
            DatabaseBusyError: If another writer held the file for `busy_timeout`.
            DiskFullError: If no space is left.

        Example:
            >>> from langgraph.checkpoint.base import empty_checkpoint
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver(":memory:")
            >>> config = saver.put({"configurable": {"thread_id": "1"}}, empty_checkpoint(), {}, {})
            >>> saver.put_writes(config, [("messages", "hello")], task_id="task-1")
            >>> saver.get_tuple(config).pending_writes
            [('task-1', 'messages', 'hello')]
        """
        self._run(self._put_writes(config, writes, task_id, task_path))

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """As `put_writes`. The values are serialized before the first suspension."""
        await self._arun(self._put_writes(config, writes, task_id, task_path))

    def _put_writes(self, config: Any, writes: Any, task_id: str, task_path: str) -> Steps[None]:
        thread_id, checkpoint_ns, _ = _config.key(config)
        key = (thread_id, checkpoint_ns, _config.required_checkpoint_id(config))
        encoded = [
            (WRITES_IDX_MAP.get(channel, index), channel, self._dumps_write(channel, value))
            for index, (channel, value) in enumerate(writes)
        ]
        replace = all(channel in WRITES_IDX_MAP for _, channel, _ in encoded)
        # First, so that no later write overtakes it while the file is opened.
        backend, lease = self._store.backend, self._store.lease(key[0])
        how = (replace, encoded, self._chunkable, lease)
        yield from storing(backend, backend.put_writes, key, task_id, task_path, *how)
        if not self._store.is_open:
            yield from self._note_opening()

    def _dumps_write(self, channel: str, value: Any) -> Any:
        return _serialize.dumps(self.serde, value, f"the write to channel `{channel}`")

    def get_next_version(self, current: str | None, channel: None) -> str:
        """The version that follows `current`: a counter, then a random fraction, as upstream makes it.

        Args:
            current: The channel's version, or None.
            channel: Not used; kept for old callers.

        Returns:
            A version that sorts after `current`.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").get_next_version(None, None).split(".")[0][-1]
            '1'
        """
        return next_version(current)
