"""`delete_thread`: all of a thread and nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from helpers import TASK, Verbs, config_of, put_chain, rows

from langgraph_checkpoint_rust import AsyncRustSqliteSaver

if TYPE_CHECKING:
    from pathlib import Path


def test_all_namespaces_and_all_writes_go(saver: Verbs) -> None:
    for namespace in ("", "child:1"):
        for config in put_chain(saver, 2, "1", namespace):
            saver.put_writes(config, [("a", 1)], TASK)
    saver.delete_thread("1")
    assert saver.list({"configurable": {"thread_id": "1"}}) == []
    put_chain(saver, 2)
    assert saver.get_tuple(config_of()).pending_writes == []


def test_writes_without_a_checkpoint_go_too(path: Path, saver: Verbs) -> None:
    saver.put_writes(config_of(checkpoint_id="not-there-yet"), [("a", 1)], TASK)
    saver.delete_thread("1")
    saver.put(config_of(), {"id": "not-there-yet"}, {}, {})
    assert saver.get_tuple(config_of()).pending_writes == []


def test_other_threads_stay(saver: Verbs) -> None:
    put_chain(saver, 2, "1")
    (kept,) = put_chain(saver, 1, "10")
    saver.put_writes(kept, [("a", 1)], TASK)
    before = saver.list(config_of("10"))
    saver.delete_thread("1")
    assert saver.list(None) == before


def test_the_thread_id_may_be_of_any_type(saver: Verbs) -> None:
    put_chain(saver, 1, 7)
    saver.delete_thread(7)
    assert saver.list(None) == []


def test_an_unknown_thread_is_no_error(saver: Verbs) -> None:
    saver.delete_thread("unknown")
    saver.delete_thread("unknown")
    assert saver.list(None) == []


def test_adelete_thread_works_on_a_fresh_file(path: Path) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver:
            await saver.adelete_thread("1")

    asyncio.run(main())
    assert rows(path, "checkpoints") == []
