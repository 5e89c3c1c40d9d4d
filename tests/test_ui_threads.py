"""The page of threads: listed, searched, filtered and sorted, page by page."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

import pytest
from helpers import checkpoint_of, config_of, put_chain
from ui_support import browser, fill

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.ui import _threads

if TYPE_CHECKING:
    from pathlib import Path


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
