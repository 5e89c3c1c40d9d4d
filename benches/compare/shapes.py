"""Real graphs, without a network: each is a graph and what one turn of it asks. Models and tools are scripts.

The tool-calling agent, the wide state, the sequential graph and the fan-out to subgraphs are shaped as
LangGraph's own benchmarks are.
"""

# Annotations are evaluated at once here: channels are made of local variables.

import dataclasses
import operator
from collections.abc import Callable
from typing import Annotated, Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send, interrupt
from typing_extensions import TypedDict

TEXT = "the quick brown fox jumps over the lazy dog. " * 6


@dataclasses.dataclass(frozen=True)
class Shape:
    """A graph, the inputs of one turn, and how many turns a run has."""

    name: str
    build: Callable[[Any], Any]
    inputs: Callable[[int], list[Any]]
    turns: int

    def turn(self, graph: Any, config: Any, number: int, durability: str = "async") -> Any:
        """One turn; what comes back is the same with every saver."""
        result: Any = None
        for given in self.inputs(number):
            result = graph.invoke(given, config, durability=durability)
        return plain(result)


def plain(value: Any) -> Any:
    """Without what is random: identities of messages and interrupts."""
    if isinstance(value, BaseMessage):
        return value.type, value.content, getattr(value, "tool_calls", None)
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items() if key != "__interrupt__"}
    return [plain(each) for each in value] if isinstance(value, list) else value


def question(number: int) -> list[Any]:
    return [{"messages": [HumanMessage(f"{number}: {TEXT}", id=f"human-{number}")]}]


def answer(state: Any) -> dict[str, Any]:
    number = len(state["messages"])
    return {"messages": [AIMessage(f"{number}: {TEXT}", id=f"ai-{number}")]}


def chat(saver: Any) -> Any:
    builder = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer")
    return builder.compile(checkpointer=saver)


class ScriptedModel(BaseChatModel):
    """Calls two tools when a human speaks, and answers when they are done."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **_: Any) -> Any:  # noqa: ARG002
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        number, calls = len(messages), []
        if isinstance(messages[-1], HumanMessage):
            names = ("search", "calculate")
            calls = [{"name": name, "args": {"text": TEXT[:60]}, "id": f"{name}-{number}"} for name in names]
        reply = AIMessage("" if calls else TEXT, tool_calls=calls, id=f"ai-{number}")
        return ChatResult(generations=[ChatGeneration(message=reply)])


def search(text: str) -> str:
    """Finds pages."""
    return f"found {text} {TEXT}"


def calculate(text: str) -> str:
    """Calculates."""
    return f"{len(text)}"


def agent(saver: Any) -> Any:
    return create_agent(ScriptedModel(), [search, calculate], checkpointer=saver)


def fan_out(width: int) -> Callable[[Any], Any]:
    class State(TypedDict, total=False):
        turn: int
        results: Annotated[list[str], operator.add]

    def spread(state: State) -> list[Send]:
        return [Send("work", {"turn": state["turn"], "number": number}) for number in range(width)]

    def work(task: Any) -> dict[str, Any]:
        return {"results": [f"{task['turn']}.{task['number']} {TEXT}"]}

    def build(saver: Any) -> Any:
        builder: Any = StateGraph(State)
        builder.add_node("plan", lambda _: {}).add_node("work", work).add_node("collect", lambda _: {})
        builder.add_edge(START, "plan").add_conditional_edges("plan", spread, ["work"])
        return builder.add_edge("work", "collect").compile(checkpointer=saver)

    return build


def subgraphs(saver: Any) -> Any:
    """A graph in a graph in a graph; the innermost answers."""
    inner = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer").compile()
    middle = StateGraph(MessagesState).add_node("inner", inner).add_edge(START, "inner").compile()
    outer = StateGraph(MessagesState).add_node("middle", middle).add_edge(START, "middle")
    return outer.compile(checkpointer=saver)


def fan_out_to_subgraph(saver: Any) -> Any:
    """Twenty tasks at once, each a graph of three steps with checkpoints of its own."""

    class Joke(TypedDict, total=False):
        subject: str
        joke: str

    class State(TypedDict, total=False):
        subjects: list[str]
        jokes: Annotated[list[str], operator.add]

    inner = StateGraph(Joke).add_node("edit", lambda state: {"subject": f"{state['subject']}!"})
    inner.add_node("generate", lambda state: {"joke": f"{state['subject']} {TEXT}"})
    inner.add_node("bump", lambda state: {"joke": f"{state['joke']} a"})
    inner.add_edge(START, "edit").add_edge("edit", "generate").add_edge("generate", "bump")
    joke = inner.compile()

    def spread(state: State) -> list[Send]:
        return [Send("joke", {"subject": subject}) for subject in state["subjects"]]

    def write(state: Any) -> dict[str, Any]:
        return {"jokes": [joke.invoke(state)["joke"]]}

    builder: Any = StateGraph(State)
    builder.add_node("joke", write).add_conditional_edges(START, spread, ["joke"])
    return builder.add_edge("joke", END).compile(checkpointer=saver)


def human_in_the_loop(saver: Any) -> Any:
    def ask(state: Any) -> dict[str, Any]:
        said = interrupt(f"approve {len(state['messages'])}?")
        return {"messages": [AIMessage(f"human said {said}", id=f"ai-{len(state['messages'])}")]}

    builder = StateGraph(MessagesState).add_node("draft", answer).add_node("ask", ask)
    return builder.add_edge(START, "draft").add_edge("draft", "ask").compile(checkpointer=saver)


def wide_state(width: int) -> Callable[[Any], Any]:
    """Many channels, of which each of three nodes changes a tenth."""

    def build(saver: Any) -> Any:
        names = [f"field_{number}" for number in range(width)]
        state: Any = TypedDict("state", {"turn": int, **dict.fromkeys(names, Any)}, total=False)  # type: ignore[misc]

        def node(first: int) -> Callable[[Any], dict[str, Any]]:
            return lambda found: {name: [found["turn"], TEXT] for name in names[first::10]}

        builder: Any = StateGraph(state)
        for number in range(3):
            builder.add_node(f"node_{number}", node(number))
            builder.add_edge(f"node_{number - 1}" if number else START, f"node_{number}")
        return builder.compile(checkpointer=saver)

    return build


def sequential(length: int) -> Callable[[Any], Any]:
    def build(saver: Any) -> Any:
        builder = StateGraph(MessagesState)
        for number in range(length):
            builder.add_node(f"node_{number}", answer if number == length - 1 else lambda _: {})
            builder.add_edge(f"node_{number - 1}" if number else START, f"node_{number}")
        return builder.compile(checkpointer=saver)

    return build


def turn_number(number: int) -> list[Any]:
    return [{"turn": number}]


CHAT = Shape("chat", chat, question, 300)
AGENT = Shape("tool-calling agent", agent, question, 30)
GRAPHS = (
    AGENT,
    Shape("fan-out of 12", fan_out(12), turn_number, 20),
    Shape("subgraphs, 3 deep", subgraphs, question, 30),
    Shape(
        "human in the loop", human_in_the_loop, lambda number: [*question(number), Command(resume="yes")], 30
    ),
    Shape("wide state, 300 channels", wide_state(300), turn_number, 15),
    Shape("sequential, 100 nodes", sequential(100), question, 4),
    Shape(
        "fan-out to 20 subgraphs",
        fan_out_to_subgraph,
        lambda n: [{"subjects": [f"{n}.{i}" for i in range(20)]}],
        6,
    ),
)
