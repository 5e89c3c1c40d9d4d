"""`DeltaChannel`: its history on real graphs, and pruning that keeps what it is rebuilt from."""

# Annotations are evaluated at once here: channels are made of local variables.

import asyncio
import random
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import pytest
from helpers import config_of, query
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.sqlite import SqliteSaver as UpstreamSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Overwrite, Send, interrupt
from typing_extensions import TypedDict

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver

pytestmark = pytest.mark.filterwarnings("ignore:.*beta.*", "ignore:.*in beta")

WIDTH = 12
FREQUENCIES = [1, 2, 3, 5, 100]


def encrypted() -> EncryptedSerializer:
    return EncryptedSerializer.from_pycryptodome_aes(key=b"k" * 16)


def appended(state: list[Any], writes: Sequence[list[Any]]) -> list[Any]:
    """An order-sensitive reducer."""
    return [*state, *(item for write in writes for item in write)]


def fan_out_graph(frequency: int = 100) -> Any:
    """One node sends to twelve workers, which finish in random order; then one node collects."""

    class State(TypedDict, total=False):
        log: Annotated[list[str], DeltaChannel(appended, snapshot_frequency=frequency)]
        other: Annotated[list[str], DeltaChannel(appended, snapshot_frequency=3)]
        turn: int

    order = random.Random(0)

    def plan(state: State) -> dict[str, Any]:
        return {"log": [f"plan {state['turn']}"], "turn": state["turn"] + 1}

    def fan_out(state: State) -> list[Send]:
        return [Send("work", {"number": number, "turn": state["turn"]}) for number in range(WIDTH)]

    def work(task: Any) -> dict[str, Any]:
        threading.Event().wait(order.random() / 500)
        label = f"{task['turn']}.{task['number']}"
        return {"log": [f"work {label}", f"done {label}"], "other": [label]}

    def collect(state: State) -> dict[str, Any]:
        return {"log": [f"collected {len(state['log'])}"]}

    builder = StateGraph(State)
    builder.add_node("plan", plan)
    builder.add_node("work", work)  # type: ignore[arg-type]
    builder.add_node("collect", collect)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", fan_out, ["work"])
    builder.add_edge("work", "collect")
    builder.add_edge("collect", END)
    return builder


class Tee(InMemorySaver):
    """Stores in memory and in ours what a graph stores, with or without task paths; reads from memory."""

    def __init__(self, ours: RustSqliteSaver, *, task_paths: bool = True) -> None:
        super().__init__()
        self.ours = ours
        self.task_paths = task_paths

    def put(self, *args: Any, **kwargs: Any) -> Any:
        self.ours.put(*args, **kwargs)
        return super().put(*args, **kwargs)

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        task_path = task_path if self.task_paths else ""
        self.ours.put_writes(config, writes, task_id, task_path)
        super().put_writes(config, writes, task_id, task_path)


def run_turns(graph: Any, config: Any, turns: int, **options: Any) -> Any:
    result: Any = None
    for turn in range(turns):
        payload = {"turn": 10 * turn} if turn % 2 else {"turn": 10 * turn, "log": [f"input {turn}"]}
        result = graph.invoke(payload, config, **options)
    return result


