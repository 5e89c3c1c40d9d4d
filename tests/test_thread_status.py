"""What a thread's row says of it, beside what LangGraph makes of the same data with the graph at hand."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from helpers import config_of
from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.func import entrypoint
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict

from langgraph_checkpoint_rust import RustSqliteSaver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langgraph_checkpoint_rust.reports import Thread


class State(TypedDict, total=False):
    """What the graphs share."""

    log: Annotated[list[str], operator.add]
    go: str


@pytest.fixture(params=["compact", "interop", "encrypted"])
def saver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RustSqliteSaver]:
    options: dict[str, Any] = {"format": "interop" if request.param == "interop" else "compact"}
    if request.param == "encrypted":
        options["serde"] = EncryptedSerializer.from_pycryptodome_aes(key=b"0123456789abcdef")
    with RustSqliteSaver(tmp_path / "threads.db", **options) as saver:
        yield saver


def checked(
    saver: RustSqliteSaver, graph: Any, thread_id: str = "1", finished: tuple[str, ...] = ()
) -> Thread:
    """The thread, whose status and next nodes are as LangGraph says; it leaves those out that finished."""
    thread = saver.get_thread(thread_id)
    assert thread is not None
    state = graph.get_state(config_of(thread_id))
    assert sorted(thread.next) == sorted(state.next + finished)
    assert (thread.status == "done") == (not state.next)
    assert thread.step == state.metadata["step"]
    assert thread.source == state.metadata["source"]
    listed = saver.list_threads(status=thread.status)
    assert [found for found in listed if found.thread_id == thread_id] == [thread]
    return thread


def node(name: str, **writes: Any) -> Any:
    return lambda _: {"log": [name], **writes}


def ask(_: Any) -> Any:
    return {"log": [interrupt("go on?")]}


def chain(*names: str, **nodes: Any) -> StateGraph[Any]:
    builder = StateGraph(State)
    for name in names:
        builder.add_node(name, nodes.get(name, node(name)))
    for before, after in zip((START, *names), (*names, END), strict=True):
        builder.add_edge(before, after)
    return builder


def test_a_chain_is_done(saver: RustSqliteSaver) -> None:
    graph = chain("a", "b").compile(checkpointer=saver)
    graph.invoke({"log": []}, config_of())
    assert checked(saver, graph).status == "done"
    graph.invoke({"log": ["again"]}, config_of())
    assert checked(saver, graph).status == "done"


def test_each_checkpoint_of_a_run_tells_its_next_nodes(saver: RustSqliteSaver) -> None:
    """Each history state, put as the newest of a thread of its own."""
    builder = StateGraph(State)
    for name in ("a", "b", "c", "d", "e"):
        builder.add_node(name, node(name), defer=name == "e")
    builder.add_edge(START, "a").add_edge("a", "b").add_edge("a", "c")
    builder.add_edge("c", "d").add_edge(["b", "d"], "e").add_edge("e", END)
    graph = builder.compile(checkpointer=saver)
    graph.invoke({"log": []}, config_of())
    seen = set()
    for number, state in enumerate(graph.get_state_history(config_of())):
        found = saver.get_tuple(state.config)
        assert found is not None
        thread_id = f"copy {number}"
        saver.put(config_of(thread_id), found.checkpoint, found.metadata, {})
        assert checked(saver, graph, thread_id).status == ("pending" if state.next else "done")
        seen.add(state.next)
    assert {("__start__",), ("a",), ("b", "c"), ("d",), ("e",), ()} <= seen


@pytest.mark.parametrize(("before", "after"), [(["c"], []), ([], ["b"])])
def test_a_static_breakpoint_is_pending(saver: RustSqliteSaver, before: list[str], after: list[str]) -> None:
    graph = chain("a", "b", "c").compile(checkpointer=saver, interrupt_before=before, interrupt_after=after)
    graph.invoke({"log": []}, config_of())
    thread = checked(saver, graph)
    assert (thread.status, thread.next) == ("pending", ("c",))
    graph.invoke(None, config_of())
    assert checked(saver, graph).status == "done"


def test_an_interrupt_is_told_until_it_is_resumed(saver: RustSqliteSaver) -> None:
    graph = chain("a", "ask", "b", ask=ask).compile(checkpointer=saver)
    graph.invoke({"log": []}, config_of())
    thread = checked(saver, graph)
    assert (thread.status, thread.next) == ("interrupted", ("ask",))
    assert len(graph.get_state(config_of()).interrupts) == 1
    graph.invoke(Command(resume="yes"), config_of())
    assert checked(saver, graph).status == "done"


def test_a_second_interrupt_of_a_node_is_told(saver: RustSqliteSaver) -> None:
    def ask_twice(_: Any) -> Any:
        return {"log": [interrupt("one?"), interrupt("two?")]}

    graph = chain("ask", ask=ask_twice).compile(checkpointer=saver)
    graph.invoke({"log": []}, config_of())
    graph.invoke(Command(resume="1"), config_of())
    # LangGraph stores the resume and the new interrupt at once: which came first only their values tell.
    is_encrypted = isinstance(saver.serde, EncryptedSerializer)
    assert checked(saver, graph).status in ({"interrupted", "pending"} if is_encrypted else {"interrupted"})
    graph.invoke(Command(resume="2"), config_of())
    assert checked(saver, graph).status == "done"


def test_an_error_is_told_until_the_run_goes_on(saver: RustSqliteSaver) -> None:
    broken = [True]

    def sometimes(_: Any) -> Any:
        if broken[0]:
            raise RuntimeError("no")
        return {"log": ["fine"]}

    graph = chain("a", "sometimes", sometimes=sometimes).compile(checkpointer=saver)
    with pytest.raises(RuntimeError):
        graph.invoke({"log": []}, config_of())
    thread = checked(saver, graph)
    assert (thread.status, thread.next) == ("error", ("sometimes",))
    broken[0] = False
    graph.invoke(None, config_of())
    assert checked(saver, graph).status == "done"


def test_sends_and_commands_are_told(saver: RustSqliteSaver) -> None:
    def route(_: Any) -> Any:
        return [Send("work", {"go": "1"}), Send("work", {"go": "2"}), "other"]

    def work(_: Any) -> Any:
        return Command(update={"log": ["work"]}, goto="last")

    builder: Any = StateGraph(State)
    builder.add_node("work", work, destinations=("last",))
    builder.add_node("other", ask)
    builder.add_node("last", node("last"))
    builder.add_conditional_edges(START, route, ["work", "other"])
    graph = builder.compile(checkpointer=saver, interrupt_before=["last"])
    graph.invoke({"log": []}, config_of())
    thread = checked(saver, graph, finished=("work", "work"))
    assert thread.status == "interrupted"
    graph.invoke(Command(resume="yes"), config_of())
    thread = checked(saver, graph)
    assert (thread.status, thread.next) == ("pending", ("last",))


def test_a_subgraph_s_interrupt_is_its_root_s(saver: RustSqliteSaver) -> None:
    inner = chain("x", "ask", ask=ask).compile()
    graph = chain("a", "sub", "b", sub=inner).compile(checkpointer=saver)
    graph.invoke({"log": []}, config_of())
    thread = checked(saver, graph)
    assert (thread.status, thread.next) == ("interrupted", ("sub",))
    graph.invoke(Command(resume="yes"), config_of())
    assert checked(saver, graph).status == "done"


def test_an_agent_with_tools_is_told(saver: RustSqliteSaver) -> None:
    @tool
    def weather(city: str) -> str:
        """Tells the weather."""
        return str(interrupt(city))

    call = {"name": "weather", "args": {"city": "Rome"}, "id": "1", "type": "tool_call"}
    answers = iter([AIMessage("", tool_calls=[call]), AIMessage("sunny")])

    class Model(GenericFakeChatModel):
        def bind_tools(self, *_: Any, **__: Any) -> Any:
            return self

    graph = create_agent(Model(messages=answers), [weather], checkpointer=saver)
    graph.invoke({"messages": [HumanMessage("weather?")]}, config_of())
    thread = checked(saver, graph)
    assert (thread.status, thread.next) == ("interrupted", ("tools",))
    graph.invoke(Command(resume="sun"), config_of())
    assert checked(saver, graph).status == "done"


def test_a_workflow_s_entry_is_told_as_start(saver: RustSqliteSaver) -> None:
    @entrypoint(checkpointer=saver)
    def workflow(question: str) -> str:
        return str(interrupt(question))

    workflow.invoke("?", config_of())
    thread = saver.get_thread("1")
    assert thread is not None
    assert (thread.status, thread.next) == ("interrupted", ("__start__",))
    assert workflow.get_state(config_of()).next == ("workflow",)
    workflow.invoke(Command(resume="yes"), config_of())
    thread = saver.get_thread("1")
    assert thread is not None
    assert (thread.status, thread.next) == ("done", ())


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_durability_makes_no_difference(saver: RustSqliteSaver, durability: Any) -> None:
    graph = chain("a", "ask", ask=ask).compile(checkpointer=saver)
    graph.invoke({"log": []}, config_of(), durability=durability)
    assert checked(saver, graph).status == "interrupted"


def test_a_large_state_is_no_obstacle(saver: RustSqliteSaver) -> None:
    names = [f"node {number:03}" for number in range(120)]
    builder = StateGraph(MessagesState)
    for name in names:
        builder.add_node(name, lambda _: {"messages": [("ai", "x" * 3000)]})
    for before, after in zip((START, *names), (*names, END), strict=True):
        builder.add_edge(before, after)
    graph = builder.compile(checkpointer=saver, interrupt_before=names[60:61])
    config: Any = {**config_of(), "recursion_limit": 500}
    graph.invoke({"messages": [HumanMessage("y" * 20_000)]}, config)
    thread = checked(saver, graph)
    assert (thread.status, thread.next) == ("pending", (names[60],))


def test_a_write_that_comes_before_its_checkpoint_is_told(saver: RustSqliteSaver) -> None:
    graph = chain("a", "ask", ask=ask).compile(checkpointer=saver)
    graph.invoke({"log": []}, config_of())
    found = saver.get_tuple(config_of())
    assert found is not None
    (task_id, channel, value), *_ = [write for write in found.pending_writes or [] if "interrupt" in write[1]]
    place = config_of("2", checkpoint_id=found.checkpoint["id"])
    saver.put_writes(place, [(channel, value)], task_id)
    assert saver.get_thread("2") is None
    saver.put(config_of("2"), found.checkpoint, found.metadata, {})
    assert checked(saver, graph, "2").status == "interrupted"


def test_what_only_its_serializer_can_read_is_not_told(tmp_path: Path) -> None:
    serde = EncryptedSerializer.from_pycryptodome_aes(key=b"0123456789abcdef")
    with RustSqliteSaver(tmp_path / "threads.db", serde=serde, format="compact") as saver:
        graph = chain("a", "b", "c").compile(checkpointer=saver, interrupt_before=["c"])
        graph.invoke({"log": []}, config_of())
        assert checked(saver, graph).status == "pending"
        saver.prune(["1"])
        assert checked(saver, graph).status == "pending"
        saver.copy_thread("1", "2")
        copied = saver.get_thread("2")
        assert copied is not None
        assert (copied.status, copied.next, copied.step) == (None, (), 2)
        saver.downgrade()
        found = saver.get_thread("1")
        assert found is not None
        assert (found.status, found.step) == (None, 2)
