"""Threads to and from other files and other savers.

The file of `export_thread` is a SQLite database in the format of `langgraph-checkpoint-sqlite`, with
one thread in it. A format of its own (a header and length-prefixed records) would be smaller by SQLite's
overhead and would need its own checksums, its own versions and its own tools; this one opens in every saver,
in upstream's and in the `sqlite3` shell, which is what a bug report is made for, and `verify` checks it.
Rows go over as they are stored, tag and bytes: no class is imported, encrypted data stay encrypted.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.base import WRITES_IDX_MAP

from langgraph_checkpoint_rust import _metadata, _serialize
from langgraph_checkpoint_rust._config import texts
from langgraph_checkpoint_rust._core import SqliteBackend
from langgraph_checkpoint_rust._saver import Saver
from langgraph_checkpoint_rust._slices import deleted, noted, storing, transferred
from langgraph_checkpoint_rust._tuples import config_of
from langgraph_checkpoint_rust.reports import TransferReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple

    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust._maintenance import Progress, StrPath
    from langgraph_checkpoint_rust._rows import Key, PlacedWrite, ThreadRow
    from langgraph_checkpoint_rust.settings import SqliteOptions, SqliteSettings

_ON_EXISTING = ("refuse", "replace")
_EXPORT: SqliteOptions = {
    "journal_mode": "DELETE",
    "synchronous": "FULL",
    "auto_vacuum": "NONE",
    "format": "interop",
    "read_only": False,
}
_IMPORT: SqliteOptions = {"journal_mode": "DELETE", "format": "auto", "read_only": True}
"""What differs from the saver's own settings."""


