"""`prune` with `keep_last`, `older_than` and `dry_run`; and that no prune changes what it keeps, on real graphs."""

# Annotations are evaluated at once here: channels are made of local variables.

import datetime as dt
import operator
import os
import time
from pathlib import Path
from typing import Annotated, Any

import pytest
from aged import put_aged
from helpers import OTHER_TASK, TASK, Verbs, checkpoint_of, config_of, id_of, ids, put_chain, rows
from hypothesis import given
from hypothesis import strategies as st
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.reports import PruneReport

pytestmark = pytest.mark.filterwarnings("ignore:.*beta.*", "ignore:.*in beta")


@pytest.mark.parametrize("keep_last", [1, 2, 3, 5])
def test_the_newest_of_each_namespace_stay_with_their_writes(saver: Verbs, keep_last: int) -> None:
    for namespace in ("", "child"):
        for config in put_chain(saver, 4, "1", namespace):
            saver.put_writes(config, [("a", 1)], TASK)
    report = saver.prune(["1"], keep_last=keep_last)
    kept = min(keep_last, 4)
    for namespace in ("", "child"):
        found = saver.list(config_of("1", namespace))
        assert ids(found)[:kept] == [id_of(4 - number) for number in range(kept)]
        assert all(item.pending_writes == [(TASK, "a", 1)] for item in found)
    gone = 8 - len(saver.list(None))
    assert (report.threads, report.checkpoints, report.writes) == (int(gone > 0), gone, gone)
    assert (report.bytes > 0) == (gone > 0)


def test_only_what_is_older_goes_and_never_the_newest(saver: Verbs) -> None:
    made = put_aged(saver, [9000, 5000, 4000, 100, 50])
    saver.prune(["1"], older_than=dt.timedelta(hours=1))
    assert ids(saver.list(None)) == [made[4], made[3]]
    saver.prune(["1"], older_than=0)
    assert ids(saver.list(None)) == [made[4]]


def test_what_is_among_the_last_or_younger_stays(saver: Verbs) -> None:
    made = put_aged(saver, [9000, 5000, 4000, 100, 50])
    saver.prune(["1"], keep_last=3, older_than=3600)
    assert ids(saver.list(None)) == made[:1:-1]


def test_an_id_without_a_time_is_as_old_as_its_timestamp(saver: Verbs) -> None:
    now = dt.datetime.now(dt.timezone.utc)
    config: Any = config_of()
    for number, age in enumerate([7200.0, 7000, 60, None]):
        stamp = "no time" if age is None else (now - dt.timedelta(seconds=age)).isoformat()
        name = "a" if age is None else f"b{number}"
        config = saver.put(config, checkpoint_of(None, {}, id=name, ts=stamp), {}, {})
    saver.prune(["1"], older_than=3600)
    assert ids(saver.list(None)) == ["b2", "a"]


def test_an_encrypted_timestamp_is_read_by_the_serializer(path: Path) -> None:
    serde = EncryptedSerializer.from_pycryptodome_aes(key=b"k" * 16)
    with RustSqliteSaver(path, serde=serde) as saver:
        for name, year in (("a", 2001), ("b", 2002), ("c", 2999)):
            stamp = f"{year}-01-01T00:00:00+00:00"
            saver.put(config_of(), checkpoint_of(None, {}, id=name, ts=stamp), {}, {})
        saver.prune(["1"], older_than=60)
        assert ids(list(saver.list(None))) == ["c"]


