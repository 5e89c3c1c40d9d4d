"""`archive`, `unarchive`, `pin` and `unpin`: what is noted of threads, and undone as easily."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph_checkpoint_rust.cli.opening import WAIT, writing
from langgraph_checkpoint_rust.cli.options import (
    AsJson,
    Database,
    Tenant,
    ThreadIds,
    Timeout,
    missing_thread,
)
from langgraph_checkpoint_rust.cli.output import counted, remark, show_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph_checkpoint_rust import RustSqliteSaver


def _marking(verb: str, done: str, words: str) -> Callable[..., None]:
    """A command that calls the verb `{verb}_thread` for each thread."""

    def mark(
        database: Database,
        thread_ids: ThreadIds,
        timeout: Timeout = WAIT,
        tenant: Tenant = None,
        as_json: AsJson = False,
    ) -> None:
        with writing(database, timeout, tenant=tenant) as (_, saver):
            require_threads(saver, thread_ids)
            for thread_id in thread_ids:
                getattr(saver, f"{verb}_thread")(thread_id)
        if as_json:
            show_json({done: thread_ids})
        else:
            remark(f"{done} {counted(len(thread_ids), 'thread')}")

    mark.__name__, mark.__doc__ = verb, words
    return mark


archive = _marking("archive", "archived", "Leaves threads out of listings.")
unarchive = _marking("unarchive", "unarchived", "Takes threads into listings again.")
pin = _marking("pin", "pinned", "Keeps threads from every retention policy and time to live.")
unpin = _marking("unpin", "unpinned", "Lets policies apply to threads again.")


def require_threads(saver: RustSqliteSaver, thread_ids: list[str]) -> None:
    """Ends the command, before anything is changed, if one of the threads is not there."""
    for thread_id in thread_ids:
        if saver.get_thread(thread_id) is None:
            raise missing_thread(thread_id)
