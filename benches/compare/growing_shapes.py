"""Real graphs whose files grow in different ways: what stays, what is dropped, what cannot be compressed."""

# Annotations are evaluated at once here: channels are made of local variables.

import base64
import operator
import random
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from langchain_core.messages import HumanMessage
from langgraph.channels import DeltaChannel
from langgraph.graph import START, MessagesState, StateGraph
from shapes import CHAT, TEXT, Shape, agent, answer, fan_out, question, turn_number
from typing_extensions import TypedDict

warnings.filterwarnings("ignore", message=".*beta.*")


def static_channel(size: int) -> Callable[[Any], Any]:
    """A conversation beside a page that the first turn stores and no other changes."""

    class State(MessagesState, total=False):
        page: str

    def respond(state: Any) -> dict[str, Any]:
        return (
            answer(state)
            if "page" in state
            else {**answer(state), "page": (TEXT * (size // len(TEXT) + 1))[:size]}
        )

    def build(saver: Any) -> Any:
        return (
            StateGraph(State)
            .add_node("answer", respond)
            .add_edge(START, "answer")
            .compile(checkpointer=saver)
        )

    return build


def window(size: int) -> Callable[[Any], Any]:
    """A conversation that keeps its newest messages only."""

    def trimmed(held: list[Any], new: list[Any]) -> list[Any]:
        return [*held, *new][-size:]

    class State(TypedDict):
        messages: Annotated[list[Any], trimmed]

    def build(saver: Any) -> Any:
        return (
            StateGraph(State).add_node("answer", answer).add_edge(START, "answer").compile(checkpointer=saver)
        )

    return build


def large_state(size: int) -> Callable[[Any], Any]:
    """Documents of 4 KB, of which each turn changes one."""

    class State(TypedDict, total=False):
        documents: Annotated[dict[str, str], operator.or_]
        turn: int

    def work(state: Any) -> dict[str, Any]:
        count, turn = size // 4096, state["turn"]
        chosen = range(count) if turn == 0 else [turn % count]
        return {"documents": {f"{number}": f"{turn} {number} {TEXT * 16}"[:4096] for number in chosen}}

    def build(saver: Any) -> Any:
        return StateGraph(State).add_node("work", work).add_edge(START, "work").compile(checkpointer=saver)

    return build


def images(size: int) -> Callable[[int], list[Any]]:
    """Questions with an image, which no encoding makes smaller."""

    def inputs(number: int) -> list[Any]:
        encoded = base64.b64encode(random.Random(number).randbytes(size)).decode()
        image = {"type": "image", "base64": encoded, "mime_type": "image/png"}
        content: Any = [{"type": "text", "text": TEXT}, image]
        return [{"messages": [HumanMessage(content, id=f"human-{number}")]}]

    return inputs


def delta_chat(saver: Any) -> Any:
    """The chat in upstream's `DeltaChannel`, which stores what changed; a beta of LangGraph."""

    def appended(held: list[Any], writes: Sequence[list[Any]]) -> list[Any]:
        return [*held, *(each for write in writes for each in write)]

    class State(TypedDict):
        messages: Annotated[list[Any], DeltaChannel(appended)]

    return StateGraph(State).add_node("answer", answer).add_edge(START, "answer").compile(checkpointer=saver)


GROWING = (
    CHAT,
    Shape("chat beside a static 200 KB", static_channel(200_000), question, 100),
    Shape("chat, window of 50 messages", window(50), question, 300),
    Shape("fan-out of 20", fan_out(20), turn_number, 40),
    Shape("agent with 100 KB images", agent, images(75_000), 20),
    Shape("chat in a DeltaChannel", delta_chat, question, 300),
)
