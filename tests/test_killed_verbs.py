"""kill -9 inside deletions, conversions, sweeps, copies and migrations: the old state or the new, never between.

Retention is in `test_apply_retention.py`, backup and restore in files of theirs.
"""

from __future__ import annotations

import random
import shutil
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
    "delete_threads": "saver.delete_threads([str(number) for number in range(400)])",
    "upgrade": "saver.upgrade(backup=False)",
    "downgrade": "saver.downgrade(backup=False)",
    "compact": "saver.compact(full=True)",
    "optimize": "saver.optimize()",
    # Tells when all is converted: what is left is to write the file anew.
    "vacuum": 'saver.upgrade(backup=False, progress=lambda done, all_: done == all_ and print("begun", flush=True))',
}


def fill(path: Path, format_: Any = "auto") -> None:
    random_ = random.Random(1)
    with RustSqliteSaver(path, format=format_) as saver:
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
            saver.downgrade(backup=False)
        elif verb == "downgrade" and saver.format == "interop":
            saver.upgrade(backup=False)
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


def text_of(size: int) -> str:
    return random.Random(size).randbytes(size // 2).hex()


@pytest.mark.interop
def test_a_kill_while_the_file_is_written_anew(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        for number in range(60):
            config = config_of(str(number % 6))
            saver.put(config, checkpoint_of(number, {"text": text_of(200_000 + number)}), {}, {})
    before = contents(path)
    done = False
    for number in range(KILLS):
        process = start_python(VERB.format(call=CALLS["vacuum"]), path)
        assert process.stdout is not None
        # Once for the opening, once for the conversion.
        for _ in range(2):
            if process.stdout.readline() != "begun\n":
                pytest.fail(process.communicate()[1])
        time.sleep(number * 0.01)
        process.send_signal(signal.SIGKILL)
        done = "done" in process.communicate()[0]
        assert contents(path) == before
        with RustSqliteSaver(path, format="auto") as saver:
            assert saver.format == "compact"
            assert saver.verify().is_ok
        if done:
            break
    with RustSqliteSaver(path, format="auto") as saver:
        saver.compact(full=True)
    assert contents(path) == before


def test_a_killed_deletion_of_many_leaves_each_whole_or_gone(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        for number in range(400):
            config = saver.put(config_of(str(number)), checkpoint_of(1, {"text": text_of(6000)}), {}, {})
            config = saver.put(config, checkpoint_of(2, {"text": text_of(6100)}), {}, {})
            saver.put_writes(config, [("a", number)], TASK)
    before = contents(path)
    for number in range(KILLS):
        killed(path, "delete_threads", number * 0.01)
        left = contents(path)
        assert left == {thread_id: before[thread_id] for thread_id in left}
        # In their order.
        assert sorted(map(int, left)) == list(range(400 - len(left), 400))
        with RustSqliteSaver(path) as saver:
            report = saver.verify()
            assert report.is_ok
            assert report.writes_without_checkpoint == report.missing_parents == report.orphan_chunks == ()
            assert saver.count_threads() == len(left)


@pytest.mark.compact
def test_a_killed_optimize_takes_only_what_nothing_needs(path: Path) -> None:
    fill(path)
    with RustSqliteSaver(path) as saver:
        for number in range(100):
            saver.put(config_of("gone"), checkpoint_of(number, {"text": text_of(40_000 + number)}), {}, {})
        saver.delete_thread("0")
    query(path, "DELETE FROM checkpoints WHERE thread_id = 'gone'")
    before = contents(path)
    for number in range(KILLS):
        killed(path, "optimize", number * 0.01)
        assert contents(path) == before
        with RustSqliteSaver(path) as saver:
            assert saver.verify().is_ok
    with RustSqliteSaver(path) as saver:
        saver.optimize()
        assert saver.verify().orphan_chunks == ()
        assert saver.optimize().pages == 0
    assert contents(path) == before


COPIER = """
import sys
from langgraph_checkpoint_rust import RustSqliteSaver
with RustSqliteSaver(sys.argv[1]) as saver, RustSqliteSaver(sys.argv[2], format="auto") as other:
    saver.setup()
    other.setup()
    print("begun", flush=True)
    saver.copy_from(other)
    print("done", flush=True)
    sys.stdin.read()
"""


def test_a_killed_copy_from_is_gone_on_with(path: Path, tmp_path: Path) -> None:
    fill(path)
    before = contents(path)
    target = tmp_path / "target.db"
    for number in range(KILLS):
        process = start_python(COPIER, target, path)
        assert process.stdout is not None
        if process.stdout.readline() != "begun\n":
            pytest.fail(process.communicate()[1])
        time.sleep(number * 0.02)
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        assert "Traceback" not in errors, errors
        # Old before new, and writes with their checkpoint: what is there is the beginning of each thread.
        for thread_id, rows in contents(target).items():
            assert rows == before[thread_id][-len(rows) :]
        with RustSqliteSaver(target) as saver:
            assert saver.verify().is_ok
            assert saver.verify().missing_parents == ()
    with RustSqliteSaver(target) as saver, RustSqliteSaver(path, format="auto") as other:
        saver.copy_from(other)
    assert contents(target) == before
    assert contents(path) == before


@pytest.mark.interop
def test_a_killed_migration_has_the_column_or_has_it_not(path: Path, tmp_path: Path) -> None:
    fill(path, "interop")
    query(path, "ALTER TABLE writes DROP COLUMN task_path")
    before = contents_of_old(path)
    for number in range(KILLS):
        copy = tmp_path / f"{number}.db"
        shutil.copy(path, copy)
        process = start_python(OPENER, copy)
        assert process.stdout is not None
        if process.stdout.readline() != "begun\n":
            pytest.fail(process.communicate()[1])
        time.sleep(number * 0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        columns = [row[1] for row in query(copy, "PRAGMA table_info(writes)")]
        assert columns.count("task_path") in {0, 1}
        assert contents_of_old(copy) == before
        with RustSqliteSaver(copy) as saver:
            assert saver.verify().is_ok
        assert [row[1] for row in query(copy, "PRAGMA table_info(writes)")].count("task_path") == 1


OPENER = """
import sys
from langgraph_checkpoint_rust import RustSqliteSaver
print("begun", flush=True)
with RustSqliteSaver(sys.argv[1]) as saver:
    saver.setup()
    sys.stdin.read()
"""


def contents_of_old(path: Path) -> list[Any]:
    """The rows, but for the column that comes."""
    writes = "SELECT thread_id, checkpoint_ns, checkpoint_id, task_id, idx, channel, type, value FROM writes"
    return [
        *query(path, f"{writes} ORDER BY 1, 2, 3, 4, 5"),
        *query(path, "SELECT * FROM checkpoints ORDER BY 1, 2, 3"),
    ]
