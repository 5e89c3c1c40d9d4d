"""`delete_for_runs`: the checkpoints whose metadata names one of the runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from helpers import TASK, Verbs, checkpoint_of, config_of, id_of, ids, put_chain, query, rows

if TYPE_CHECKING:
    from pathlib import Path


def put_runs(saver: Any, *runs: Any, thread_id: str = "1") -> None:
    for number, run_id in enumerate(runs):
        config = saver.put(config_of(thread_id), checkpoint_of(number), {"run_id": run_id}, {})
        saver.put_writes(config, [("a", number)], TASK)


def test_the_runs_checkpoints_go_in_all_threads_and_others_stay(saver: Verbs) -> None:
    put_runs(saver, "r1", "r2", "r1", "r3")
    put_runs(saver, "r1", "r2", thread_id="2")
    saver.delete_for_runs(["r1", "r3"])
    assert ids(saver.list(config_of("1"))) == [id_of(1)]
    assert ids(saver.list(config_of("2"))) == [id_of(1)]


def test_their_writes_go_and_others_stay(path: Path, make_saver: Any) -> None:
    saver = make_saver()
    put_runs(saver, "r1", "r2")
    saver.delete_for_runs(["r1"])
    assert [row[2] for row in rows(path, "writes")] == [id_of(1)]


def test_the_run_id_of_the_config_counts(saver: Verbs) -> None:
    saver.put(config_of(run_id="r1"), checkpoint_of(1), {}, {})
    saver.put({**config_of(), "metadata": {"run_id": "r1"}}, checkpoint_of(2), {}, {})
    saver.put(config_of(), checkpoint_of(3), {}, {})
    saver.delete_for_runs(["r1"])
    assert ids(saver.list(None)) == [id_of(3)]


def test_a_run_id_is_compared_whole_and_as_text(saver: Verbs) -> None:
    put_runs(saver, "r1", "r11", "R1", None, 1, ["r1"], 'quote"', "ü")
    saver.delete_for_runs(["r1", 'quote"', "ü"])
    assert ids(saver.list(None)) == [id_of(number) for number in (5, 4, 3, 2, 1)]


@pytest.mark.parametrize("run_ids", [[], ["unknown"], (), ["' OR 1=1 --"]])
def test_unknown_runs_and_none_are_no_error(saver: Verbs, run_ids: Any) -> None:
    put_runs(saver, "r1")
    saver.delete_for_runs(run_ids)
    assert len(saver.list(None)) == 1


@pytest.mark.parametrize("wrong", ["r1", b"r1"])
def test_a_single_text_is_a_type_error_and_deletes_nothing(saver: Verbs, wrong: Any) -> None:
    put_runs(saver, "r", "1")
    with pytest.raises(TypeError, match="run_ids must be a sequence"):
        saver.delete_for_runs(wrong)
    assert len(saver.list(None)) == 2


def test_metadata_that_is_no_json_is_passed_over(path: Path, make_saver: Any) -> None:
    saver = make_saver()
    put_runs(saver, "r1", "r1", "r1")
    query(path, "UPDATE checkpoints SET metadata = 'no' WHERE checkpoint_id = ?", [id_of(0)])
    query(path, "UPDATE checkpoints SET metadata = NULL WHERE checkpoint_id = ?", [id_of(1)])
    saver.delete_for_runs(["r1"])
    assert len(rows(path, "checkpoints")) == 2


def test_many_runs_at_once(saver: Verbs) -> None:
    put_runs(saver, *(f"run-{number}" for number in range(40)))
    saver.delete_for_runs([f"run-{number}" for number in range(2000) if number != 7])
    assert ids(saver.list(None)) == [id_of(7)]


def test_a_chain_whose_middle_went_is_still_listed(saver: Verbs) -> None:
    first, second, third = put_chain(saver, 3)
    saver.put(first, checkpoint_of(2), {"run_id": "r1"}, {})
    saver.delete_for_runs(["r1"])
    assert ids(saver.list(config_of())) == [id_of(3), id_of(1)]
    assert saver.get_tuple(third).parent_config == second
    assert saver.get_tuple(second) is None
