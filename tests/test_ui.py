"""The web page: what its pages show of files that real graphs wrote."""

from __future__ import annotations

import os
import re
import sys
import threading
from typing import TYPE_CHECKING, Any, TypedDict

import pytest
from helpers import checkpoint_of, config_of, id_of, put_chain, query
from langchain_core.messages import HumanMessage
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt
from ui_support import browser, fill, of, trips

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.inspection import timeline
from langgraph_checkpoint_rust.ui import _figures, _history, _state, _threads

if TYPE_CHECKING:
    from pathlib import Path


# --- threads ---


def test_threads_are_listed_with_how_they_stand(path: Path) -> None:
    fill(path)
    with browser(path) as page:
        shown = page.get().text
        assert re.search(r"A week in Rome rome interrupted book 1 3 ", shown)
        assert re.search(r"atlantis error book 1 3 ", shown)
        assert re.search(r"oslo done . 2 4 [\d.]+ (B|KiB) just now", shown)
        assert "4 all 1 interrupted 1 error 0 pending 0 busy 2 done" in shown
        assert page.get("?status=error").links("thread") == ["thread?thread=atlantis"]


def test_threads_are_found_by_id_title_and_metadata(path: Path) -> None:
    fill(path)
    with RustSqliteSaver(path) as saver:
        saver.archive_thread("oslo")
    with browser(path) as page:
        for search, found in {
            "os": [],
            "PAR": ["paris"],
            "week in": ["rome"],
            "user=ada": ["rome"],
            "vip=true": ["rome"],
            "user=eve": [],
            "a": ["rome", "atlantis", "paris"],
        }.items():
            links = page.get(f"?search={search}").links("thread")
            assert sorted(links) == sorted(f"thread?thread={name}" for name in found), search
        assert page.get("?search=oslo&show=archived").links("thread") == ["thread?thread=oslo"]
        assert page.get("?search=oslo&show=archived&status=error").links("thread") == []
        assert len(page.get("?show=all").links("thread")) == 4
        assert "No thread is like that" in page.get("?search=nowhere").text


def test_threads_are_sorted(path: Path) -> None:
    fill(path)
    with browser(path) as page:
        names = [link.partition("=")[2] for link in page.get("?order=thread_id").links("thread")]
        assert names == ["atlantis", "oslo", "paris", "rome"]
        created = [link.partition("=")[2] for link in page.get("?order=created").links("thread")]
        assert created == ["paris", "oslo", "atlantis", "rome"]


def test_pages_reach_each_thread_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_threads, "PAGE", 7)
    with RustSqliteSaver(path) as saver:
        for number in range(20):
            put_chain(saver, 1, f"thread-{number:02}")
    with browser(path) as page:
        for order in ("updated", "created", "thread_id"):
            pages = list(page.all(f"?order={order}", r"\?", "More threads"))
            assert [len(found.links("thread")) for found in pages] == [7, 7, 6]
            assert len({link for found in pages for link in found.links("thread")}) == 20


def test_a_search_looks_at_so_many_threads_a_page(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_threads, "PAGE", 5)
    monkeypatch.setattr(_threads, "MOST_SEARCHED", 10)
    with RustSqliteSaver(path) as saver:
        for number in range(23):
            put_chain(saver, 1, f"thread-{number:02}")
    with browser(path) as page:
        pages = list(page.all("?search=thread-22&order=thread_id", r"\?", "Search on"))
        assert "1 found in 10 threads, more are not yet looked at" in pages[0].text
        # Whose whole id it is comes first, and not again.
        assert [len(found.links("thread")) for found in pages] == [1, 0, 0]
        pages = list(page.all("?search=D-2&order=thread_id", r"\?", "Search on"))
        assert [found.links("thread") for found in pages] == [
            [],
            [],
            [f"thread?thread=thread-{number}" for number in (20, 21, 22)],
        ]


def test_a_page_does_not_wait_for_counts_that_take_long(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path)
    may_count = threading.Event()
    count = _threads._count

    def slow(database: Any) -> Any:
        assert may_count.wait(30)
        return count(database)

    monkeypatch.setattr(_threads, "_count", slow)
    with browser(path) as page:
        monkeypatch.setattr(_threads, "PATIENCE", 0.01)
        shown = page.get()
        assert "… all … interrupted … error" in shown.text
        assert len(shown.links("thread")) == 4
        assert "Threads …" in page.get("figures").text
        may_count.set()
        monkeypatch.setattr(_threads, "PATIENCE", 30.0)
        assert "4 all 1 interrupted 1 error" in page.get().text


