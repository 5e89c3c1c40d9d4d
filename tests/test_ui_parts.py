"""The parts of the web page that need no page: the lines of a timeline, trees of values, figures in words."""

from __future__ import annotations

import re
import threading
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from langgraph_checkpoint_rust.inspection import StoredObject, Unreadable
from langgraph_checkpoint_rust.ui import _figure
from langgraph_checkpoint_rust.ui._changes import changes_of
from langgraph_checkpoint_rust.ui._figure import Figure
from langgraph_checkpoint_rust.ui._format import age, size
from langgraph_checkpoint_rust.ui._graph import HEIGHT, MOST_LANES, draw
from langgraph_checkpoint_rust.ui._nodes import MOST_ITEMS, MOST_TEXT, SHORT, Budget, Node

# --- lines ---


@st.composite
def histories(draw_from: st.DrawFn) -> list[tuple[str, str | None]]:
    """Checkpoints and their parents, newest first; some parents are deleted."""
    length = draw_from(st.integers(1, 30))
    parents = [draw_from(st.none() | st.integers(0, number)) for number in range(length)]
    steps = [
        (str(number), None if parent in (None, number) else str(parent))
        for number, parent in enumerate(parents)
    ]
    gone = draw_from(st.sets(st.integers(0, length - 1), max_size=3))
    return [step for step in reversed(steps) if int(step[0]) not in gone]


@given(histories())
def test_lines_lead_from_each_checkpoint_to_its_parent(steps: list[tuple[str, str | None]]) -> None:
    rows, lanes = draw(steps)
    stored = [checkpoint for checkpoint, _ in steps]
    children = [sum(parent == checkpoint for _, parent in steps) for checkpoint in stored]
    assert [row.children for row in rows] == children
    # What leaves a row at the bottom comes in at the top of the next.
    for above, below in pairwise(rows):
        assert ends(above, bottom=True) == ends(below, bottom=False)
    waiting = {parent for _, parent in steps if parent is not None and parent not in stored}
    assert {lane for lane in lanes if lane is not None} == waiting
    assert all(row.x < row.width <= 18 * MOST_LANES for row in rows)


def ends(row: Any, *, bottom: bool) -> set[int]:
    """Where lines touch an edge of a row."""
    if bottom:
        return {int(line[1:].split()[0]) for line, _ in row.lines if line.endswith(f"V{HEIGHT + 1}")}
    return {int(line[1:].split()[0]) for line, _ in row.lines if re.match(r"M\d+ -1", line)}


@given(histories(), st.integers(0, 30))
def test_pages_go_on_where_the_one_above_ended(steps: list[tuple[str, str | None]], cut: int) -> None:
    whole, _ = draw(steps)
    above, lanes = draw(steps[:cut])
    below, _ = draw(steps[cut:], lanes)
    assert [(row.lane, row.lines, row.children) for row in above + below] == [
        (row.lane, row.lines, row.children) for row in whole
    ]


# --- trees ---


def node_of(value: Any, **options: Any) -> Node:
    return Budget(redact=True, **options).channel("value", value)


def count(node: Node) -> int:
    return 1 + sum(map(count, node.children))


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, "none", "None"),
        (False, "none", "False"),
        (1.5, "number", "1.5"),
        ("text", "text", "text"),
        (b"12345", "bytes", "5 bytes"),
        (Unreadable("pickle", b"123"), "bytes", "3 bytes; only their own serializer reads them (pickle)"),
        ([1, 2], "list", "2 items"),
        ((1,), "list", "1 item"),
        ({}, "mapping", "0 keys"),
        (StoredObject("uuid", "UUID", "00ff"), "object", "UUID"),
        (_DeltaSnapshot([1]), "object", "snapshot"),
        (object, "text", "<class 'object'>"),
    ],
)
def test_each_kind_of_value_has_a_line(value: Any, kind: str, text: str) -> None:
    node = node_of(value)
    assert (node.label, node.kind, node.text) == ("value", kind, text)


def test_an_integer_that_python_does_not_write_has_a_line() -> None:
    assert node_of(10**5000).text == "an integer of 16,610 bits"


