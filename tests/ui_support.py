"""Files that real graphs wrote, and a browser without a window, for the tests of the page."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from starlette.testclient import TestClient

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.ui import _threads, create_app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "a-token-of-the-tests"  # noqa: S105
HOST = "http://127.0.0.1"


class Trip(TypedDict, total=False):
    city: str
    log: list[str]
    booked: str


def plan(state: Trip) -> Trip:
    return {"log": [*state.get("log", []), f"planned {state['city']}"]}


def book(state: Trip) -> Trip:
    if state["city"] == "Atlantis":
        raise LookupError("no such city")
    answer = interrupt({"question": f"Book {state['city']}?"})
    return {"booked": answer, "log": [*state["log"], "asked"]}


def trips(saver: Any) -> Any:
    """A graph that plans, asks and books."""
    builder = StateGraph(Trip).add_node(plan).add_node(book)
    return builder.add_edge(START, "plan").add_edge("plan", "book").add_edge("book", END).compile(saver)


def of(thread_id: str) -> Any:
    return {"configurable": {"thread_id": thread_id}}


def fill(path: str | Path) -> None:
    """Threads that wait, failed, ended, and forked."""
    with RustSqliteSaver(path) as saver:
        graph = trips(saver)
        graph.invoke({"city": "Rome"}, of("rome"))
        with suppress(LookupError):
            graph.invoke({"city": "Atlantis"}, of("atlantis"))
        for city in ("Oslo", "Paris"):
            graph.invoke({"city": city}, of(city.lower()))
            asked_at = graph.get_state(of(city.lower())).config
            graph.invoke(Command(resume="yes"), of(city.lower()))
        # Paris is booked anew from where it was asked: a fork.
        graph.invoke(None, graph.update_state(asked_at, {"city": "Lyon"}))
        graph.invoke(Command(resume="no"), of("paris"))
        saver.set_thread("rome", title="A week in Rome", metadata={"user": "ada", "vip": True})


class Document(HTMLParser):
    """What a browser makes of a page: its elements, its text, its links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.pieces: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.pieces).split())

    def links(self, start: str) -> list[str]:
        """The targets of links that begin so, without the leading `./`."""
        found = [attributes.get("href") or "" for tag, attributes in self.elements if tag == "a"]
        return [target.removeprefix("./") for target in found if target.startswith(f"./{start}")]


class Browser:
    """Gets pages and reads them."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def get(self, page: str = "", status: int = 200) -> Document:
        answer = self.client.get(f"/{TOKEN}/{page}")
        assert answer.status_code == status, answer.text
        assert TOKEN not in answer.text
        return Document(answer.text)

    def all(self, page: str, next_start: str, next_text: str) -> Iterator[Document]:
        """A page and those that its link `next_text` leads to."""
        while True:
            answer = self.client.get(f"/{TOKEN}/{page}").text
            yield Document(answer)
            found = re.search(rf'href="\./({next_start}[^"]*)">{next_text}<', answer)
            if found is None:
                return
            page = found[1].replace("&amp;", "&")


@contextmanager
def browser(path: str | Path, **options: Any) -> Iterator[Browser]:
    """A browser of the page of a file."""
    app = create_app(path, token=TOKEN, **options)
    with (
        pytest.MonkeyPatch.context() as patch,
        TestClient(app, base_url=HOST, raise_server_exceptions=False) as client,
    ):
        # However busy the machine is.
        patch.setattr(_threads, "PATIENCE", 30.0)
        yield Browser(client)
