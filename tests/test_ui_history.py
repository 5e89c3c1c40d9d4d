"""The pages of a thread and of a checkpoint: steps, forks and subgraphs, state and what changed."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, TypedDict

import pytest
from helpers import checkpoint_of, config_of, id_of, put_chain, query
from langchain_core.messages import HumanMessage
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from ui_support import browser, fill, of

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.inspection import timeline
from langgraph_checkpoint_rust.ui import _history, _state

if TYPE_CHECKING:
    from pathlib import Path


# --- a thread ---


def test_a_timeline_shows_forks_interrupts_and_errors(path: Path) -> None:
    fill(path)
    with browser(path) as page:
        shown = page.get("thread?thread=paris")
        assert "2 branches" in shown.text
        assert shown.text.count("end of a branch") == 1
        assert shown.text.count("interrupt ") == 2
        assert "question: Book Lyon?" in shown.text
        assert "question: Book Paris?" in shown.text
        assert re.search(r"Step 3 loop after book just now", shown.text)
        assert re.search(r"Step 1 loop after plan next book interrupt 2 branches", shown.text)
        with RustSqliteSaver(path) as saver:
            steps = [step.checkpoint_id for step in timeline(saver, "paris")]
        assert [link.partition("id=")[2] for link in shown.links("checkpoint")] == steps
        drawings = [attributes for tag, attributes in shown.elements if tag == "svg"]
        assert {drawing["width"] for drawing in drawings} == {"36"}
        assert len(drawings) == len(steps)
        assert "LookupError('no such city')" in page.get("thread?thread=atlantis").text


def test_pages_of_a_timeline_reach_each_step_and_keep_the_lines(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_history, "PAGE", 4)
    with RustSqliteSaver(path) as saver:
        stored = put_chain(saver, 9)
        # A fork at the second: its end is the newest, its beginning two pages below.
        saver.put(stored[1], checkpoint_of(20), {"source": "fork", "step": 2}, {})
    with browser(path) as page:
        pages = list(page.all("thread?thread=1", r"thread\?", "Older steps"))
        links = [link.partition("id=")[2] for found in pages for link in found.links("checkpoint")]
        assert links == [id_of(number) for number in (20, *range(9, 0, -1))]
        assert [found.text.count("2 branches") for found in pages] == [0, 0, 1]
        assert [found.text.count("end of a branch") for found in pages] == [1, 0, 0]


def test_a_page_of_a_timeline_is_bounded_in_bytes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_history, "MOST_BYTES", 50_000)
    with RustSqliteSaver(path) as saver:
        config = config_of()
        for number in range(1, 6):
            checkpoint = checkpoint_of(number, {"text": "x" * 30_000})
            config = saver.put(config, checkpoint, {"source": "loop", "step": number}, {})
    with browser(path) as page:
        pages = list(page.all("thread?thread=1", r"thread\?", "Older steps"))
        assert [len(found.links("checkpoint")) for found in pages] == [2, 2, 1]


class Inner(TypedDict, total=False):
    city: str
    answer: str


def ask(state: Inner) -> Inner:
    return {"answer": interrupt(f"Which hotel in {state['city']}?")}


def test_subgraphs_are_looked_at_by_themselves(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        inner = StateGraph(Inner).add_node(ask).add_edge(START, "ask").compile()
        outer = StateGraph(Inner).add_node("hotel", inner).add_edge(START, "hotel").compile(saver)
        outer.invoke({"city": "Rome"}, of("rome"))
    with browser(path) as page:
        options = [
            attributes["value"] or ""
            for tag, attributes in page.get("thread?thread=rome").elements
            if tag == "option"
        ]
        assert options[0] == ""
        assert options[1].startswith("hotel:")
        shown = page.get(f"thread?thread=rome&ns={options[1]}")
        assert "Which hotel in Rome?" in shown.text
        (link, *_) = shown.links("checkpoint")
        assert "ns=hotel%3A" in link
        assert f"Namespace {options[1]}" in page.get(link).text
        assert "No checkpoints" in page.get("thread?thread=rome&ns=nothing:1").text


# --- a checkpoint ---


def step_links(page: Any, thread_id: str) -> list[str]:
    found: list[str] = page.get(f"thread?thread={thread_id}").links("checkpoint")
    return found


def test_a_checkpoint_shows_its_state_and_what_changed(path: Path) -> None:
    fill(path)
    with browser(path) as page:
        newest, asked, *_ = step_links(page, "oslo")
        shown = page.get(newest).text
        assert "added log[1] asked" in shown
        assert "added booked yes" in shown
        assert "1 more, of channels that steer the graph removed branch:to:book" in shown
        assert "State city Oslo log 2 items planned Oslo, asked 0 planned Oslo 1 asked booked yes" in shown
        shown = page.get(asked).text
        assert "added log" in shown
        assert "booked yes" in shown.partition("Writes Channel Value Task")[2]
        assert "__interrupt__ interrupt 1 item 0 Interrupt" in shown
        # Against another than the parent.
        first = step_links(page, "oslo")[-1].partition("id=")[2]
        assert "added city Oslo" in page.get(f"{newest}&against={first}").text


def test_a_checkpoint_that_waits_shows_the_question(path: Path) -> None:
    fill(path)
    with browser(path) as page:
        assert "Waits for an answer 1 key question: Book Rome?" in page.get(step_links(page, "rome")[0]).text
        assert "This is the first checkpoint" in page.get(step_links(page, "rome")[-1]).text


def test_a_parent_that_was_deleted_is_missed(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        put_chain(saver, 3)
    query(path, "DELETE FROM checkpoints WHERE checkpoint_id = ?", [id_of(2)])
    with browser(path) as page:
        newest, first = step_links(page, "1")
        assert "The checkpoint before is not stored any more" in page.get(newest).text
        assert "This is the first checkpoint" in page.get(first).text
        page.get(f"checkpoint?thread=1&id={id_of(2)}", 404)


def test_large_states_are_compared_when_asked_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_state, "MOST_COMPARED", 100)
    fill(path)
    with browser(path) as page:
        newest = step_links(page, "oslo")[0]
        shown = page.get(newest)
        assert "The states are large" in shown.text
        (asked,) = [link for link in shown.links("checkpoint") if "compare=1" in link]
        assert "added booked yes" in page.get(asked).text


def test_a_large_state_makes_a_page_of_bounded_size(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        values = {
            "messages": [
                HumanMessage(f"{number} " + "word " * 100, id=str(number)) for number in range(1000)
            ],
            "text": "long " * 400_000,
            "wide": {f"key-{number}": list(range(100)) for number in range(300)},
            "deep": nested(200),
        }
        saver.put(config_of(), checkpoint_of(1, values), {"source": "loop", "step": 1}, {})
    with browser(path) as page:
        (link,) = step_links(page, "1")
        answer = page.client.get(f"/a-token-of-the-tests/{link}")
        assert len(answer.content) < 1_000_000
        shown = page.get(link)
        assert "950 more items not shown here" in shown.text
        assert "1,980,000 more characters not shown here" in shown.text
        (messages,) = shown.links("channel?thread=1&id=" + id_of(1) + "&channel=messages")
        pages = list(page.all(f"{messages}&start=880", r"channel\?", "Later items"))
        assert [re.findall(r"Items ([\d,]+) to ([\d,]+) of 1,000", found.text)[0] for found in pages] == [
            ("880", "929"),
            ("930", "979"),
            ("980", "999"),
        ]
        assert "999 HumanMessage 999 word" in pages[-1].text


def nested(depth: int) -> Any:
    value: Any = "bottom"
    for _ in range(depth):
        value = [value]
    return value


def test_no_class_of_the_app_is_imported(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "app_that_must_not_be_imported"
    (tmp_path / f"{module}.py").write_text(
        "from dataclasses import dataclass\n@dataclass\nclass Order:\n    number: int\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    order = __import__(module).Order(1843)
    with RustSqliteSaver(path) as saver:
        saver.put(config_of(), checkpoint_of(1, {"order": order}), {"source": "loop", "step": 1}, {})
    del sys.modules[module]
    with browser(path) as page:
        shown = page.get(step_links(page, "1")[0]).text
        assert "order Order number: 1843" in shown
    assert module not in sys.modules


def test_nothing_is_written(path: Path) -> None:
    fill(path)
    before = query(path, "SELECT * FROM checkpoints"), query(path, "SELECT * FROM sqlite_schema")
    content = path.read_bytes()
    with browser(path) as page:
        seen, waiting = set(), [""]
        while waiting:
            link = waiting.pop()
            if link not in seen:
                seen.add(link)
                waiting += page.get(link).links("")
    assert len(seen) > 25
    assert path.read_bytes() == content
    assert (query(path, "SELECT * FROM checkpoints"), query(path, "SELECT * FROM sqlite_schema")) == before