class TransferVerbs(Saver):
    """`export_thread`, `import_thread` and `copy_from`."""

    def export_thread(self, thread_id: str, path: StrPath) -> TransferReport:
        """Writes a thread to a file of its own: for a bug report, or to move it.

        The file is a database in the format of `langgraph-checkpoint-sqlite`: any saver opens it.
        Nothing is decoded. A thread that is being written is exported as it is met, page by page. Its title,
        metadata, pin, time to live and whether it is archived go with it.

        Args:
            thread_id: The thread.
            path: The file to make; it holds all that was said in the thread, readable by its owner only.

        Returns:
            How much was exported.

        Raises:
            FileExistsError: If the file exists.
            ValueError: If the thread does not exist.

        Example:
            >>> from langgraph.checkpoint.base import empty_checkpoint
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver(":memory:")
            >>> stored = saver.put({"configurable": {"thread_id": "1"}}, empty_checkpoint(), {}, {})
            >>> saver.export_thread("1", "thread.db").checkpoints
            1
            >>> saver.import_thread("thread.db", thread_id="2").checkpoints
            1
        """
        with NewFile(path, self.settings) as target:
            return self._run(self._export_thread(str(thread_id), target))

    async def aexport_thread(self, thread_id: str, path: StrPath) -> TransferReport:
        """As `export_thread`."""
        await self._store.resolve()
        async with NewFile(path, self.settings) as target:
            return await self._arun(self._export_thread(str(thread_id), target))

    def _export_thread(self, thread_id: str, target: SqliteBackend) -> Steps[TransferReport]:
        yield from self._open()
        report = yield from transferred(self._store.backend, thread_id, target, thread_id)
        if not report.checkpoints + report.writes:
            raise ValueError(f"thread {thread_id!r} does not exist; nothing was exported")
        return report

    def import_thread(
        self, path: StrPath, *, thread_id: str | None = None, on_existing: str = "refuse"
    ) -> TransferReport:
        """Stores the thread of a file that `export_thread` made, or of any database with one thread.

        Old checkpoints come before new ones, so that whatever a reader meets meanwhile is whole. If it
        fails, what was imported is removed. What users said of the thread comes with it, its title for one.

        Args:
            path: The file.
            thread_id: The thread to store it as; its own id if None.
            on_existing: What to do if that thread exists: `"refuse"`, or `"replace"`, which reads the
                file to its end first, and then deletes the thread.

        Returns:
            How much was imported.

        Raises:
            ValueError: If the file does not hold exactly one thread, if the thread exists and is not to
                be replaced, or if `on_existing` is another word.
            DatabaseCorruptError: If the file is damaged.

        Example:
            >>> from langgraph.checkpoint.base import empty_checkpoint
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver(":memory:")
            >>> stored = saver.put({"configurable": {"thread_id": "1"}}, empty_checkpoint(), {}, {})
            >>> exported = saver.export_thread("1", "thread.db")
            >>> saver.import_thread("thread.db", on_existing="replace") == exported
            True
        """
        source = imported_file(path, on_existing, self.settings)
        try:
            found, target = self._run_part(self._prepare_import(source, thread_id, on_existing))
            try:
                return self._run(transferred(source, found, self._store.backend, target), "import_thread")
            except BaseException:
                self._run_part(self._remove_import(target))
                raise
        finally:
            source.close()

    async def aimport_thread(
        self, path: StrPath, *, thread_id: str | None = None, on_existing: str = "refuse"
    ) -> TransferReport:
        """As `import_thread`."""
        await self._store.resolve()
        source = imported_file(path, on_existing, self.settings)
        try:
            found, target = await self._arun_part(self._prepare_import(source, thread_id, on_existing))
            try:
                return await self._arun(
                    transferred(source, found, self._store.backend, target), "import_thread"
                )
            except BaseException:
                await asyncio.shield(self._arun_part(self._remove_import(target)))
                raise
        finally:
            source.close()

    def _prepare_import(
        self, source: SqliteBackend, thread_id: str | None, on_existing: str
    ) -> Steps[tuple[str, str]]:
        """The thread in the file, and the thread to make of it, which is not there any more."""
        threads = yield source.thread_ids(None, False, 2)
        if len(threads) != 1:
            count = "more than one thread" if threads else "no thread"
            raise ValueError(f"the file holds {count}; import takes a file with exactly one")
        (found,) = threads
        target = found if thread_id is None else str(thread_id)
        yield from self._open()
        _, after = yield self._store.backend.read_thread(target, None)
        if after is not None:
            if on_existing == "refuse":
                raise ValueError(
                    f'thread {target!r} exists; pass another thread_id, or on_existing="replace"'
                )
            yield from read_to_the_end(source, found)
            yield from self._remove_import(target)
        return found, target

    def _remove_import(self, thread_id: str) -> Steps[None]:
        yield from deleted(self._store.backend, thread_id)

    def copy_from(
        self,
        other_saver: BaseCheckpointSaver[Any],
        *,
        threads: Sequence[str] | None = None,
        progress: Progress = None,
    ) -> TransferReport:
        """Copies threads from any other saver, through its public verbs.

        Old checkpoints come before new ones and writes before their checkpoint, so that whatever a
        reader meets meanwhile is whole. It may be interrupted and repeated: what is there already with
        the same content is not written again. What a saver does not tell is not copied: the paths
        of tasks (the order of writes is kept), and writes whose checkpoint is not stored. From a saver of
        this package come also the threads' titles, metadata, pins, times to live, and which are archived.

        Args:
            other_saver: The saver to copy from; a saver that is async only needs `acopy_from`.
            threads: The threads; all if None.
            progress: Called with the checkpoints copied and those there are. What it raises ends the verb.

        Returns:
            How much was copied.

        Raises:
            SerializationError: If a value is refused by this saver's serializer.

        Example:
            >>> from langgraph.checkpoint.base import empty_checkpoint
            >>> from langgraph.checkpoint.memory import InMemorySaver
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> other, config = InMemorySaver(), {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}
            >>> stored = other.put(config, empty_checkpoint(), {"step": 1}, {})
            >>> RustSqliteSaver(":memory:").copy_from(other)
            TransferReport(threads=1, checkpoints=1, writes=0, unchanged=0)
        """
        found: set[Key] = set()
        for config in _listings(threads):
            found.update(_key_of(listed) for listed in other_saver.list(config))
        keys = _in_order(found)
        copied = _Copied(keys, progress)
        for key in keys:
            stored = other_saver.get_tuple(config_of(*key))
            copied.add(self._run(self._copy_tuple(key, stored), "copy_from"))
        self._run_part(self._copy_notes(other_saver, keys))
        return copied.report()

    async def acopy_from(
        self,
        other_saver: BaseCheckpointSaver[Any],
        *,
        threads: Sequence[str] | None = None,
        progress: Progress = None,
    ) -> TransferReport:
        """As `copy_from`, through the other saver's async verbs."""
        await self._store.resolve()
        found: set[Key] = set()
        for config in _listings(threads):
            found.update([_key_of(listed) async for listed in other_saver.alist(config)])
        keys = _in_order(found)
        copied = _Copied(keys, progress)
        for key in keys:
            stored = await other_saver.aget_tuple(config_of(*key))
            copied.add(await self._arun(self._copy_tuple(key, stored), "copy_from"))
        await self._arun_part(self._copy_notes(other_saver, keys))
        return copied.report()

    def _copy_tuple(self, key: Key, stored: CheckpointTuple | None) -> Steps[tuple[int, bool] | None]:
        """How many writes were copied, and whether all was there already; None for what is gone."""
        if stored is None:
            return None
        thread_id, checkpoint_ns, checkpoint_id = key
        parent = (stored.parent_config or {}).get("configurable", {}).get("checkpoint_id")
        checkpoint = (
            None if parent is None else str(parent),
            _serialize.dumps(self.serde, stored.checkpoint, "the checkpoint"),
            _metadata.dumps(config_of(*key), stored.metadata),
        )
        writes = list(self._placed(stored.pending_writes or []))
        yield from self._open()
        known = yield self._store.backend.get_tuple(*key)
        if known is not None:
            told = [(task_id, channel, typed) for task_id, _, _, channel, typed in writes]
            if known[3:6] == checkpoint and known[6] == told:
                return len(writes), True
        row: ThreadRow = (checkpoint_ns, checkpoint_id, checkpoint, writes)
        yield from storing(self._store.backend, self._store.backend.write_thread, thread_id, [row])
        return len(writes), False

    def _copy_notes(self, other_saver: BaseCheckpointSaver[Any], keys: list[Key]) -> Steps[None]:
        """Takes over what users said of the threads, which only savers of this package know."""
        if isinstance(other_saver, Saver):
            source, target = other_saver._store.backend, self._store.backend  # noqa: SLF001 - the same class
            for thread_id in dict.fromkeys(key[0] for key in keys):
                yield from noted(source, thread_id, target, thread_id)

    def _placed(self, writes: Iterable[tuple[str, str, Any]]) -> Iterator[PlacedWrite]:
        """Writes with places that keep their order: by path, then task, then index."""
        by_task: dict[str, list[tuple[str, Any]]] = {}
        for task_id, channel, value in writes:
            by_task.setdefault(task_id, []).append((channel, value))
        is_sorted = list(by_task) == sorted(by_task)
        for number, (task_id, values) in enumerate(by_task.items()):
            path = "" if is_sorted else f"{number:08}"
            for index, (channel, value) in enumerate(values):
                typed = _serialize.dumps(self.serde, value, f"the write to channel `{channel}`")
                yield task_id, path, WRITES_IDX_MAP.get(channel, index), channel, typed


