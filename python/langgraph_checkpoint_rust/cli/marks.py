"""`archive`, `unarchive`, `pin` and `unpin`: what is noted of threads, and undone as easily."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langgraph_checkpoint_rust.cli.opening import WAIT, writing
from langgraph_checkpoint_rust.cli.options import AsJson, Database, Tenant, ThreadIds, Timeout, missing_thread
from langgraph_checkpoint_rust.cli.output import counted, remark, show_json

if TYPE_CHECKING:
    from langgraph_checkpoint_rust import RustSqliteSaver


def archive(
    database: Database,
    thread_ids: ThreadIds,
    timeout: Timeout = WAIT,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Leaves threads out of listings."""
    _mark("archived", database, thread_ids, timeout, tenant, as_json)


def unarchive(
    database: Database,
    thread_ids: ThreadIds,
    timeout: Timeout = WAIT,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Takes threads into listings again."""
    _mark("unarchived", database, thread_ids, timeout, tenant, as_json)


def pin(
    database: Database,
    thread_ids: ThreadIds,
    timeout: Timeout = WAIT,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Keeps threads from every retention policy and time to live."""
    _mark("pinned", database, thread_ids, timeout, tenant, as_json)


def unpin(
    database: Database,
    thread_ids: ThreadIds,
    timeout: Timeout = WAIT,
    tenant: Tenant = None,
    as_json: AsJson = False,
) -> None:
    """Lets policies apply to threads again."""
    _mark("unpinned", database, thread_ids, timeout, tenant, as_json)


def _mark(
    done: str, database: str, thread_ids: list[str], timeout: float, tenant: str | None, as_json: bool
) -> None:
    with writing(database, timeout, tenant=tenant) as (_, saver):
        require_threads(saver, thread_ids)
        verb = {
            "archived": saver.archive_thread,
            "unarchived": saver.unarchive_thread,
            "pinned": saver.pin_thread,
            "unpinned": saver.unpin_thread,
        }[done]
        for thread_id in thread_ids:
            verb(thread_id)
    if as_json:
        show_json({done: thread_ids})
    else:
        remark(f"{done} {counted(len(thread_ids), 'thread')}")


def require_threads(saver: RustSqliteSaver, thread_ids: list[str]) -> None:
    """Ends the command, before anything is changed, if one of the threads is not there."""
    for thread_id in thread_ids:
        if saver.get_thread(thread_id) is None:
            raise missing_thread(thread_id)
