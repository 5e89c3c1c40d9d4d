"""What the workloads store: messages, checkpoints, and the calls that a graph makes in one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.base import Checkpoint, empty_checkpoint
from langgraph.pregel._checkpoint import LATEST_VERSION

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

WRITES_A_STEP = 2


def message(number: int) -> AnyMessage:
    """One of a conversation's messages, of about 300 bytes in all."""
    text = f"message {number}: " + "the quick brown fox jumps over the lazy dog. " * 4
    kind = number % 4
    if kind == 1:
        call = {"name": "search", "args": {"query": text[:60]}, "id": f"call-{number}"}
        return AIMessage(text[:120], id=f"id-{number}", tool_calls=[call])
    if kind == 2:
        return ToolMessage(text, id=f"id-{number}", tool_call_id=f"call-{number - 1}", name="search")
    return AIMessage(text, id=f"id-{number}") if kind == 3 else HumanMessage(text, id=f"id-{number}")


def messages(count: int) -> list[AnyMessage]:
    return [message(number) for number in range(count)]


def checkpoint(held: list[AnyMessage], step: int) -> Checkpoint:
    """A checkpoint as a chat graph makes it."""
    made = empty_checkpoint()
    made["v"] = LATEST_VERSION  # a graph's; `empty_checkpoint` of the savers' package is of an older one
    version = f"{step:032}.0"
    made["channel_values"] = {"messages": held}
    made["channel_versions"] = {"messages": version, "__start__": version}
    made["versions_seen"] = {"agent": {"messages": version}}
    return made


def config_of(thread: int | str) -> RunnableConfig:
    return {"configurable": {"thread_id": f"thread-{thread}", "checkpoint_ns": ""}}


def writes_of(made: Checkpoint) -> list[tuple[str, Any]]:
    return [("messages", made["channel_values"]["messages"][-1]), ("branch:to:tools", None)]


def store(saver: Any, config: RunnableConfig, made: Checkpoint, step: int) -> RunnableConfig:
    """What a graph asks of a saver in one step."""
    metadata = {"source": "loop", "step": step}
    stored: RunnableConfig = saver.put(config, made, metadata, made["channel_versions"])
    saver.put_writes(stored, writes_of(made), "task")
    return stored


async def astore(saver: Any, config: RunnableConfig, made: Checkpoint, step: int) -> RunnableConfig:
    """`store`, awaited."""
    metadata = {"source": "loop", "step": step}
    stored: RunnableConfig = await saver.aput(config, made, metadata, made["channel_versions"])
    await saver.aput_writes(stored, writes_of(made), "task")
    return stored


def check(found: Any, made: Checkpoint) -> None:
    """What came back is what was stored, with its writes."""
    assert found.checkpoint["id"] == made["id"]
    assert len(found.pending_writes) == WRITES_A_STEP
