"""In other savers, in encryption, and in states that real graphs produce."""

from __future__ import annotations

import operator
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Interrupt, Send, interrupt
from pydantic import BaseModel
from serde_support import CALL, USAGE, check, same
from typing_extensions import TypedDict

from langgraph_checkpoint_rust.serde import RustSerializer


class Recording(RustSerializer):
    """Checks every value that LangGraph stores against upstream's serializer."""

    checked = 0

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        typed = super().dumps_typed(obj)
        assert typed == JsonPlusSerializer().dumps_typed(obj)
        assert same(super().loads_typed(typed), JsonPlusSerializer().loads_typed(typed))
        type(self).checked += 1
        return typed


@pytest.fixture(params=["memory", "sqlite", "encrypted", "recording"])
def saver(request: pytest.FixtureRequest) -> Iterator[Any]:
    match request.param:
        case "memory":
            yield InMemorySaver(serde=RustSerializer())
        case "recording":
            Recording.checked = 0
            yield InMemorySaver(serde=Recording())
            assert Recording.checked > 3
        case "encrypted":
            yield InMemorySaver(
                serde=EncryptedSerializer.from_pycryptodome_aes(RustSerializer(), key=b"0" * 16)
            )
        case _:
            connection = sqlite3.connect(":memory:", check_same_thread=False)
            try:
                yield SqliteSaver(connection, serde=RustSerializer())
            finally:
                connection.close()


class Chat(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    notes: Annotated[list[str], operator.add]
    documents: list[Document]


class ChatModel(BaseModel):
    messages: Annotated[list[AnyMessage], add_messages] = []
    notes: Annotated[list[str], operator.add] = []
    documents: list[Document] = []


@dataclass
class ChatData:
    messages: Annotated[list[AnyMessage], add_messages] = field(default_factory=list)
    notes: Annotated[list[str], operator.add] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)


def build(schema: Any, saver: Any) -> Any:
    def model(state: Any) -> Any:
        return {"messages": [AIMessage("", tool_calls=[CALL], usage_metadata=USAGE)], "notes": ["model"]}

    def fan_out(state: Any) -> Any:
        return [Send("tools", {"call": CALL, "n": n}) for n in range(3)]

    def tools(state: Any) -> Any:
        return {
            "messages": [ToolMessage(f"{state['n']}", tool_call_id=f"{state['n']}", artifact={"rows": [1]})]
        }

    def after(state: Any) -> Any:
        return Command(
            update={"documents": [Document("d", metadata={"a": 1})], "notes": ["after"]}, goto="inner"
        )

    def ask(state: Any) -> Any:
        answer = interrupt({"question": HumanMessage("sure?")})
        return {"messages": [HumanMessage(answer)]}

    inner = StateGraph(schema)
    inner.add_node("ask", ask)
    inner.add_edge(START, "ask")
    graph = StateGraph(schema)
    graph.add_node("model", model)
    graph.add_node("tools", tools)
    graph.add_node("after", after, destinations=("inner",))
    graph.add_node("inner", inner.compile())
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", fan_out, ["tools"])
    graph.add_edge("tools", "after")
    graph.add_edge("inner", END)
    return graph.compile(checkpointer=saver)


@pytest.mark.parametrize("schema", [Chat, ChatModel, ChatData])
def test_graph_runs_stops_and_resumes(saver: Any, schema: Any) -> None:
    graph = build(schema, saver)
    config = {"configurable": {"thread_id": "1"}}
    first = graph.invoke({"messages": [HumanMessage("hi")], "notes": [], "documents": []}, config)
    assert isinstance(first["__interrupt__"][0], Interrupt)
    state = graph.get_state(config, subgraphs=True)
    assert state.next == ("inner",)
    assert state.tasks[0].interrupts[0].value["question"].content == "sure?"
    last = graph.invoke(Command(resume="yes"), config)
    assert [type(message).__name__ for message in last["messages"]] == [
        "HumanMessage",
        "AIMessage",
        "ToolMessage",
        "ToolMessage",
        "ToolMessage",
        "HumanMessage",
    ]
    assert last["messages"][-1].content == "yes"
    assert last["documents"] == [Document("d", metadata={"a": 1})]
    for snapshot in graph.get_state_history(config):
        check(snapshot.values)
        check(
            [dict(task.result) if isinstance(task.result, dict) else task.result for task in snapshot.tasks]
        )
    graph.update_state(config, {"messages": [RemoveMessage(id=last["messages"][0].id)]})
    assert len(graph.get_state(config).values["messages"]) == 5


def test_rows_of_one_serializer_are_read_by_the_other() -> None:
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    config = {"configurable": {"thread_id": "1"}}
    try:
        build(Chat, SqliteSaver(connection, serde=JsonPlusSerializer())).invoke(
            {"messages": [HumanMessage("hi")], "notes": [], "documents": []}, config
        )
        last = build(Chat, SqliteSaver(connection, serde=RustSerializer())).invoke(
            Command(resume="yes"), config
        )
        again = build(Chat, SqliteSaver(connection, serde=JsonPlusSerializer())).get_state(config)
        assert again.values["messages"] == last["messages"]
    finally:
        connection.close()


def test_encryption_holds_the_same_bytes() -> None:
    theirs = EncryptedSerializer.from_pycryptodome_aes(JsonPlusSerializer(), key=b"0" * 16)
    ours = EncryptedSerializer.from_pycryptodome_aes(RustSerializer(), key=b"0" * 16)
    value = {"messages": [HumanMessage("x")]}
    assert theirs.loads_typed(ours.dumps_typed(value)) == ours.loads_typed(theirs.dumps_typed(value)) == value


def test_saver_of_upstream_clones_the_serializer_with_an_allow_list() -> None:
    saver = InMemorySaver(serde=RustSerializer(allowed_msgpack_modules=[ChatData]))
    if not hasattr(saver, "with_allowlist"):
        pytest.skip("this version of langgraph-checkpoint has no with_allowlist")
    clone = saver.with_allowlist([(ChatModel.__module__, "ChatModel")])
    typed = RustSerializer().dumps_typed(ChatModel(notes=["x"]))
    assert type(clone.serde.loads_typed(typed)) is ChatModel
    assert type(saver.serde.loads_typed(typed)) is dict
