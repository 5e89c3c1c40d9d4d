"""Many processes on one file: some write, some read, some upgrade and downgrade it, over and over."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from helpers import TASK, checkpoint_of, config_of, query, start_python
from langgraph.checkpoint.sqlite import SqliteSaver as UpstreamSaver
from oracle import expect_line, finish, tell

from langgraph_checkpoint_rust import RustSqliteSaver

if TYPE_CHECKING:
    from pathlib import Path

WORKER = """
import json, sys, time
from helpers import TASK, checkpoint_of, config_of
from oracle import stand_by
from langgraph_checkpoint_rust import RustSqliteSaver

path, kind, name, seconds = sys.argv[1:]
text = "many words that stay the same " * 100
done, errors, formats = 0, [], set()
# A writer opens the file once: to it the file changes its format under its hands.
saver = RustSqliteSaver(path, format="auto")
saver.setup()
stand_by()
until = time.monotonic() + float(seconds)
while time.monotonic() < until:
    try:
        if kind == "writer":
            done += 1
            state = {"text": text, "number": done}
            config = saver.put(config_of(name), checkpoint_of(done, state), {"step": done}, {})
            saver.put_writes(config, [("a", done), ("b", text)], TASK)
            found = saver.get_tuple(config)
            assert found.checkpoint["channel_values"] == state, "another state"
            assert [write[2] for write in found.pending_writes] == [done, text], "other writes"
        elif kind == "opener":
            # A new process each time, as far as the file can tell.
            with RustSqliteSaver(path, format="auto") as fresh:
                for found in fresh.list(None, limit=20):
                    number = found.checkpoint["channel_values"]["number"]
                    assert found.metadata["step"] == number, "another checkpoint"
                done += 1
        else:
            saver.upgrade(backup=False, vacuum=done % 4 == 0)
            formats.add(saver.format)
            saver.downgrade(backup=False)
            formats.add(saver.format)
            done += 1
    except Exception as error:
        errors.append(f"{type(error).__name__}: {error}")
saver.close()
print(json.dumps({"kind": kind, "name": name, "done": done, "errors": errors, "formats": sorted(formats)}))
"""


@pytest.mark.parametrize(
    ("kinds", "seconds"),
    [
        pytest.param(["writer", "writer", "opener", "converter", "converter"], 4, id="small"),
        pytest.param(
            ["writer"] * 5 + ["opener"] * 3 + ["converter"] * 4,
            60,
            id="full",
            marks=[pytest.mark.slow, pytest.mark.timeout(400)],
        ),
    ],
)
@pytest.mark.interop
def test_processes_write_while_others_upgrade_and_downgrade(
    path: Path, kinds: list[str], seconds: int
) -> None:
    with RustSqliteSaver(path) as saver:
        for number in range(1, 200):
            config = config_of(f"old-{number % 20}")
            text = "old words " * 200
            config = saver.put(
                config, checkpoint_of(number, {"number": number, "text": text}), {"step": number}, {}
            )
            saver.put_writes(config, [("a", number)], TASK)
    old = read(path)
    processes = [start_python(WORKER, path, kind, f"p{index}", seconds) for index, kind in enumerate(kinds)]
    for process in processes:
        expect_line(process, "ready")
    for process in processes:
        tell(process)
    reports = [json.loads(finish(process, 0, timeout=seconds + 60)[-1]) for process in processes]
    for report in reports:
        assert report["errors"] == [], report["kind"]
        assert report["done"] > 0
    assert set().union(*(report["formats"] for report in reports)) >= {"compact", "interop"}
    written = {report["name"]: report["done"] for report in reports if report["kind"] == "writer"}
    counts = "SELECT thread_id, count(*) FROM checkpoints WHERE thread_id LIKE 'p%' GROUP BY 1"
    assert dict(query(path, counts)) == written
    assert query(path, "SELECT count(*) FROM writes WHERE thread_id LIKE 'p%'") == [
        (2 * sum(written.values()),)
    ]
    with RustSqliteSaver(path, format="auto") as saver:
        assert saver.verify().is_ok
        saver.upgrade(backup=False)
        assert {thread_id: rows for thread_id, rows in read(path).items() if thread_id in old} == old
        saver.downgrade(backup=False)
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    with UpstreamSaver.from_conn_string(str(path)) as theirs:
        for name, count in written.items():
            found = theirs.get_tuple(config_of(name))
            assert found is not None
            assert found.checkpoint["channel_values"]["number"] == count


def read(path: Path) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    with RustSqliteSaver(path, format="auto") as saver:
        for stored in saver.list(None):
            row = (stored.checkpoint, stored.metadata, stored.pending_writes)
            found.setdefault(stored.config["configurable"]["thread_id"], []).append(row)
    return found
