"""A file that a graph wrote, and how to run commands on it."""

from __future__ import annotations

import functools
import json
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import formats
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from typer.main import get_command
from typer.testing import CliRunner

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.cli.app import app

SECRET = "sk-proj-" + "a1" * 16
_COMMANDS = get_command(app)
PAUSED, DONE, FAILED, FORKED = "ada", "bob", "cleo", "dora"


class Shop(MessagesState):
    """The state of a small shop assistant."""

    api_key: str
    order: Any


class Order:
    """A class of the app: stored by name, as a named tuple is."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields

    def _asdict(self) -> dict[str, Any]:
        return self.fields


def look(state: Shop) -> dict[str, Any]:
    return {"messages": [AIMessage("Rome, two nights")], "order": Order(city="Rome", nights=2)}


def approve(state: Shop) -> dict[str, Any]:
    return {"messages": [AIMessage(f"approved: {interrupt({'question': 'Book it?'})}")]}


def book(state: Shop) -> dict[str, Any]:
    if "fail" in state["messages"][0].text:
        raise ValueError("the hotel is full")
    return {"messages": [AIMessage("booked")]}


def write_threads(saver: RustSqliteSaver) -> None:
    """Threads of all kinds, as an app writes them."""
    builder = StateGraph(Shop).add_node(look).add_node(approve).add_node(book)
    builder.add_edge(START, "look").add_edge("look", "approve").add_edge("approve", "book").add_edge(
        "book", END
    )
    graph: Any = builder.compile(checkpointer=saver)
    for thread_id in (PAUSED, DONE, FAILED, FORKED):
        config: Any = {"configurable": {"thread_id": thread_id}}
        text = "please fail" if thread_id == FAILED else "a trip to Rome"
        graph.invoke({"messages": [HumanMessage(text)], "api_key": SECRET}, config)
        if thread_id == FORKED:
            paused = graph.get_state(config)
            graph.invoke(Command(resume="yes"), config)
            graph.update_state(paused.config, {"messages": [HumanMessage("make it three")]})
        elif thread_id != PAUSED:
            try:
                graph.invoke(Command(resume="yes"), config)
            except ValueError:
                assert thread_id == FAILED
    saver.set_thread(DONE, title="Trip to Rome", metadata={"user": "bob"})


@functools.cache
def _written(_format: str) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "shop.db"
        with RustSqliteSaver(path) as saver:
            write_threads(saver)
        return path.read_bytes()


def make_file(path: Path) -> Path:
    """The file, in the format that is tested."""
    path.write_bytes(_written(formats.tested()))
    return path


class Outcome:
    """How a command ended."""

    def __init__(self, result: Any) -> None:
        self.code: int = result.exit_code
        self.out: str = result.stdout
        self.err: str = result.stderr
        self.exception = result.exception

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(path: str | Path | None, *arguments: object) -> Outcome:
    """Runs a command in this process."""
    words = list(map(str, arguments))
    if path is not None:
        words[1:1] = ["-d", str(path)]
    # The runner would make all commands anew each time.
    with mock.patch("typer.testing._get_command", return_value=_COMMANDS):
        result = CliRunner().invoke(app, words, env={"CHECKPOINTS_DB_PATH": None, "COLUMNS": None})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Outcome(result)


def contents(directory: Path) -> dict[str, bytes]:
    """The files of a directory, but for the empty ones that SQLite's readers leave."""
    return {
        name: (directory / name).read_bytes()
        for name in os.listdir(directory)
        if not name.endswith(("-shm", "-wal"))
    }