def fork_and_go_on(graph: Any, config: Any) -> None:
    """Two branches from the middle of the history."""
    history = list(graph.get_state_history(config))
    for number, state in enumerate((history[len(history) // 2], history[-3])):
        forked = graph.update_state(state.config, {"log": [f"forked {number}"]}, as_node="collect")
        graph.update_state(forked, {"log": Overwrite([f"overwritten {number}"])}, as_node="collect")
        run_turns(graph, config, 2)


def histories(saver: Any, oracle: InMemorySaver, thread_id: str = "1") -> list[Any]:
    """The history that a saver gives for each checkpoint of the oracle, and for the latest."""
    configs = [found.config for found in oracle.list(config_of(thread_id))]
    channels = ["log", "other", "turn", "unknown"]
    return [
        saver.get_delta_channel_history(config=config, channels=channels)
        for config in [config_of(thread_id), *configs]
    ]


@pytest.fixture(params=["default", "encrypted"])
def serde(request: pytest.FixtureRequest) -> Any:
    """A serializer whose checkpoints are read natively, and one whose outlines come from Python."""
    return None if request.param == "default" else encrypted()


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_history_of_a_fan_out_with_forks_equals_in_memorys(path: Path, frequency: int, serde: Any) -> None:
    with RustSqliteSaver(path, serde=serde) as ours:
        memory = Tee(ours)
        graph = fan_out_graph(frequency).compile(checkpointer=memory)
        run_turns(graph, config_of(), 5)
        fork_and_go_on(graph, config_of())
        expected = histories(memory, memory)
        assert len(expected) > 30
        assert any(len(entry["log"]["writes"]) >= WIDTH for entry in expected)
        assert histories(ours, memory) == expected
        ahistory = ours.aget_delta_channel_history(config=config_of(), channels=["log"])
        assert asyncio.run(ahistory) == {"log": expected[0]["log"]}


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_a_fan_out_rebuilds_the_same_state_as_in_memory(path: Path, durability: str, serde: Any) -> None:
    with RustSqliteSaver(path, serde=serde) as ours:
        states = []
        for saver in (ours, InMemorySaver()):
            graph = fan_out_graph(4).compile(checkpointer=saver)
            run_turns(graph, config_of(), 3, durability=durability)
            states.append(graph.get_state(config_of()).values)
        assert states[0] == states[1]
        assert len(states[0]["log"]) > 3 * WIDTH


def test_history_of_rows_without_task_path_equals_in_memorys(path: Path) -> None:
    with RustSqliteSaver(path) as ours:
        memory = Tee(ours, task_paths=False)
        graph = fan_out_graph().compile(checkpointer=memory)
        run_turns(graph, config_of(), 3)
        fork_and_go_on(graph, config_of())
    expected = histories(memory, memory)
    query(path, "ALTER TABLE writes DROP COLUMN task_path")
    query(path, "PRAGMA journal_mode = DELETE")
    before = path.read_bytes()
    with RustSqliteSaver(path, read_only=True) as ours:
        assert histories(ours, memory) == expected
        found = [(item.config, item.pending_writes) for item in ours.list(None)]
    assert path.read_bytes() == before
    with RustSqliteSaver(path) as ours:
        assert histories(ours, memory) == expected
        assert [(item.config, item.pending_writes) for item in ours.list(None)] == found
    assert "task_path" in [row[1] for row in query(path, "PRAGMA table_info(writes)")]


@pytest.mark.interop
def test_history_equals_upstreams(path: Path) -> None:
    with RustSqliteSaver(path) as ours:
        memory = Tee(ours)
        graph = fan_out_graph(3).compile(checkpointer=memory)
        run_turns(graph, config_of(), 4)
        fork_and_go_on(graph, config_of())
        expected = histories(ours, memory)
    with UpstreamSaver.from_conn_string(str(path)) as upstream:
        assert histories(upstream, memory) == expected


def approval_graph(frequency: int, subgraph: bool = False) -> Any:
    """A chat whose every third turn waits for a human, on one delta channel and one plain one."""

    class State(TypedDict, total=False):
        log: Annotated[list[str], DeltaChannel(appended, snapshot_frequency=frequency)]
        last: str

    def listen(state: State) -> dict[str, Any]:
        return {"log": [f"heard {state['last']}"]}

    def decide(state: State) -> dict[str, Any]:
        number = int(state["last"].split()[-1])
        answer = interrupt(f"approve {number}?") if number % 3 == 2 else "no need"
        return {"log": [f"decided {answer}"], "last": f"answer {number}"}

    builder = StateGraph(State)
    builder.add_node("listen", listen)
    builder.add_node("decide", decide)
    builder.add_edge(START, "listen")
    builder.add_edge("listen", "decide")
    if not subgraph:
        return builder
    outer = StateGraph(State)
    outer.add_node("chat", builder.compile(checkpointer=True))
    outer.add_edge(START, "chat")
    return outer


def say(graph: Any, config: Any, number: int, **options: Any) -> Any:
    return graph.invoke({"last": f"question {number}"}, config, **options)


def comparable(state: Any) -> Any:
    """A state, and those of its subgraphs, without the parent, which pruning may cut."""
    tasks = tuple(
        task._replace(state=comparable(task.state)) if hasattr(task.state, "tasks") else task
        for task in state.tasks
    )
    return state._replace(parent_config=None, tasks=tasks)


def state_of(graph: Any, config: Any = None) -> Any:
    return comparable(graph.get_state(config or config_of(), subgraphs=True))


@pytest.mark.parametrize("turns", [1, 3, 7, 8])
@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_pruning_keeps_state_tasks_and_what_comes_after(
    path: Path, frequency: int, turns: int, serde: Any
) -> None:
    with RustSqliteSaver(path, serde=serde) as saver:
        graph = approval_graph(frequency).compile(checkpointer=saver)
        for number in range(turns):
            say(graph, config_of(), number)
        saver.copy_thread("1", "unpruned")
        before = state_of(graph)
        saver.prune(["1"])
        assert state_of(graph) == before
        after = []
        for thread in ("1", "unpruned"):
            if before.interrupts:
                graph.invoke(Command(resume="yes"), config_of(thread))
            for number in range(turns, turns + 4):
                say(graph, config_of(thread), number)
                saver.prune(["1"])
            state = graph.get_state(config_of(thread))
            after.append((state.values, state.next, [asked.value for asked in state.interrupts]))
        assert after[0] == after[1]


def test_pruning_keeps_only_the_chain_back_to_the_snapshot(path: Path, serde: Any) -> None:
    kept = {}
    for frequency in FREQUENCIES:
        with RustSqliteSaver(path.with_name(f"{frequency}.db"), serde=serde) as saver:
            graph = approval_graph(frequency).compile(checkpointer=saver)
            for number in (0, 1, 3, 4, 6, 7):
                say(graph, config_of(), number)
            saver.prune(["1"])
            kept[frequency] = len(list(saver.list(config_of())))
    assert kept[1] <= 3
    assert list(kept.values()) == sorted(kept.values())
    assert kept[100] > 10


@pytest.mark.parametrize("frequency", [1, 3, 100])
def test_pruning_keeps_the_state_of_a_subgraph_with_its_own_delta_channel(
    path: Path, frequency: int, serde: Any
) -> None:
    with RustSqliteSaver(path, serde=serde) as saver:
        graph = approval_graph(frequency, subgraph=True).compile(checkpointer=saver)
        for number in range(3):
            say(graph, config_of(), number)
            before = state_of(graph)
            saver.prune(["1"])
            assert state_of(graph) == before
        assert before.tasks[0].interrupts
        result = graph.invoke(Command(resume="yes"), config_of())
        saver.prune(["1"])
        assert "decided yes" in result["log"]
        assert graph.get_state(config_of()).values == result


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("frequency", [2, 100])
def test_pruning_after_every_turn_changes_no_result(
    path: Path, frequency: int, durability: str, serde: Any
) -> None:
    with RustSqliteSaver(path, serde=serde) as saver:
        results = []
        for checkpointer in (saver, InMemorySaver()):
            graph = approval_graph(frequency).compile(checkpointer=checkpointer)
            for number in (0, 1, 3, 4, 6):
                result = say(graph, config_of(), number, durability=durability)
                if checkpointer is saver:
                    saver.prune(["1"])
            results.append((result, graph.get_state(config_of()).values))
        assert results[0] == results[1]


def test_pruning_a_fork_keeps_its_branch_and_not_the_other(path: Path, serde: Any) -> None:
    with RustSqliteSaver(path, serde=serde) as saver:
        graph = fan_out_graph(100).compile(checkpointer=saver)
        run_turns(graph, config_of(), 3)
        fork_and_go_on(graph, config_of())
        before, length = state_of(graph), len(list(saver.list(config_of())))
        saver.prune(["1"])
        assert state_of(graph) == before
        assert len(list(saver.list(config_of()))) < length


def test_a_plain_channel_that_became_a_delta_channel_is_rebuilt_after_pruning(path: Path) -> None:
    class Plain(TypedDict, total=False):
        log: Annotated[list[str], lambda left, right: left + right]
        last: str

    builder = StateGraph(Plain)
    builder.add_node("listen", lambda state: {"log": [f"heard {state['last']}"]})
    builder.add_edge(START, "listen")
    with RustSqliteSaver(path) as saver:
        old = builder.compile(checkpointer=saver)
        for number in range(3):
            old.invoke({"last": str(number), "log": []}, config_of())
        graph = approval_graph(100).compile(checkpointer=saver)
        say(graph, config_of(), 3)
        before = state_of(graph)
        saver.prune(["1"])
        assert state_of(graph) == before
        assert before.values["log"][:3] == ["heard 0", "heard 1", "heard 2"]


class Overtaken(RustSqliteSaver):
    """Each `put` waits for writes to its checkpoint, prunes, and only then stores it."""

    def __init__(self, conn: Any) -> None:
        super().__init__(conn)
        self.written: dict[str, threading.Event] = {}
        self.overtaken = 0

    def written_to(self, checkpoint_id: str) -> threading.Event:
        return self.written.setdefault(checkpoint_id, threading.Event())

    def put(self, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        # The last checkpoint of a turn gets no writes, so the wait has an end.
        self.overtaken += self.written_to(checkpoint["id"]).wait(0.2)
        self.prune([config["configurable"]["thread_id"]])
        return super().put(config, checkpoint, metadata, new_versions)

    def put_writes(self, config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
        super().put_writes(config, writes, task_id, task_path)
        self.written_to(config["configurable"]["checkpoint_id"]).set()


@pytest.mark.parametrize("frequency", [2, 100])
def test_a_slow_put_with_fast_put_writes_and_a_prune_in_between_loses_nothing(
    path: Path, frequency: int
) -> None:
    with Overtaken(path) as saver:
        results = []
        for checkpointer in (saver, InMemorySaver()):
            graph = fan_out_graph(frequency).compile(checkpointer=checkpointer)
            run_turns(graph, config_of(), 3, durability="async")
            results.append(graph.get_state(config_of()).values)
        assert saver.overtaken >= 6
        assert results[0] == results[1]


def test_outlines_of_more_bytes_than_are_fetched_at_once_are_all_learned(path: Path) -> None:
    """Encrypted checkpoints go to Python in batches of 16 MiB."""
    with RustSqliteSaver(path, serde=encrypted()) as saver:
        graph = approval_graph(100).compile(checkpointer=saver)
        for number in (0, 1, 3):
            graph.invoke({"last": "x" * (5 << 20) + f" {number}"}, config_of())
        before = state_of(graph)
        history = saver.get_delta_channel_history(config=config_of(), channels=["log"])
        assert len(history["log"]["writes"]) == 6
        saver.prune(["1"])
        assert state_of(graph) == before


def test_the_async_class_prunes_and_rebuilds_too(path: Path, serde: Any) -> None:
    async def main() -> tuple[Any, Any]:
        async with AsyncRustSqliteSaver(path, serde=serde) as saver:
            graph = approval_graph(100).compile(checkpointer=saver)
            for number in (0, 1, 2):
                await graph.ainvoke({"last": f"question {number}"}, config_of())
            before = comparable(await graph.aget_state(config_of()))
            await saver.aprune(["1"])
            return before, comparable(await graph.aget_state(config_of()))

    before, after = asyncio.run(main())
    assert before == after
    assert len(before.values["log"]) == 5