@pytest.mark.parametrize("format_", ["compact", "interop"])
@pytest.mark.parametrize("strategy", ["keep_latest", "delete"])
def test_a_dry_run_tells_what_then_goes_and_changes_nothing(path: Path, strategy: str, format_: Any) -> None:
    with RustSqliteSaver(path, format=format_) as saver:
        for thread in ("1", "2"):
            for config in put_chain(saver, 5, thread):
                saver.put_writes(config, [("a", os.urandom(20_000)), ("b", 2)], TASK)
        saver.put_writes(config_of(checkpoint_id=id_of(9)), [("early", 1)], OTHER_TASK)
        before = rows(path, "checkpoints"), rows(path, "writes")
        told = saver.prune(["1", "2", "1", "unknown"], strategy=strategy, dry_run=True)
        assert (rows(path, "checkpoints"), rows(path, "writes")) == before
        done = saver.prune(["1", "2", "1", "unknown"], strategy=strategy)
        assert done == told
        after = rows(path, "checkpoints"), rows(path, "writes")
        gone = [len(old) - len(new) for old, new in zip(before, after, strict=True)]
        assert [done.threads, done.checkpoints, done.writes] == [2, *gone]
        assert done.bytes > 50_000
        assert saver.prune(["1", "2"], strategy=strategy) == PruneReport()


@pytest.mark.parametrize("wrong", [0, -1, 2**31])
def test_a_number_to_keep_that_is_out_of_range_is_a_value_error(saver: Verbs, wrong: int) -> None:
    with pytest.raises(ValueError, match="keep_last must be at least 1"):
        saver.prune(["1"], keep_last=wrong)


@pytest.mark.parametrize("wrong", ["1", 1.5, True, None])
def test_a_number_to_keep_that_is_no_int_is_a_type_error(saver: Verbs, wrong: Any) -> None:
    with pytest.raises(TypeError, match="keep_last must be an int"):
        saver.prune(["1"], keep_last=wrong)


@pytest.mark.parametrize("wrong", ["1", True, []])
def test_an_age_that_is_no_time_is_a_type_error(saver: Verbs, wrong: Any) -> None:
    with pytest.raises(TypeError, match="older_than must be a timedelta or seconds"):
        saver.prune(["1"], older_than=wrong)


def test_an_age_before_now_is_a_value_error(saver: Verbs) -> None:
    with pytest.raises(ValueError, match="older_than must be between"):
        saver.prune(["1"], older_than=-1)


@pytest.mark.parametrize("more", [{"keep_last": 2}, {"older_than": 1}])
def test_delete_keeps_nothing_and_says_so(saver: Verbs, more: Any) -> None:
    with pytest.raises(ValueError, match="keeps nothing"):
        saver.prune(["1"], strategy="delete", **more)


def test_an_older_root_checkpoint_finds_what_its_subgraph_had(saver: Verbs) -> None:
    """A run from it begins with the newest checkpoint of the namespace before it."""
    for number in (10, 20, 30, 40):
        saver.put(config_of(), checkpoint_of(number), {"parents": {}}, {})
    for number in (5, 11, 15, 21, 25, 31, 35, 45):
        saver.put(config_of("1", "child"), checkpoint_of(number), {"parents": {}}, {})
    saver.prune(["1"], keep_last=3)
    assert ids(saver.list(config_of("1", "child"))) == [id_of(n) for n in (45, 35, 31, 25, 15)]


def appended(state: list[Any], writes: Any) -> list[Any]:
    return [*state, *(item for write in writes for item in write)]


def tool_graph(frequency: int) -> Any:
    """Three tools at once, one of which asks; inside a subgraph too, with a memory of its own or none."""

    class State(TypedDict, total=False):
        log: Annotated[list[str], DeltaChannel(appended, snapshot_frequency=frequency)]
        plain: Annotated[list[str], operator.add]
        turn: int

    def tool(task: Any) -> dict[str, Any]:
        name = f"{task['turn']}.{task['number']}"
        if task["number"] == 1 and task["turn"] % 2:
            name += interrupt(f"allow {name}?")
        return {"log": [name], "plain": [name]}

    def fan_out(state: State) -> list[Send]:
        return [Send("tool", {"number": number, "turn": state["turn"]}) for number in range(3)]

    def sub(checkpointer: Any) -> Any:
        def ask(state: State) -> dict[str, Any]:
            answer = interrupt("sub?") if state["turn"] % 3 == 2 else "-"
            return {"log": [f"sub {answer}"], "plain": [f"sub {answer}"]}

        inner = StateGraph(State)
        inner.add_node("hear", lambda state: {"log": [f"hear {state['turn']}"]})
        inner.add_node("ask", ask)
        inner.add_edge(START, "hear")
        inner.add_edge("hear", "ask")
        return inner.compile(checkpointer=checkpointer)

    builder = StateGraph(State)
    builder.add_node("plan", lambda state: {"log": [f"plan {state['turn']}"]})
    builder.add_node("tool", tool)  # type: ignore[arg-type]
    builder.add_node("remembering", sub(True))
    builder.add_node("forgetting", sub(None))
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", fan_out, ["tool"])
    builder.add_edge("tool", "remembering")
    builder.add_edge("remembering", "forgetting")
    return builder


