"""Real graphs: whole results, states and histories equal those of `InMemorySaver`."""

from __future__ import annotations

import asyncio
import operator
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from helpers import config_of, start_python
from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DURABILITIES = ["sync", "async", "exit"]


class Runner:
    """A compiled graph, called in one colour."""

    def __init__(self, graph: Any, durability: str, loop: asyncio.AbstractEventLoop | None) -> None:
        self.graph = graph
        self._durability = durability
        self._loop = loop

    def __call__(self, payload: Any, config: Any = None) -> Any:
        config = config or config_of()
        if self._loop is None:
            return self.graph.invoke(payload, config, durability=self._durability)
        return self._run(self.graph.ainvoke(payload, config, durability=self._durability))

    def update(self, config: Any, values: Any, **options: Any) -> Any:
        if self._loop is None:
            return self.graph.update_state(config, values, **options)
        return self._run(self.graph.aupdate_state(config, values, **options))

    def state(self, config: Any = None) -> Any:
        config = config or config_of()
        if self._loop is None:
            return self.graph.get_state(config, subgraphs=True)
        return self._run(self.graph.aget_state(config, subgraphs=True))

    def history(self, config: Any = None) -> list[Any]:
        config = config or config_of()
        if self._loop is None:
            return list(self.graph.get_state_history(config))

        async def collect() -> list[Any]:
            return [state async for state in self.graph.aget_state_history(config)]

        return self._run(collect())  # type: ignore[no-any-return]

    def _run(self, coroutine: Any) -> Any:
        assert self._loop is not None
        return self._loop.run_until_complete(coroutine)


@pytest.fixture(params=["sync", "async", "sync class awaited", "encrypted"])
def compare(
    request: pytest.FixtureRequest, path: Path, loop: asyncio.AbstractEventLoop
) -> Iterator[Callable[..., None]]:
    """Runs a scenario on ours and on `InMemorySaver`; what it returns must be equal."""
    saver_class = AsyncRustSqliteSaver if request.param == "async" else RustSqliteSaver
    serde = EncryptedSerializer.from_pycryptodome_aes(key=b"k" * 16) if request.param == "encrypted" else None
    running = loop if request.param in ("async", "sync class awaited") else None

    def run(builder: Any, scenario: Callable[[Runner], Any], durability: str = "async") -> None:
        results = [
            scenario(Runner(builder.compile(checkpointer=saver), durability, running))
            for saver in (ours, InMemorySaver())
        ]
        assert results[0]
        assert results[0] == results[1]

    with saver_class(path, serde=serde) as ours:
        yield run


def summary(state: Any) -> Any:
    """What of a state does not differ between two runs: ids and times do."""
    tasks = [
        (item.name, item.path, item.error, [asked.value for asked in item.interrupts], item.result)
        + ((summary(item.state),) if hasattr(item.state, "tasks") else ())
        for item in state.tasks
    ]
    metadata = {key: value for key, value in (state.metadata or {}).items() if key in ("source", "step")}
    return (state.values, state.next, metadata, tasks)


def summaries(runner: Runner) -> list[Any]:
    return [summary(state) for state in runner.history()]


def answer(state: MessagesState) -> dict[str, Any]:
    count = len(state["messages"])
    return {"messages": [AIMessage(f"answer to {state['messages'][-1].content}", id=f"a{count}")]}


def chat() -> Any:
    builder = StateGraph(MessagesState)
    builder.add_node("answer", answer)
    builder.add_edge(START, "answer")
    return builder


@pytest.mark.parametrize("durability", DURABILITIES)
def test_a_chat(compare: Any, durability: str) -> None:
    def scenario(run: Runner) -> Any:
        results = [run({"messages": [HumanMessage(f"question {n}", id=f"h{n}")]}) for n in range(6)]
        other = run({"messages": [HumanMessage("hi", id="h")]}, config_of("other"))
        return results, other, summaries(run)

    compare(chat(), scenario, durability)


