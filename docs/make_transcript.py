"""Writes the terminal session of docs/command-line.md: python docs/make_transcript.py [--print].

A graph writes a file, with a pause for a human, a fork and an error; then the real commands run on it.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from langgraph_checkpoint_rust import RustSerializer, RustSqliteSaver

PAGE = Path(__file__).with_name("command-line.md")
BEGIN, END_MARK = "<!-- transcript: begin -->\n", "<!-- transcript: end -->\n"
SESSION = [
    "lgcheckpoint info",
    "lgcheckpoint threads",
    "lgcheckpoint show cleo --tree",
    "lgcheckpoint show bob --state --channel api_key --channel booking",
    "lgcheckpoint diff ada",
    "lgcheckpoint types",
    "lgcheckpoint prune --all --keep-last 2",
    "lgcheckpoint delete nobody; echo $?",
    "lgcheckpoint delete dora --yes",
    "lgcheckpoint verify",
]
CUSTOMERS = {"ada": "yes", "bob": None, "cleo": "yes", "dora": "no"}


class Trip(MessagesState):
    """The state of the graph."""

    api_key: str
    booking: Any


class Booking:
    """A class of the app. Stored by name, as a named tuple is."""

    __module__ = "trips"

    def __init__(self, **fields: Any) -> None:
        self.fields = fields

    def _asdict(self) -> dict[str, Any]:
        return self.fields


def search(state: Trip) -> dict[str, Any]:
    """Finds a hotel."""
    return {"messages": [AIMessage("Two nights in Rome?")], "booking": Booking(city="Rome", nights=2)}


def approve(state: Trip) -> dict[str, Any]:
    """Asks a human."""
    return {"messages": [HumanMessage(interrupt("Book it?"))]}


def book(state: Trip) -> dict[str, Any]:
    """Books it."""
    if state["messages"][-1].text == "no":
        raise ValueError("nothing to book")
    return {"messages": [AIMessage("Booked.")]}


def write_file(path: Path) -> None:
    """Four conversations: done, paused, forked, failed."""
    builder = StateGraph(Trip).add_node(search).add_node(approve).add_node(book)
    builder.add_edge(START, "search").add_edge("search", "approve").add_edge("approve", "book").add_edge(
        "book", END
    )
    sys.modules["trips"] = sys.modules[__name__]
    serde = RustSerializer(allowed_msgpack_modules=[("trips", "Booking")])
    with RustSqliteSaver(path, serde=serde) as saver:
        graph: Any = builder.compile(checkpointer=saver)
        for thread_id, answer in CUSTOMERS.items():
            config = {"configurable": {"thread_id": thread_id}}
            graph.invoke(
                {"messages": [HumanMessage("A trip, please")], "api_key": "sk-1234567890abcdef"}, config
            )
            paused = graph.get_state(config)
            try:
                if answer is not None:
                    graph.invoke(Command(resume=answer), config)
            except ValueError:
                continue
            if thread_id == "cleo":
                graph.update_state(paused.config, {"messages": [HumanMessage("Three nights")]})


def transcript() -> str:
    """The session, as a terminal of 80 columns shows it."""
    with tempfile.TemporaryDirectory() as directory:
        write_file(Path(directory) / "app.db")
        python = shlex.quote(sys.executable)
        shell = (
            f'lgcheckpoint() {{ {python} -m langgraph_checkpoint_rust "$@"; }}; cd {shlex.quote(directory)}'
        )
        settings = {"CHECKPOINTS_DB_PATH": "app.db", "COLUMNS": "80", "PYTHONPATH": os.pathsep.join(sys.path)}
        parts = ["$ export CHECKPOINTS_DB_PATH=app.db\n"]
        for command in SESSION:
            done = subprocess.run(
                ["bash", "-c", f"{shell}; {{ {command}; }} 2>&1"],
                env={**os.environ, **settings},
                stdout=subprocess.PIPE,
                text=True,
                check=False,
            )
            shown = done.stdout.replace(str(Path(directory).resolve()), "/srv").replace(directory, "/srv")
            parts.append(f"$ {command}\n{shown}")
    return "\n".join(parts)


def main() -> None:
    """Prints the session, or puts it into the page."""
    session = transcript()
    if "--print" in sys.argv:
        print(session, end="")
        return
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END_MARK)[2]
    PAGE.write_text(f"{before}{BEGIN}```text\n{session}```\n{END_MARK}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