def seen(graph: Any, config: Any) -> Any:
    """State, next tasks, interrupts and delta channels of a checkpoint, with those of its subgraphs."""

    def of(state: Any) -> Any:
        tasks = [
            (task.id, task.name, task.error, task.interrupts, task.result)
            + ((of(task.state),) if hasattr(task.state, "tasks") else ())
            for task in state.tasks
        ]
        return (
            state.config["configurable"]["checkpoint_id"],
            state.values,
            state.next,
            state.interrupts,
            tasks,
        )

    return of(graph.get_state(config, subgraphs=True))


turns = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(0, 5)),
        st.tuples(st.just("resume"), st.just(0)),
        st.tuples(st.just("fork"), st.integers(0, 8)),
        st.tuples(st.just("update"), st.integers(0, 3)),
    ),
    min_size=1,
    max_size=6,
)


@given(
    steps=turns,
    frequency=st.sampled_from([1, 3, 100]),
    keep_last=st.integers(1, 6),
    older_than=st.sampled_from([None, 0, 0.05, 3600]),
    is_encrypted=st.booleans(),
    format_=st.sampled_from(["compact", "interop"]),
)
def test_no_prune_changes_what_is_kept(  # noqa: PLR0917
    steps: Any, frequency: int, keep_last: int, older_than: Any, is_encrypted: bool, format_: Any
) -> None:
    serde = EncryptedSerializer.from_pycryptodome_aes(key=b"k" * 16) if is_encrypted else None
    with RustSqliteSaver(":memory:", serde=serde, format=format_) as saver:
        graph = tool_graph(frequency).compile(checkpointer=saver)
        config = config_of()
        for number, (step, argument) in enumerate(steps):
            history = list(graph.get_state_history(config))
            if step == "say" or not history:
                graph.invoke({"turn": argument, "plain": [f"in {number}"], "log": [f"in {number}"]}, config)
            elif step == "resume" and history[0].interrupts:
                asked = {item.id: "yes" for item in history[0].interrupts}
                graph.invoke(Command(resume=asked), config)
            elif step == "fork":
                graph.invoke(None, history[argument % len(history)].config)
            elif step == "update":
                graph.update_state(config, {"log": [f"update {number}"]}, as_node="forgetting")
        before = {
            (found.config["configurable"]["checkpoint_id"]): seen(graph, found.config)
            for found in list(saver.list(config))
        }
        head = seen(graph, config)
        # With `older_than=0` what is of this millisecond would be young now, and old in the next call.
        time.sleep(0.002)
        told = saver.prune(["1"], keep_last=keep_last, older_than=older_than, dry_run=True)
        done = saver.prune(["1"], keep_last=keep_last, older_than=older_than)
        if older_than != 0.05:
            assert told == done
        after = {found.config["configurable"]["checkpoint_id"] for found in saver.list(config)}
        assert seen(graph, config) == head
        chosen = sorted(before, reverse=True)[:keep_last]
        assert after >= set(chosen)
        for checkpoint_id in chosen:
            assert seen(graph, config_of(checkpoint_id=checkpoint_id)) == before[checkpoint_id]
        assert saver.verify().is_ok
        asked = {item.id: "yes" for item in graph.get_state(config).interrupts}
        graph.invoke(Command(resume=asked) if asked else {"turn": 1, "plain": ["more"]}, config)