def test_an_object_says_what_it_is_about() -> None:
    message = StoredObject("langchain_core.messages", "AIMessage", {"content": "a " * 400, "name": None})
    assert node_of(message).gist == "a " * (SHORT // 2) + "…"
    assert [child.label for child in node_of(message).children] == ["content"]
    assert node_of(StoredObject("uuid", "UUID", "00ff")).gist == "00ff"
    assert node_of({"a": 1, "b": [2], "c": "x"}).gist == "a: 1, c: x"
    assert node_of([1, "x"]).gist == "1, x"


def test_what_is_over_the_bounds_is_counted() -> None:
    node = node_of(list(range(MOST_ITEMS + 7)))
    assert len(node.children) == MOST_ITEMS + 1
    assert node.children[-1].text == "7 more items not shown here"
    assert node_of("x" * (MOST_TEXT + 5)).rest == 5
    assert len(node_of("x" * (MOST_TEXT + 5)).text) == MOST_TEXT
    wide = [[list(range(40)) for _ in range(40)] for _ in range(40)]
    assert count(node_of(wide, nodes=200)) < 200 + 3 * 40
    texts = node_of(["y" * 900] * 10, characters=2000)
    # Labels count too.
    assert 1900 < sum(len(child.text) for child in texts.children if child.kind == "text") <= 2000
    deep: Any = 1
    for _ in range(60):
        deep = [deep]
    assert count(node_of(deep)) < 30


def test_items_are_shown_from_where_they_are_asked_for() -> None:
    node = Budget(redact=True).channel("value", list("abcdef"), start=4)
    assert [(child.label, child.text) for child in node.children] == [("4", "e"), ("5", "f")]
    assert Budget(redact=True).channel("value", ["a"], start=99).children == []


def test_a_secret_across_a_cut_is_masked_as_a_whole() -> None:
    key = "sk-live-" + "a1" * 30
    text = "x " * (MOST_TEXT // 2 - 10) + key
    assert "sk-live" not in node_of(text).text
    assert "sk-live" not in node_of(StoredObject("m", "Message", {"content": "x " * 70 + key})).gist


def test_what_is_below_a_secret_name_is_masked() -> None:
    node = node_of({"credentials": {"pin": 1815, "words": ["geheim", ["tief"]]}})
    assert not re.search(r"1815|geheim|tief", repr(node))
    assert "1815" in repr(Budget(redact=False).value({"credentials": {"pin": 1815}}))


def test_a_change_of_a_secret_is_masked_by_the_names_on_its_way() -> None:
    def state(secret: str) -> dict[str, Any]:
        return {
            "config": {"password": {"a": [secret]}},
            "login": StoredObject(
                "app", "Login", {"key": StoredObject("pydantic.types", "SecretStr", secret)}
            ),
            "snapshot": _DeltaSnapshot([{"token": secret}]),
            "numbered": {5: {"secret": secret}},
            "plain": f"{secret[-1]} is seen",
        }

    for before, after in (
        (state("geheim-1"), state("geheim-2")),
        ({}, state("geheim-1")),
        (state("geheim-1"), {}),
    ):
        shown, left = changes_of(before, after, Budget(redact=True))
        assert len(shown) == 5
        assert left == 0
        assert "geheim" not in repr(shown)
        assert "is seen" in repr(shown)
        assert "geheim" in repr(changes_of(before, after, Budget(redact=False)))


# --- words ---


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (150 << 10, "150 KiB"),
        (1 << 20, "1.0 MiB"),
        (5 << 50, "5120 TiB"),
    ],
)
def test_bytes_are_told_in_a_unit(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "just now"),
        (30, "30 seconds ago"),
        (60, "1 minute ago"),
        (3599, "59 minutes ago"),
        (86_400, "1 day ago"),
        (40 * 86_400, "2026-04-22"),
    ],
)
def test_a_moment_is_told_by_its_age(seconds: int, text: str) -> None:
    now = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
    assert age(now - timedelta(seconds=seconds), now) == text


# --- figures ---


def test_a_figure_is_looked_up_once_for_all_who_ask_and_errors_are_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter([ValueError("busy"), 1, 2])
    go = threading.Semaphore(0)

    def look_up() -> Any:
        assert go.acquire(timeout=30)
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(_figure, "_COST", 0)
    figure = Figure(look_up)
    assert figure.get(0) is None
    assert figure.get(0) is None
    go.release()
    with pytest.raises(ValueError, match="busy"):
        figure.get(None)
    go.release()
    assert figure.get(None) == 1
    # Fresh: it is not looked up.
    assert figure.get(None) == 1
    monkeypatch.setattr(_figure, "FRESH", 0)
    figure._until = 0.0
    assert figure.get(0) == 1
    go.release()
    assert figure.get(None) == 2