class Approval(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    approved: bool


def approval() -> Any:
    def draft(state: Approval) -> dict[str, Any]:
        return {"log": ["drafted"]}

    def approve(state: Approval) -> Any:
        first = interrupt({"question": "sure?", "log": state["log"]})
        second = interrupt("really?")
        return Command(
            goto="send" if second else END, update={"approved": second, "log": [f"{first} {second}"]}
        )

    def send(state: Approval) -> dict[str, Any]:
        return {"log": ["sent"]}

    builder = StateGraph(Approval)
    builder.add_node("draft", draft)
    builder.add_node("approve", approve, destinations=("send", END))
    builder.add_node("send", send)
    builder.add_edge(START, "draft")
    builder.add_edge("draft", "approve")
    return builder


@pytest.mark.parametrize("durability", DURABILITIES)
def test_interrupts_and_resumes(compare: Any, durability: str) -> None:
    def scenario(run: Runner) -> Any:
        seen = []
        for config, last in ((config_of("yes"), True), (config_of("no"), False)):
            run({"log": ["start"]}, config)
            seen.append(summary(run.state(config)))
            run(Command(resume="well"), config)
            seen.append(summary(run.state(config)))
            seen.append(run(Command(resume=last), config))
            seen.append(summary(run.state(config)))
        return seen

    compare(approval(), scenario, durability)


@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize("own_memory", [True, False])
def test_subgraphs_that_inherit_the_saver_or_keep_a_memory_of_their_own(
    compare: Any, own_memory: bool, durability: str
) -> None:
    builder = StateGraph(Approval)
    builder.add_node("inner", approval().compile(checkpointer=True if own_memory else None))
    builder.add_node("after", lambda state: {"log": ["after"]})
    builder.add_edge(START, "inner")
    builder.add_edge("inner", "after")

    def scenario(run: Runner) -> Any:
        seen = []
        for turn in range(2):
            run({"log": [f"start {turn}"]})
            seen.append(summary(run.state()))
            run(Command(resume="well"))
            seen.append(summary(run.state()))
            seen.append(run(Command(resume=True)))
        return seen, summaries(run)

    compare(builder, scenario, durability)


class FanOut(TypedDict, total=False):
    items: Annotated[list[Any], operator.add]
    width: int


def fan_out(failing: set[int] | None = None) -> Any:
    left = set(failing or ())

    def work(state: dict[str, int]) -> dict[str, Any]:
        if state["number"] in left:
            left.discard(state["number"])
            raise ValueError(f"{state['number']} fails once")
        return {"items": [state["number"]]}

    builder = StateGraph(FanOut)
    builder.add_node("plan", lambda state: {"width": state["width"] + 1})
    builder.add_node("work", work)  # type: ignore[type-var]
    builder.add_node("collect", lambda state: {"items": [sum(state["items"])]})
    builder.add_edge(START, "plan")
    builder.add_conditional_edges(
        "plan", lambda state: [Send("work", {"number": n}) for n in range(state["width"])], ["work"]
    )
    builder.add_edge("work", "collect")
    return builder


@pytest.mark.parametrize("durability", DURABILITIES)
def test_a_fan_out(compare: Any, durability: str) -> None:
    compare(fan_out(), lambda run: (run({"width": 11}), run({"width": 3}), summaries(run)), durability)


@pytest.mark.parametrize("saver_class", [RustSqliteSaver, AsyncRustSqliteSaver])
def test_a_failed_fan_out_is_resumed_without_repeating_what_was_done(path: Path, saver_class: Any) -> None:
    ran: list[int] = []
    builder = fan_out({5})
    with saver_class(path) as saver:
        graph = builder.compile(checkpointer=saver)
        with pytest.raises(ValueError, match="5 fails once"):
            graph.invoke({"width": 8}, config_of(), durability="sync", max_concurrency=1)
        state = graph.get_state(config_of())
        ran = [item.path[1] for item in state.tasks if item.error]
        assert len(ran) == 1
        result = graph.invoke(None, config_of())
        assert sorted(result["items"][:-1]) == list(range(9))


@pytest.mark.parametrize("durability", ["sync", "async"])
def test_time_travel_forks_and_updates(compare: Any, durability: str) -> None:
    def scenario(run: Runner) -> Any:
        for n in range(4):
            run({"messages": [HumanMessage(f"question {n}", id=f"h{n}")]})
        history = run.history()
        replayed = run(None, history[4].config)
        before = run.history()[7]
        forked = run.update(
            before.config, {"messages": [HumanMessage("instead", id="h1")]}, as_node="__start__"
        )
        result = run(None, forked)
        as_other = run.update(config_of(), {"messages": [AIMessage("said", id="x")]}, as_node="answer")
        return replayed, result, summary(run.state(as_other)), summaries(run)

    compare(chat(), scenario, durability)


def test_a_history_is_filtered_and_limited_as_in_memory(path: Path) -> None:
    found = []
    with RustSqliteSaver(path) as ours:
        for saver in (ours, InMemorySaver()):
            graph = chat().compile(checkpointer=saver)
            for n in range(5):
                graph.invoke({"messages": [HumanMessage(f"q{n}", id=f"h{n}")]}, config_of())
            states = graph.get_state_history(config_of(), filter={"source": "loop"}, limit=4)
            found.append([summary(state) for state in states])
    assert len(found[0]) == 4
    assert found[0] == found[1]


class ScriptedModel(GenericFakeChatModel):
    """A chat model that says what the script says, whatever tools it is given."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self


def call(number: int, day: str) -> AIMessage:
    calls = [{"name": "book", "args": {"day": day}, "id": f"call-{number}", "type": "tool_call"}]
    return AIMessage("", id=f"a{number}", tool_calls=calls)


@pytest.mark.parametrize("place", ["file", "memory"])
def test_a_tool_calling_agent_with_human_approval(path: Path, place: str) -> None:
    @tool
    def book(day: str) -> str:
        """Books an appointment."""
        decision = interrupt({"approve": day})
        return f"booked {day}" if decision == "yes" else f"refused {day}"

    def converse(saver: Any) -> Any:
        script = [
            call(1, "monday"),
            AIMessage("done", id="a2"),
            call(3, "friday"),
            AIMessage("sorry", id="a4"),
        ]
        agent: Any = create_agent(ScriptedModel(messages=iter(script)), [book], checkpointer=saver)
        seen = []
        for turn, decision in enumerate(["yes", "no"]):
            asked = agent.invoke({"messages": [HumanMessage("book", id=f"h{turn}")]}, config_of())
            seen.append([item.value for item in asked["__interrupt__"]])
            seen.append(agent.get_state(config_of()).next)
            result = agent.invoke(Command(resume=decision), config_of())
            seen.append([(type(item), item.content) for item in result["messages"]])
        return seen

    with RustSqliteSaver(path if place == "file" else ":memory:") as saver:
        ours = converse(saver)
    assert ours == converse(InMemorySaver())
    assert "booked monday" in str(ours)
    assert "refused friday" in str(ours)


def test_a_functional_workflow_remembers_its_tasks(path: Path) -> None:
    ran: list[int] = []

    @task
    def square(number: int) -> int:
        ran.append(number)
        return number * number

    def results_on(saver: Any) -> Any:
        @entrypoint(checkpointer=saver)
        def workflow(numbers: list[int], *, previous: Any = None) -> Any:
            squares = [square(number).result() for number in numbers]
            extra = interrupt(f"add to {sum(squares)}?")
            return entrypoint.final(value=sum(squares) + extra, save=(previous or 0) + 1)

        config: Any = config_of()
        found = []
        for turn in range(2):
            workflow.invoke([turn, 2, 3], config)
            found.append((workflow.invoke(Command(resume=10), config), workflow.get_state(config).values))
        return found

    with RustSqliteSaver(path) as saver:
        ours = results_on(saver)
    assert ran == [0, 2, 3, 1, 2, 3]
    assert ours == results_on(InMemorySaver())


def test_a_graph_goes_on_in_another_process_after_a_kill(path: Path) -> None:
    code = """
    import os, signal, sys
    from helpers import config_of
    from test_graphs import approval
    from langgraph.types import Command
    from langgraph_checkpoint_rust import RustSqliteSaver

    graph = approval().compile(checkpointer=RustSqliteSaver(sys.argv[1]))
    graph.invoke({"log": ["start"]}, config_of(), durability="sync")
    graph.invoke(Command(resume="well"), config_of(), durability="sync")
    os.kill(os.getpid(), signal.SIGKILL)
    """
    killed = start_python(code, path)
    _, complaints = killed.communicate(timeout=60)
    assert killed.returncode == -9, complaints
    with RustSqliteSaver(path) as saver:
        graph = approval().compile(checkpointer=saver)
        assert graph.get_state(config_of()).next == ("approve",)
        result = graph.invoke(Command(resume=True), config_of())
    assert result == {"log": ["start", "drafted", "well True", "sent"], "approved": True}
