"""A thread's checkpoints as steps and branches, and the classes that a file holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypedDict
from uuid import UUID

import pytest
from helpers import TASK, checkpoint_of, collected, config_of, put_chain
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.inspection import (
    Branch,
    PlainSerializer,
    Step,
    StoredObject,
    anamespaces,
    astored_types,
    atimeline,
    branches,
    diff,
    namespaces,
    stored_types,
    timeline,
)

MakeSaver = Callable[..., RustSqliteSaver]
CONFIG: Any = {"configurable": {"thread_id": "ada"}}


class Approval(TypedDict):
    asked: list[str]
    approved: bool


def approve(state: Approval) -> dict[str, Any]:
    return {"approved": interrupt({"question": "Send it?"}) == "yes"}


def graph_of(saver: RustSqliteSaver) -> Any:
    builder = StateGraph(Approval)
    builder.add_node("draft", lambda state: {"asked": [*state["asked"], "draft"]})
    builder.add_node("approve", approve)
    builder.add_edge(START, "draft").add_edge("draft", "approve").add_edge("approve", END)
    return builder.compile(checkpointer=saver)


def test_steps_tell_what_langgraph_tells(make_saver: MakeSaver) -> None:
    saver = make_saver()
    graph = graph_of(saver)
    graph.invoke({"asked": []}, CONFIG)
    paused, *_ = timeline(saver, "ada")
    assert paused.interrupts == ({"question": "Send it?"},)
    assert paused.next == ("approve",)
    graph.invoke(Command(resume="yes"), CONFIG)
    steps = list(timeline(saver, "ada"))
    history = list(graph.get_state_history(CONFIG))
    assert [step.checkpoint_id for step in steps] == [
        state.config["configurable"]["checkpoint_id"] for state in history
    ]
    assert [step.next for step in steps] == [state.next for state in history]
    assert [step.step for step in steps] == [state.metadata["step"] for state in history]
    assert [step.created.isoformat() for step in steps if step.created] == [
        state.created_at for state in history
    ]
    assert {step.source for step in steps} == {"loop", "input"}
    assert all(step.bytes > 100 for step in steps)
    assert "asked" in steps[0].channels


def test_sends_joins_and_errors_are_told(make_saver: MakeSaver) -> None:
    def fail(state: Any) -> None:
        raise ValueError("no such city")

    saver = make_saver()
    builder = StateGraph(MessagesState)
    for name in ("a", "b", "c"):
        builder.add_node(name, lambda state: {"messages": []})
    builder.add_node("each", fail)
    builder.add_edge(START, "a").add_edge(START, "b").add_edge(["a", "b"], "c")
    builder.add_conditional_edges("c", lambda state: [Send("each", {}), Send("each", {})], ["each"])
    graph = builder.compile(checkpointer=saver)
    with pytest.raises(ValueError, match="no such city"):
        graph.invoke({"messages": []}, CONFIG)
    steps = list(timeline(saver, "ada"))
    assert [step.next for step in steps] == [("each", "each"), ("c",), ("a", "b"), ("__start__",)]
    assert steps[0].errors
    assert all("no such city" in error for error in steps[0].errors)


def test_status_and_timeline_agree_on_next_nodes(make_saver: MakeSaver) -> None:
    saver = make_saver()
    graph_of(saver).invoke({"asked": []}, CONFIG)
    (thread,) = saver.list_threads()
    (newest,) = timeline(saver, "ada", limit=1)
    assert thread.next == newest.next


def test_pages_and_namespaces(make_saver: MakeSaver) -> None:
    saver = make_saver()
    put_chain(saver, 40)
    put_chain(saver, 2, checkpoint_ns="sub:1", start=50)
    steps = list(timeline(saver, "1"))
    assert [step.step for step in steps] == list(range(40, 0, -1))
    assert list(timeline(saver, "1", before=steps[9].checkpoint_id, limit=5)) == steps[10:15]
    assert [step.checkpoint_ns for step in timeline(saver, "1", checkpoint_ns="sub:1")] == ["sub:1"] * 2
    assert len(list(timeline(saver, "1", checkpoint_ns=None))) == 42
    assert list(timeline(saver, "nobody")) == []


def test_the_async_twins_tell_the_same(make_saver: MakeSaver, loop: Any) -> None:
    saver = make_saver()
    put_chain(saver, 20)
    assert loop.run_until_complete(collected(atimeline(saver, "1"))) == list(timeline(saver, "1"))
    assert loop.run_until_complete(collected(astored_types(saver))) == stored_types(saver)


def test_encrypted_steps_tell_what_is_not_encrypted(make_saver: MakeSaver) -> None:
    saver = make_saver(serde=EncryptedSerializer.from_pycryptodome_aes(key=b"0123456789abcdef"))
    graph_of(saver).invoke({"asked": []}, CONFIG)
    newest = next(timeline(saver, "ada"))
    assert (newest.step, newest.source, newest.next, newest.channels) == (1, "loop", (), ())
    report = stored_types(saver)
    assert report.types == ()
    assert sum(report.unread.values()) > 0


# --- branches ---


def step_of(checkpoint_id: str, parent_id: str | None, checkpoint_ns: str = "") -> Step:
    return Step(checkpoint_ns, checkpoint_id, parent_id, None, None, None, None, (), (), 0, 0)


def outline(branch: Branch) -> Any:
    ids = "".join(step.checkpoint_id for step in branch.steps)
    return (ids, [outline(inner) for inner in branch.branches]) if branch.branches else ids


@pytest.mark.compact
@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ("", []),
        ("a- ba cb", ["abc"]),
        ("a- ba ca", [("a", ["b", "c"])]),
        ("a- ba cb db ea", [("a", [("b", ["c", "d"]), "e"])]),
        ("cb dc", ["cd"]),
        ("a- b- cb", ["a", "bc"]),
        ("ab ba", ["ab"]),
        ("aa", ["a"]),
    ],
)
def test_branches_follow_parents(edges: str, expected: list[Any]) -> None:
    steps = [step_of(edge[0], None if edge[1] == "-" else edge[1]) for edge in edges.split()]
    assert [outline(branch) for branch in branches(steps)] == expected
    assert branches(reversed(steps)) == branches(steps)


@pytest.mark.compact
def test_namespaces_are_trees_of_their_own() -> None:
    steps = [step_of("a", None), step_of("b", "a"), step_of("a", None, "sub"), step_of("c", "a", "sub")]
    assert [outline(branch) for branch in branches(steps)] == ["ab", "ac"]


@pytest.mark.compact
def test_a_fork_off_every_step_is_no_deep_recursion() -> None:
    steps = []
    for number in range(3000):
        parent = f"{number - 1:05}" if number else None
        steps += [step_of(f"{number:05}", parent), step_of(f"{number:05}x", parent)]
    depth, branch = 0, branches(steps)[0]
    while branch.branches:
        depth, branch = depth + 1, branch.branches[0]
    assert depth == 2999


def test_a_fork_of_a_graph_is_a_branch(make_saver: MakeSaver) -> None:
    saver = make_saver()
    graph = graph_of(saver)
    graph.invoke({"asked": []}, CONFIG)
    before = next(state for state in graph.get_state_history(CONFIG) if state.next == ("draft",))
    graph.invoke(None, before.config)
    (root,) = branches(timeline(saver, "ada"))
    assert root.steps[-1].checkpoint_id == before.config["configurable"]["checkpoint_id"]
    assert len(root.branches) == 2
    assert {branch.steps[-1].next for branch in root.branches} == {("approve",)}


# --- a saver of plain values ---


def test_a_plain_saver_reads_history_and_lists(make_saver: MakeSaver, path: Path) -> None:
    saver = make_saver()
    graph_of(saver).invoke({"asked": []}, CONFIG)
    with RustSqliteSaver(path, read_only=True, serde=PlainSerializer()) as plain:
        values = [found.value for found in plain.history("ada", "asked")]
        assert values == [["draft"], []]
        newest, older, *_ = plain.list(CONFIG)
        assert plain.get_tuple(CONFIG) == newest
        changes = diff(older.checkpoint["channel_values"], newest.checkpoint["channel_values"])
        assert ("asked[0]", "added", "draft") in [(one.where, one.kind, one.after) for one in changes]
        (asked,) = [value for _, channel, value in newest.pending_writes or [] if channel == "__interrupt__"]
        assert [type(found) for found in asked] == [StoredObject]


def test_types_of_a_file(make_saver: MakeSaver) -> None:
    saver = make_saver()
    stored = saver.put(config_of(), checkpoint_of(1, {"id": UUID(int=1)}), {}, {})
    saver.put(stored, checkpoint_of(2, {"id": UUID(int=1), "point": Point(UUID(int=2))}), {}, {})
    saver.put_writes(config_of("early", checkpoint_id="1"), [("x", Point(None))], TASK)
    saver.archive_thread("1")
    seen: list[tuple[int, int]] = []
    report = stored_types(saver, progress=lambda done, total: seen.append((done, total)))
    assert [(found.module, found.name, found.values, found.allowed) for found in report.types] == [
        (__name__, "Point", 1 + report.writes, False),
        ("uuid", "UUID", 2, True),
    ]
    assert report.allow_list == [(__name__, "Point")]
    assert report.checkpoints == 2
    assert seen[-1][0] == seen[-1][1]


class Point:
    """Stored as a named tuple is."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def _asdict(self) -> dict[str, Any]:
        return {"x": self.x}


