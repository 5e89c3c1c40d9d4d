"""A support agent that survives SIGKILL: make demo, or python examples/support_agent.py [FILE].

The agent books an appointment, and a human approves it. Its process is killed in the middle of a
tool; a second process resumes from the file. Then the history is listed, and the conversation is
forked from the moment of approval with the other answer. The model is a script, so no network is
needed; the agent, its tools and the approval are LangChain's and LangGraph's own.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.types import Command, interrupt

from langgraph_checkpoint_rust import RustSqliteSaver

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

CONFIG: RunnableConfig = {"configurable": {"thread_id": "ada-1"}}
QUESTION = "My heat pump rattles. Can someone come on Tuesday?"


# --- the agent ---


def look_up_customer(email: str) -> str:
    """Finds a customer's contract."""
    say("tool", f"look_up_customer({email!r})")
    return "Ada Lovelace, contract 1815"


def find_slots(day: str) -> str:
    """Finds free appointments."""
    say("tool", f"find_slots({day!r}) asks the calendar ...")
    if "CALENDAR_IS_SLOW" in os.environ:
        time.sleep(60)
    return f"{day} 09:00, {day} 14:30"


def book_appointment(slot: str) -> str:
    """Books an appointment, once a human has approved it."""
    answer = interrupt(f"Book {slot} for Ada Lovelace?")
    if answer != "yes":
        return f"not booked: the human said {answer!r}"
    say("tool", f"book_appointment({slot!r})")
    return f"booked {slot}"


