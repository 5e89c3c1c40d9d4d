"""kill -9 inside delete_thread, upgrade, downgrade and compact: the old state or the new, never between."""

from __future__ import annotations

import random
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from helpers import TASK, checkpoint_of, config_of, query, start_python

from langgraph_checkpoint_rust import RustSqliteSaver

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 5
THREADS = 3
STEPS = 60
MORE = 40_000

VERB = """
import sys
from langgraph_checkpoint_rust import RustSqliteSaver
with RustSqliteSaver(sys.argv[1], format="auto") as saver:
    saver.setup()
    print("begun", flush=True)
    {call}
    print("done", flush=True)
    sys.stdin.read()
"""
CALLS = {
    "delete_thread": 'saver.delete_thread("1")',
    "upgrade": "saver.upgrade()",
    "downgrade": "saver.downgrade()",
    "compact": "saver.compact(full=True)",
}


def fill(path: Path) -> None:
    random_ = random.Random(1)
    with RustSqliteSaver(path, format="auto") as saver:
        for thread in range(THREADS):
            config, text = config_of(str(thread)), ""
            for step in range(1, STEPS + 1):
                text += random_.randbytes(20).hex()
                config = saver.put(config, checkpoint_of(step, {"text": text}), {"step": step}, {})
                if step % 10 == 0:
                    saver.put_writes(config, [("a", text[:1000])], TASK)


def contents(path: Path) -> dict[str, list[Any]]:
    """What a fresh process's readers see, by thread."""
    found: dict[str, list[Any]] = {}
    with RustSqliteSaver(path, format="auto") as saver:
        for stored in saver.list(None):
            row = (stored.checkpoint, stored.metadata, stored.parent_config, stored.pending_writes)
            found.setdefault(stored.config["configurable"]["thread_id"], []).append(row)
    return found


def killed(path: Path, verb: str, after: float) -> bool:
    """Kills a process inside a verb; whether it was done before."""
    process = start_python(VERB.format(call=CALLS[verb]), path)
    assert process.stdout is not None
    if process.stdout.readline() != "begun\n":
        pytest.fail(process.communicate()[1])
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    output, errors = process.communicate()
    assert "Traceback" not in errors, errors
    return "done" in output


@pytest.mark.compact
def test_a_killed_deletion_leaves_all_or_nothing_to_see(path: Path, tmp_path: Path) -> None:
    fill(path)
    with RustSqliteSaver(path, format="auto") as saver:
        saver.backup(tmp_path / "full.db")
    before = contents(path)
    seen = set()
    for number in range(KILLS):
        with RustSqliteSaver(path, format="auto") as saver:
            saver.restore(tmp_path / "full.db")
        # Many more rows than a slice deletes.
        query(path, "DROP TRIGGER checkpoint_format_checkpoints")
        query(
            path,
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            "INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, type, checkpoint, metadata) "
            "SELECT '1', 'more', printf('0000%06d', i), 'msgpack', x'80', '{}' FROM n",
            (MORE,),
        )
        killed(path, "delete_thread", number * 0.05)
        with RustSqliteSaver(path, format="auto") as saver:
            is_there = saver.get_tuple(config_of("1")) is not None
            assert is_there == (saver.get_tuple(config_of("1", "more")) is not None)
            seen.add(is_there)
            ((count,),) = query(path, "SELECT count(*) FROM checkpoints WHERE thread_id = '1'")
            if is_there:
                assert count == STEPS + MORE
            # The next deletion of anything goes on.
            saver.delete_thread("unknown")
            assert query(path, "SELECT count(*) FROM checkpoint_deletions") == [(0,)]
            ((count,),) = query(path, "SELECT count(*) FROM checkpoints WHERE thread_id = '1'")
            assert count == (STEPS + MORE if is_there else 0)
            saver.delete_thread("1")
            report = saver.verify()
            assert report.is_ok
            assert report.orphan_chunks == ()
        after = contents(path)
        assert after == {thread: before[thread] for thread in before if thread != "1"}
    assert seen


@pytest.mark.compact
@pytest.mark.parametrize("verb", ["upgrade", "downgrade", "compact"])
def test_a_killed_verb_changes_nothing_that_is_stored(path: Path, verb: str) -> None:
    fill(path)
    before = contents(path)
    with RustSqliteSaver(path, format="auto") as saver:
        if verb == "upgrade" and saver.format == "compact":
            saver.downgrade()
        elif verb == "downgrade" and saver.format == "interop":
            saver.upgrade()
    done = 0
    for number in range(KILLS):
        done += killed(path, verb, 0.01 + number * 0.02)
        assert contents(path) == before
        with RustSqliteSaver(path, format="auto") as saver:
            report = saver.verify()
            assert report.is_ok
            assert report.missing_parents == report.writes_without_checkpoint == ()
        if done:
            break
    with RustSqliteSaver(path, format="auto") as saver:
        getattr(saver, verb)()
        assert saver.format == {"upgrade": "compact", "downgrade": "interop"}.get(verb, saver.format)
        report = saver.verify()
        assert report.is_ok
        assert report.orphan_chunks == ()
    assert contents(path) == before
