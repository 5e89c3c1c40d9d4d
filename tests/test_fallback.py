"""`fallback="memory"`: when it begins, what it means meanwhile, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from helpers import Lock, checkpoint_of, config_of, ids, put_chain

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RetryPolicy, RustSqliteSaver
from langgraph_checkpoint_rust.errors import (
    DatabaseBusyError,
    DatabaseCorruptError,
    DatabaseOpenError,
    SerializationError,
)
from langgraph_checkpoint_rust.metrics import prometheus_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from helpers import Verbs

    from langgraph_checkpoint_rust.events import Event


@pytest.fixture
def blocked(tmp_path: Path) -> Path:
    """A database whose directory cannot be made, since a file has its name."""
    (tmp_path / "directory").write_text("in the way")
    return tmp_path / "directory" / "checkpoints.db"


def test_without_it_the_error_is_raised(blocked: Path, make_saver: Callable[..., RustSqliteSaver]) -> None:
    saver = make_saver(blocked)
    with pytest.raises((DatabaseOpenError, OSError)):
        put_chain(saver, 1)
    assert not saver.is_degraded


def test_verbs_go_on_in_memory_and_say_so_once(
    blocked: Path, make_saver: Callable[..., RustSqliteSaver], caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Event] = []
    saver = make_saver(blocked, fallback="memory", on_event=events.append)
    put_chain(saver, 3)
    assert saver.is_degraded
    assert len(list(saver.list(config_of()))) == 3
    saver.copy_thread("1", "2")
    assert saver.count_threads() == 2
    saver.delete_thread("1")
    assert saver.get_tuple(config_of()) is None
    logged = [record for record in caplog.records if record.name == "langgraph_checkpoint_rust.fallback"]
    assert [record.levelno for record in logged] == [logging.ERROR]
    assert "IN MEMORY" in logged[0].getMessage()
    (told,) = [event for event in events if event.kind == "fallback"]
    assert told.error == "DatabaseOpenError"
    metrics = saver.metrics()
    assert metrics.is_degraded
    assert metrics.events == {"fallback": 1}
    assert metrics.verbs["put"].errors == {}
    assert "langgraph_checkpoint_degraded 1\n" in prometheus_text(metrics)


def test_async_verbs_go_on_in_memory(blocked: Path) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(blocked, fallback="memory") as saver:
            await asyncio.gather(
                *(saver.aput(config_of(str(n)), checkpoint_of(1), {}, {}) for n in range(20))
            )
            assert saver.is_degraded
            assert saver.metrics().events == {"fallback": 1}
            assert await saver.acount_threads() == 20

    asyncio.run(main())


def test_it_ends_with_all_of_it_in_the_file(
    blocked: Path, make_saver: Callable[..., RustSqliteSaver]
) -> None:
    saver = make_saver(blocked, fallback="memory")
    stored = put_chain(saver, 3)
    saver.put_writes(stored[-1], [("a", "pending")], "task")
    saver.set_thread("1", title="a title")
    saver.pin_thread("3")
    with pytest.raises((DatabaseOpenError, OSError)):
        saver.end_fallback()
    assert saver.is_degraded
    assert len(list(saver.list(config_of()))) == 3
    blocked.parent.unlink()
    assert saver.end_fallback() == 2
    assert not saver.is_degraded
    put_chain(saver, 1, "2")
    saver.close()
    other = make_saver(blocked)
    found = other.get_tuple(config_of())
    assert found is not None
    assert found.pending_writes == [("task", "a", "pending")]
    assert len(list(other.list(config_of()))) == 3
    threads = {thread.thread_id: thread for thread in other.list_threads()}
    assert threads["1"].title == "a title"
    assert threads["2"].title is None
    other.put(config_of("3"), checkpoint_of(1), {}, {})
    pinned = other.get_thread("3")
    assert pinned is not None
    assert pinned.pinned
    assert other.verify().is_ok


def test_it_ends_in_async_code_too(blocked: Path) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(blocked, fallback="memory") as saver:
            assert await saver.aend_fallback() == 0
            await saver.aput(config_of(), checkpoint_of(1), {}, {})
            blocked.parent.unlink()
            assert await saver.aend_fallback() == 1
            assert await saver.aget_tuple(config_of()) is not None
        assert blocked.exists()

    asyncio.run(main())


def test_what_the_file_held_is_not_seen_meanwhile_and_is_there_again(
    path: Path, make_saver: Callable[..., RustSqliteSaver]
) -> None:
    put_chain(make_saver(busy_timeout=0.02), 2)
    saver = make_saver(busy_timeout=0.02, fallback="memory", retry=RetryPolicy(attempts=2, base=0.01))
    assert saver.get_tuple(config_of()) is not None
    with Lock(path, "BEGIN IMMEDIATE"):
        saver.put(config_of("2"), checkpoint_of(7), {}, {})
        assert saver.is_degraded
        assert saver.metrics().events == {"fallback": 1, "retry": 1}
        assert saver.get_tuple(config_of("1")) is None
        with pytest.raises(DatabaseBusyError):
            saver.end_fallback()
    assert saver.end_fallback() == 1
    assert ids(list(saver.list(config_of("1")))) == ids(
        list(make_saver(busy_timeout=0.02).list(config_of("1")))
    )
    assert saver.get_tuple(config_of("2")) is not None


def test_a_directory_that_cannot_be_written(
    small_disk: Path, make_saver: Callable[..., RustSqliteSaver]
) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    saver = make_saver(small_disk / "checkpoints.db", fallback="memory")
    put_chain(saver, 1)
    assert saver.is_degraded
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert saver.end_fallback() == 1
    assert (small_disk / "checkpoints.db").exists()


def test_a_full_disk(small_disk: Path, make_saver: Callable[..., RustSqliteSaver]) -> None:
    saver = make_saver(small_disk / "checkpoints.db", fallback="memory", format="interop")
    text = "x" * 200_000
    for number in range(20):
        saver.put(config_of(), checkpoint_of(number, {"text": text + str(number)}), {}, {})
    assert saver.is_degraded
    found = saver.get_tuple(config_of())
    assert found is not None
    assert found.checkpoint["channel_values"]["text"].endswith("19")


def test_errors_of_the_caller_and_damage_are_raised(
    path: Path, make_saver: Callable[..., RustSqliteSaver]
) -> None:
    saver = make_saver(fallback="memory")
    with pytest.raises(SerializationError):
        saver.put(config_of(), checkpoint_of(1, {"bad": object()}), {}, {})
    assert not saver.is_degraded
    (path.parent / "damaged.db").write_bytes(b"no database at all" * 1000)
    damaged = make_saver(path.parent / "damaged.db", fallback="memory")
    with pytest.raises(DatabaseCorruptError):
        damaged.get_tuple(config_of())
    assert not damaged.is_degraded


def test_a_tenant_goes_on_in_memory_too(blocked: Path, make_saver: Callable[..., RustSqliteSaver]) -> None:
    saver = make_saver(blocked, fallback="memory")
    acme, other = saver.scoped("acme"), saver.scoped("other")
    put_chain(acme, 2)
    assert acme.is_degraded
    assert len(list(acme.list(None))) == 2
    assert list(other.list(None)) == []
    blocked.parent.unlink()
    assert saver.end_fallback() == 1
    assert len(list(acme.list(None))) == 2
    assert list(other.list(None)) == []


@pytest.mark.parametrize(
    "options", [{"fallback": "disk"}, {"fallback": "memory", "read_only": True}, {"fallback": True}]
)
def test_misuse_is_refused(path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="fallback"):
        RustSqliteSaver(path, **options)


def test_verbs_are_the_same_without_a_reason_to_fall_back(saver: Verbs, path: Path) -> None:
    """In both colours, and of a saver that is in memory anyway."""
    assert saver.saver.is_degraded is False
    assert saver.end_fallback() == 0
