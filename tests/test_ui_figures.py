"""The pages of figures: storage by channel, and how the file stands."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from helpers import checkpoint_of, config_of, put_chain, query
from ui_support import browser, fill, of, trips

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.ui import _figures

if TYPE_CHECKING:
    from pathlib import Path


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