@pytest.mark.slow
@pytest.mark.compact
def test_a_page_of_a_hundred_thousand_threads_reads_one_page(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        for number in range(100_000):
            config = config_of(f"thread-{number:06}")
            saver.put(config, checkpoint_of(1), {"source": "loop", "step": 1}, {})
    with browser(path) as page:
        shown = page.get()
        assert len(shown.links("thread")) == 50
        assert "100,000 all" in shown.text
        assert "1 found in 10,000 threads" in page.get("?search=thread-000017&order=created").text


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
                HumanMessage(f"{number} " + "word " * 100, id=str(number)) for number in range(5000)
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
        assert "4,950 more items not shown here" in shown.text
        assert "1,980,000 more characters not shown here" in shown.text
        (messages,) = shown.links("channel?thread=1&id=" + id_of(1) + "&channel=messages")
        pages = list(page.all(f"{messages}&start=4880", r"channel\?", "Later items"))
        assert [re.findall(r"Items ([\d,]+) to ([\d,]+) of 5,000", found.text)[0] for found in pages] == [
            ("4,880", "4,929"),
            ("4,930", "4,979"),
            ("4,980", "4,999"),
        ]
        assert "4999 HumanMessage 4999 word" in pages[-1].text


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


# --- figures ---


def test_storage_is_shown_by_channel(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        texts = [os.urandom(3000).hex() for _ in range(3)]
        values = {"long": texts, "short": "x"}
        saver.put(config_of(), checkpoint_of(1, values), {"source": "loop", "step": 1}, {})
        put_chain(saver, 1, "2")
        costs = saver.stats(by="channel")["channels"]
    with browser(path) as page:
        shown = page.get("storage")
        widths = [int(attributes["width"] or 0) for tag, attributes in shown.elements if tag == "rect"]
        assert max(widths) == 1000
        assert widths[1::2] == sorted(widths[1::2], reverse=True)
        names = {name for name in costs if name}
        assert names >= {"long", "short", "count"}
        assert all(name in shown.text for name in names)
        of_thread = page.get("storage?thread=2").text
        assert "count" in of_thread
        assert "long" not in of_thread


def test_a_large_file_is_measured_when_asked_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_figures, "MOST_UNASKED", 1000)
    fill(path)
    with browser(path) as page:
        assert "This file is large" in page.get("storage").text
        assert "city" in page.get("storage?measure=1").text


def test_figures_of_the_file_follow_it(path: Path) -> None:
    fill(path)
    with browser(path) as page, RustSqliteSaver(path) as saver:
        shown = page.get("file").text
        assert str(path) in shown
        assert f"Format {saver.format}" in shown
        assert "1 interrupted 1 error" in shown
        part = page.client.get("/a-token-of-the-tests/figures").text
        assert part.strip().startswith("<p")
        assert "Stored last" in part
        trips(saver).invoke({"city": "Bern"}, of("bern"))
        shown = page.get("figures").text
        assert "Stored last bern interrupted" in shown
        assert re.search(r"WAL [1-9]", shown)


def test_free_pages_are_those_of_sqlite(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        put_chain(saver, 50)
    query(path, "CREATE TABLE ballast AS SELECT randomblob(500000) AS data")
    query(path, "DROP TABLE ballast")
    ((free,),) = query(path, "PRAGMA freelist_count")
    assert free > 100
    with browser(path) as page:
        assert f"Free pages {free}" in page.get("file").text


def test_a_file_of_no_bytes_has_no_threads(path: Path) -> None:
    # As a new file is whose pages are all in the WAL.
    path.touch()
    with browser(path) as page:
        assert "No threads yet" in page.get().text
        assert "Free pages 0" in page.get("file").text
    assert path.read_bytes() == b""


def test_an_empty_file_says_so(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        saver.setup()
    with browser(path) as page:
        assert "No threads yet" in page.get().text
        assert "Checkpoints 0" in page.get("storage").text
        assert "Nothing yet" in page.get("file").text
