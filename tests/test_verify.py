"""`verify`: what is damaged is found and named by thread; what is whole is not complained of."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from helpers import TASK, Verbs, checkpoint_of, config_of, id_of, put_chain, query
from langgraph.checkpoint.sqlite import SqliteSaver as UpstreamSaver

from langgraph_checkpoint_rust import RustSqliteSaver


def test_a_whole_database(saver: Verbs) -> None:
    seen: list[int] = []
    assert saver.verify().is_ok
    configs = put_chain(saver, 300)
    put_chain(saver, 2, "1", "sub:1")
    for number in range(300):
        saver.put_writes(configs[number], [("a", number), ("__error__", "x")], TASK)
    report = saver.verify(progress=seen.append)
    assert report.is_ok
    assert (report.checkpoints, report.writes) == (302, 600)
    assert report.missing_parents == report.writes_without_checkpoint == ()
    assert len(seen) > 1
    assert seen[-1] == 302


def test_what_progress_raises_ends_it(saver: Verbs) -> None:
    def refuse(_: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        saver.verify(progress=refuse)
    assert saver.verify().is_ok


def test_damaged_rows_are_named(path: Path) -> None:
    with UpstreamSaver.from_conn_string(str(path)) as theirs:
        for thread_id in "abcdef":
            configs = put_chain(theirs, 2, thread_id)
            theirs.put_writes(configs[-1], [("channel", [1, 2, 3])], TASK)
    first = f"thread_id = ? AND checkpoint_id = '{id_of(1)}'"
    query(path, f"UPDATE checkpoints SET checkpoint = substr(checkpoint, 1, 20) WHERE {first}", "a")
    query(path, f"UPDATE checkpoints SET metadata = '{{' WHERE {first}", "b")
    query(path, f"UPDATE checkpoints SET checkpoint = 5 WHERE {first}", "c")
    query(path, "UPDATE writes SET value = CAST(value || x'00' AS BLOB) WHERE thread_id = 'd'")
    query(path, f"UPDATE checkpoints SET type = NULL WHERE {first}", "e")
    with RustSqliteSaver(path) as saver:
        report = saver.verify()
    assert not report.is_ok
    assert report.integrity == ()
    assert report.damaged_threads == tuple("abcde")
    details = {found.thread_id: found.detail for found in report.damaged}
    assert "msgpack" in details["a"]
    assert "JSON" in details["b"]
    assert "number" in details["c"]
    assert "`channel`" in details["d"]
    assert "tag" in details["e"]
    assert {found.checkpoint_id for found in report.damaged if found.thread_id != "d"} == {id_of(1)}


def test_what_is_not_there_is_told_and_is_no_damage(saver: Verbs) -> None:
    saver.put(config_of("1", "", id_of(1)), checkpoint_of(2), {}, {})
    saver.put_writes(config_of("2", "ns", id_of(7)), [("a", 1), ("b", 2)], TASK)
    report = saver.verify()
    assert report.is_ok
    (parent,), (early,) = report.missing_parents, report.writes_without_checkpoint
    assert (parent.thread_id, parent.checkpoint_id) == ("1", id_of(2))
    assert (early.thread_id, early.checkpoint_ns, early.detail) == ("2", "ns", "2 writes")
    assert (report.checkpoints, report.writes) == (1, 2)


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_file_is_reported_not_raised(path: Path, seed: int) -> None:
    with RustSqliteSaver(path) as saver:
        for number in range(200):
            saver.put(config_of(f"t{number % 7}"), checkpoint_of(number, {"text": "x" * 2000}), {}, {})
    random_ = random.Random(seed)
    pages = path.stat().st_size // 4096
    with path.open("r+b") as file:
        for _ in range(5):
            # The first pages are the roots of the tables: without one of those a file cannot be opened.
            file.seek(random_.randrange(20, pages) * 4096)
            file.write(random_.randbytes(4096))
    with RustSqliteSaver(path) as saver:
        assert not saver.verify().is_ok


def test_a_value_that_only_its_serializer_reads_is_taken_as_it_is(path: Path) -> None:
    class Own:
        def dumps_typed(self, value: Any) -> tuple[str, bytes]:
            return "msgpack+secret", b"\xc1"

        def loads_typed(self, typed: Any) -> Any:
            return {}

    with RustSqliteSaver(path, serde=Own()) as saver:
        saver.put(config_of(), checkpoint_of(1), {}, {})
        assert saver.verify().is_ok
