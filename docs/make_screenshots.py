"""Makes the pictures of docs/ui.md: `make screenshots`. Needs langgraph, Chromium and both extras.

Real graphs fill a file: chats, an agent whose booking a human must approve, a fork, a run that fails. Then
the page is started as users start it, and headless Chromium takes pictures of it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
from contextlib import suppress
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from langgraph_checkpoint_rust import RustSqliteSaver

IMAGES = Path(__file__).resolve().parent / "images"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
GUIDE = (
    "The outdoor unit rattles when a fan blade touches ice, when a panel is loose, or when the compressor's "
    "feet have aged. Switch it off, look for ice, and tighten the four screws of the front panel. "
)
CHATS = {
    "Refund for order 1843": ["Where is my refund?", "It was order 1843.", "Thank you!"],
    "Filter size for the X200": ["Which filter fits the X200?", "And where do I buy it?"],
    "Invoice of October": ["Please send me the invoice of October again."],
    "Noise at night": ["My heat pump is loud at night.", "It is outside, below the window.", "Every night."],
    "Change of address": ["I have moved. Can you change my address?", "Analytical Lane 12."],
}


class Chat(MessagesState):
    """A chat, with what was looked up for it."""

    documents: list[dict[str, Any]]


class Support(MessagesState):
    """A customer's case."""

    customer: dict[str, Any]
    slots: list[str]
    booked: str


def look_up(state: Support) -> dict[str, Any]:
    """Finds the customer."""
    customer = {"name": "Ada Lovelace", "contract": 1815, "city": "London", "crm_token": "t-77e1c2a9"}
    call = {"name": "find_slots", "args": {"day": "Tuesday"}, "id": "call-1", "type": "tool_call"}
    return {"customer": customer, "messages": [AIMessage("I look for a slot.", id="ai-1", tool_calls=[call])]}


def find_slots(state: Support) -> dict[str, Any]:
    """Asks the calendar."""
    slots = ["Tuesday 09:00", "Tuesday 14:30"]
    return {"slots": slots, "messages": [ToolMessage(", ".join(slots), id="tool-1", tool_call_id="call-1")]}


def book(state: Support) -> dict[str, Any]:
    """Books, once a human agrees."""
    slot, name = state["slots"][0], state["customer"]["name"]
    if interrupt({"question": f"Book {slot} for {name}?", "answers": ["yes", "no"]}) != "yes":
        return {"messages": [AIMessage("I have not booked anything yet.", id="ai-2")]}
    return {"booked": slot, "messages": [AIMessage(f"See you on {slot}, {name}.", id="ai-2")]}


def answer(state: Chat) -> dict[str, Any]:
    """Answers in a chat; fails at the word that it was told to fail at."""
    asked = state["messages"][-1].text
    if "invoice" in asked:
        raise ConnectionError("the archive of invoices did not answer within 30 s")
    turn = len(state["messages"])
    found = [{"page": page, "text": f"{page}. {GUIDE * 8}"} for page in range(turn, turn + 3)]
    return {"messages": [AIMessage(f"About “{asked}” {GUIDE * 4}", id=f"ai-{turn}")], "documents": found}


def fill(path: Path) -> None:
    """Runs the graphs on a new file."""
    with RustSqliteSaver(path) as saver:
        chat: Any = StateGraph(Chat).add_node(answer).add_edge(START, "answer").compile(checkpointer=saver)
        support = StateGraph(Support)
        support.add_sequence([look_up, find_slots, book]).add_edge(START, "look_up").add_edge("book", END)
        agent: Any = support.compile(checkpointer=saver)
        for number, (title, questions) in enumerate(CHATS.items(), 1):
            config = config_of(f"chat-{number}")
            # A node that raises ends the conversation.
            with suppress(ConnectionError):
                for turn, question in enumerate(questions):
                    chat.invoke({"messages": [HumanMessage(question, id=f"human-{turn}")]}, config)
            saver.set_thread(f"chat-{number}", title=title, metadata={"user": "ada"})
        for thread_id, title in (("case-1", "Boiler check"), ("case-2", "Heat pump rattles")):
            asked = HumanMessage("My heat pump rattles. Can someone come on Tuesday?", id="human-1")
            agent.invoke({"messages": [asked]}, config_of(thread_id))
            saver.set_thread(thread_id, title=title, metadata={"user": "ada"})
        # One case goes on, and back to the question, where the human now declines.
        asked_at = agent.get_state(config_of("case-2")).config
        agent.invoke(Command(resume="yes"), config_of("case-2"))
        forked = agent.update_state(asked_at, {"slots": ["Tuesday 14:30"]})
        agent.invoke(None, forked)
        agent.invoke(Command(resume="no"), config_of("case-2"))
        again = HumanMessage("Tuesday 14:30 is fine.", id="human-2")
        agent.invoke({"messages": [again]}, config_of("case-2"))


def config_of(thread_id: str) -> Any:
    """The config of a thread."""
    return {"configurable": {"thread_id": thread_id}}


def shoot(url: str, name: str, size: str, *flags: str) -> None:
    """Takes a picture of a page."""
    target = IMAGES / f"{name}.png"
    with tempfile.TemporaryDirectory() as profile:
        command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", f"--window-size={size}"]
        subprocess.run(
            [*command, *flags, "--hide-scrollbars", f"--screenshot={target}", url],
            check=True,
            capture_output=True,
            timeout=60,
        )
    print(f"{target.name}: {target.stat().st_size:,} bytes")


def main() -> int:
    """Makes the pictures.

    Returns:
        0, or 1 if there is no Chromium.
    """
    if CHROMIUM is None:
        print("There is no Chromium: apt-get install chromium", file=sys.stderr)
        return 1
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "support.db")
        fill(path)
        with RustSqliteSaver(path, read_only=True) as saver:
            steps = list(saver.list(config_of("case-2")))
        # The one that a human's answer and a booking made.
        booked = next(found for found in steps if "booked" in found.checkpoint["channel_values"])
        command = [sys.executable, "-m", "langgraph_checkpoint_rust", "ui", "-d", path.name, "--no-open"]
        page = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=directory)
        try:
            assert page.stdout is not None
            url = re.findall(r"http://\S+", page.stdout.readline())[0]
            query = urllib.parse.urlencode({"thread": "case-2", "id": booked.checkpoint["id"]})
            shoot(url, "ui-threads", "1000,640")
            shoot(f"{url}thread?thread=case-2", "ui-timeline", "920,960")
            shoot(f"{url}checkpoint?{query}", "ui-state", "1000,1000")
            shoot(f"{url}storage", "ui-storage", "1000,560")
            dark = "--blink-settings=preferredColorScheme=0"
            shoot(f"{url}file", "ui-file", "1000,600", dark)
        finally:
            page.terminate()
            page.wait(timeout=10)
    return 0


if __name__ == "__main__":
    sys.exit(main())
