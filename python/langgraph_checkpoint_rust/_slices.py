"""Work of the native half that is done in slices, carried to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph_checkpoint_rust.reports import TransferReport

if TYPE_CHECKING:
    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust._core import SqliteBackend


def deleted(
    backend: SqliteBackend, thread_id: str, *, overwrite: bool = False
) -> Steps[tuple[int, int, int]]:
    """Deletes a thread to its end; the checkpoints, writes and chunks that went."""
    total: tuple[int, int, int]
    rest, total, _ = yield backend.delete_threads([thread_id], overwrite)
    while rest is not None:
        # Behind a marker the thread is gone: by its id a new one might be deleted.
        call = (
            backend.delete_threads([thread_id], overwrite)
            if rest == "unmarked"
            else backend.finish_deletions()
        )
        rest, more, _ = yield call
        total = (total[0] + more[0], total[1] + more[1], total[2] + more[2])
    return total


def finish_deletions(backend: SqliteBackend) -> Steps[None]:
    """Goes on with all deletions that were interrupted."""
    rest = "marked"
    while rest is not None:
        rest, _, _ = yield backend.finish_deletions()


def storing(backend: SqliteBackend, verb: Any, *arguments: Any) -> Steps[None]:
    """Stores, after a thread that is being deleted was deleted to its end."""
    while (yield verb(*arguments)):
        yield from finish_deletions(backend)


def transferred(
    source: SqliteBackend, source_id: str, target: SqliteBackend, target_id: str
) -> Steps[TransferReport]:
    """Copies the rows of a thread as they are stored, a page at a time."""
    checkpoints = writes = 0
    rows, after = yield source.read_thread(source_id, None)
    while rows:
        yield from storing(target, target.write_thread, target_id, rows)
        checkpoints += sum(row[2] is not None for row in rows)
        writes += sum(len(row[3]) for row in rows)
        rows, after = yield source.read_thread(source_id, after)
    if checkpoints + writes:
        yield from noted(source, source_id, target, target_id)
    return TransferReport(int(checkpoints + writes > 0), checkpoints, writes)


def noted(source: SqliteBackend, source_id: str, target: SqliteBackend, target_id: str) -> Steps[None]:
    """Takes over what users said of a thread: all of it, since it is the same thread in another place."""
    notes = yield source.read_notes(source_id)
    if any(notes):
        yield target.write_notes(target_id, notes)


def replicated(source: SqliteBackend, target: SqliteBackend, thread_id: str) -> Steps[None]:
    """Copies a thread to the same one elsewhere, also one of which only notes are stored."""
    report = yield from transferred(source, thread_id, target, thread_id)
    if report.checkpoints:
        return
    title, metadata, *_ = yield source.read_notes(thread_id)
    if title is not None or metadata is not None:
        # Makes the thread, as a checkpoint does; notes alone do not.
        yield target.set_thread(thread_id, title, metadata)
    yield from noted(source, thread_id, target, thread_id)