class NewFile:
    """A database that is made, and that goes again if the block fails."""

    def __init__(self, path: StrPath, settings: SqliteSettings) -> None:
        self._path = Path(path).absolute()
        self._settings = settings.replace(_EXPORT)

    def __enter__(self) -> SqliteBackend:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(mode=0o600, exist_ok=False)
        self._backend = SqliteBackend(self._path, self._settings)
        return self._backend

    def __exit__(self, kind: object, *_: object) -> None:
        self._leave(kind is not None)

    async def __aenter__(self) -> SqliteBackend:
        return self.__enter__()

    async def __aexit__(self, kind: object, *_: object) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._leave, kind is not None)

    def _leave(self, failed: bool) -> None:
        self._backend.close()
        if failed:
            self._path.unlink(missing_ok=True)


def read_to_the_end(source: SqliteBackend, thread_id: str) -> Steps[None]:
    """Raises if a thread is damaged, before another is deleted for it."""
    _, after = yield source.read_thread(thread_id, None)
    while after is not None:
        _, after = yield source.read_thread(thread_id, after)


def imported_file(path: StrPath, on_existing: str, settings: SqliteSettings) -> SqliteBackend:
    if on_existing not in _ON_EXISTING:
        raise ValueError(f"unknown on_existing {on_existing!r}; use one of {', '.join(_ON_EXISTING)}")
    return SqliteBackend(os.fspath(path), settings.replace(_IMPORT))


def _listings(threads: Sequence[str] | None) -> list[Any]:
    """What to ask `list` for."""
    if threads is None:
        return [None]
    return [{"configurable": {"thread_id": thread_id}} for thread_id in texts("threads", threads)]


def _key_of(listed: CheckpointTuple) -> Key:
    part: Mapping[str, Any] = listed.config["configurable"]
    return str(part["thread_id"]), str(part.get("checkpoint_ns") or ""), str(part["checkpoint_id"])


def _in_order(keys: Iterable[Key]) -> list[Key]:
    """Thread by thread, subgraphs before the root graph, old before new."""
    ordered = sorted(keys, key=lambda key: key[2])
    ordered.sort(key=lambda key: key[1], reverse=True)
    ordered.sort(key=lambda key: key[0])
    return ordered


class _Copied:
    """Counts what `copy_from` copied."""

    def __init__(self, keys: Sequence[Key], progress: Callable[[int, int], object] | None) -> None:
        self._keys = keys
        self._progress = progress
        self._seen = self._checkpoints = self._writes = self._unchanged = 0

    def add(self, outcome: tuple[int, bool] | None) -> None:
        self._seen += 1
        if outcome is not None:
            writes, unchanged = outcome
            self._checkpoints += 1
            self._writes += writes
            self._unchanged += unchanged
        if self._progress is not None:
            self._progress(self._seen, len(self._keys))

    def report(self) -> TransferReport:
        threads = len({key[0] for key in self._keys})
        return TransferReport(threads, self._checkpoints, self._writes, self._unchanged)