def test_progress_that_raises_ends_the_search(make_saver: MakeSaver) -> None:
    saver = make_saver()
    put_chain(saver, 1)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stored_types(saver, progress=stop)


# --- namespaces ---


def test_namespaces_are_all_in_which_something_is_stored(
    make_saver: MakeSaver, loop: asyncio.AbstractEventLoop
) -> None:
    saver = make_saver()
    assert namespaces(saver, "1") == ((), True)
    for checkpoint_ns in ("tools:2|inner:1", "", "agent:1"):
        put_chain(saver, 3, checkpoint_ns=checkpoint_ns)
    saver.put_writes(config_of("1", "late:1", "id"), [("value", 1)], TASK)
    put_chain(saver, 1, "other", "elsewhere:1")
    assert namespaces(saver, "1") == (("", "agent:1", "late:1", "tools:2|inner:1"), True)
    assert namespaces(saver, "other") == (("elsewhere:1",), True)
    assert loop.run_until_complete(anamespaces(saver, "other")) == (("elsewhere:1",), True)


def test_namespaces_beyond_the_limit_are_told_of(make_saver: MakeSaver) -> None:
    saver = make_saver()
    for checkpoint_ns in ("", "a", "b", "c"):
        put_chain(saver, 1, checkpoint_ns=checkpoint_ns)
    assert namespaces(saver, "1", limit=2) == (("", "b", "c"), False)
    assert namespaces(saver, "1", limit=3) == (("", "a", "b", "c"), True)