class ScriptedModel(BaseChatModel):
    """Answers as a chat model would that knows what to do."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        """The script knows the tools."""
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:  # noqa: ARG002
        last = messages[-1]
        if isinstance(last, HumanMessage):
            reply = calls(look_up_customer={"email": "ada@example.com"}, find_slots={"day": "Tuesday"})
        elif isinstance(last, ToolMessage) and last.name == "book_appointment":
            done = last.text.startswith("booked")
            reply = AIMessage("See you on Tuesday, Ada." if done else "I have not booked anything yet.")
        else:
            reply = calls(book_appointment={"slot": "Tuesday 09:00"})
        return ChatResult(generations=[ChatGeneration(message=reply)])


def calls(**tools: dict[str, Any]) -> AIMessage:
    """A message that calls tools, all at once."""
    say("agent", "calls " + " and ".join(tools))
    tool_calls = [ToolCall(name=name, args=args, id=f"call-{name}") for name, args in tools.items()]
    return AIMessage("", tool_calls=tool_calls)


def agent(saver: RustSqliteSaver) -> Any:
    """The one line that matters: `checkpointer=`."""
    tools = [look_up_customer, find_slots, book_appointment]
    return create_agent(ScriptedModel(), tools, checkpointer=saver)


# --- the story ---


def main() -> None:
    """Runs the whole story on a file."""
    if len(sys.argv) > 1 and sys.argv[1] == "ask":
        ask(sys.argv[2])
        return
    with tempfile.TemporaryDirectory() as directory:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(directory) / "support.db"
        if path.exists():
            sys.exit(f"{path} exists; name a new file")
        kill_in_the_middle(path)
        with RustSqliteSaver.from_conn_string(str(path)) as saver:
            resume(saver)
            approve(saver)
            fork(saver)
        show_file(path)


def ask(path: str) -> None:
    """What the first process does: it never gets to the end."""
    say("Ada", QUESTION)
    agent(RustSqliteSaver(path)).invoke({"messages": [HumanMessage(QUESTION)]}, CONFIG)


def kill_in_the_middle(path: Path) -> None:
    """Starts the first process, and kills it as soon as one of the two tools has its result stored."""
    first = subprocess.Popen(
        [sys.executable, __file__, "ask", str(path)], env=os.environ | {"CALENDAR_IS_SLOW": "1"}
    )
    title(f"1. A customer asks; process {first.pid} calls two tools at once")
    with RustSqliteSaver(path) as watcher:
        while not any(channel == "messages" for _, channel, _ in writes(watcher)):
            if first.poll() is not None:
                sys.exit("the first process ended by itself")
            time.sleep(0.05)
    time.sleep(0.2)  # the other tool is in the middle of its work by now
    os.kill(first.pid, signal.SIGKILL)
    say("kill", f"SIGKILL: process {first.pid} ended with {first.wait()}, in the middle of find_slots")


def writes(saver: RustSqliteSaver) -> list[tuple[str, str, Any]]:
    """The results of tools whose step is not finished."""
    found = saver.get_tuple(CONFIG)
    return (found and found.pending_writes) or []


def resume(saver: RustSqliteSaver) -> None:
    """Goes on where the dead process stopped."""
    title(f"2. Process {os.getpid()} resumes from the file")
    stored = [value[0] for _, channel, value in writes(saver) if channel == "messages"]
    for message in stored:
        say("file", f"{message.name} was done: {message.text!r}; it is not called again")
    paused = agent(saver).invoke(None, CONFIG)
    say("paused", paused["__interrupt__"][0].value)


def approve(saver: RustSqliteSaver) -> None:
    """Answers the interrupt."""
    title("3. A human approves")
    say("human", "yes")
    state = agent(saver).invoke(Command(resume="yes"), CONFIG)
    say("agent", state["messages"][-1].text)


def fork(saver: RustSqliteSaver) -> None:
    """Lists the history, and gives the other answer at the moment of approval."""
    title("4. The history, newest first")
    graph = agent(saver)
    history = list(graph.get_state_history(CONFIG))
    for snapshot in history:
        show_snapshot(snapshot)
    before = next(snapshot for snapshot in history if snapshot.interrupts)
    title(f"5. A fork from step {before.metadata['step']}: the human declines")
    forked = graph.update_state(before.config, None, as_node="__copy__")
    paused = graph.invoke(None, forked)
    say("paused", paused["__interrupt__"][0].value)
    say("human", "no, call me first")
    state = graph.invoke(Command(resume="no, call me first"), CONFIG)
    say("agent", state["messages"][-1].text)
    kept = graph.get_state(history[0].config)
    say("file", f"the first branch is still there: {kept.values['messages'][-1].text!r}")


# --- what is printed ---


def title(text: str) -> None:
    """Begins a section."""
    print(f"\n{text}", flush=True)


def say(who: str, text: str) -> None:
    """Prints a line of the story."""
    # In one piece, since two tools talk at once.
    print(f"   {who:>7}  {text}\n", end="", flush=True)


def show_snapshot(snapshot: Any) -> None:
    """Prints a checkpoint in one line."""
    messages = snapshot.values.get("messages", [])
    what = last_words(messages[-1]) if messages else "a new conversation"
    say(f"step {snapshot.metadata['step']}", what + (" (waits for a human)" if snapshot.interrupts else ""))


def last_words(message: BaseMessage) -> str:
    """Sums a message up."""
    if isinstance(message, AIMessage) and message.tool_calls:
        return "the agent calls " + " and ".join(call["name"] for call in message.tool_calls)
    if isinstance(message, ToolMessage):
        return f"{message.name} returns {message.text!r}"
    return f"{'the agent' if isinstance(message, AIMessage) else 'Ada'} says {message.text!r}"


def show_file(path: Path) -> None:
    """Prints what is stored, read by Python's own sqlite3 now that the saver is closed."""
    title(f"6. {path.name}: {path.stat().st_size // 1024} KiB, in the compact format")
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    for table, data in (("checkpoints", "checkpoint"), ("writes", "value")):
        rows, size = connection.execute(f"SELECT count(*), sum(length({data})) FROM {table}").fetchone()  # noqa: S608
        say("table", f"{table:<12} {rows:>3} rows  {size / 1024:>5.1f} KiB of state")
    (check,) = connection.execute("PRAGMA integrity_check").fetchone()
    say("check", f"integrity_check: {check}")
    connection.close()


if __name__ == "__main__":
    main()
