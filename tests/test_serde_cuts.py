"""Cut hints: offsets at which an element of some container ends, found in the same pass."""

from __future__ import annotations

from typing import Any

import ormsgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from serde_support import MESSAGES, RUST

from langgraph_checkpoint_rust._upstream import binding


def cuts_of(value: Any, distance: int = 256) -> tuple[bytes, list[int]]:
    bound = binding()
    assert bound is not None
    return bound.codec.dumps_with_cuts(value, distance)


def element_ends(blob: bytes) -> set[int]:
    """Ends of all elements, by a reader of its own; those inside a payload too."""
    ends: set[int] = set()

    def number(at: int, size: int) -> int:
        return int.from_bytes(blob[at : at + size], "big")

    def value(at: int) -> int:
        head = blob[at]
        if head <= 0x7F or head >= 0xE0 or head in (0xC0, 0xC2, 0xC3):
            return at + 1
        if 0xA0 <= head <= 0xBF:
            return at + 1 + (head & 0x1F)
        if head in (0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB):
            size = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}[head]
            return at + 1 + size + number(at + 1, size)
        if head in (0xCA, 0xCB, 0xCC, 0xCD, 0xCE, 0xCF, 0xD0, 0xD1, 0xD2, 0xD3):
            return at + 1 + {0xCA: 4, 0xCB: 8}.get(head, 1 << (head & 3))
        if head in (0xC7, 0xC8, 0xC9) or 0xD4 <= head <= 0xD8:
            size = {0xC7: 1, 0xC8: 2, 0xC9: 4}.get(head, 0)
            length = number(at + 1, size) if size else 1 << (head - 0xD4)
            start = at + 2 + size
            if blob[at + 1 + size] in (0, 3, 5):
                value(start)
            return start + length
        if 0x90 <= head <= 0x9F or head in (0xDC, 0xDD):
            size = {0xDC: 2, 0xDD: 4}.get(head, 0)
            count, at, each = (number(at + 1, size) if size else head & 0xF), at + 1 + size, 1
        else:
            size = {0xDE: 2, 0xDF: 4}.get(head, 0)
            count, at, each = (number(at + 1, size) if size else head & 0xF), at + 1 + size, 2
        for _ in range(count):
            for _ in range(each):
                at = value(at)
            ends.add(at)
        return at

    assert value(0) == len(blob)
    return ends


STATES: dict[str, Any] = {
    "messages": {"messages": list(MESSAGES.values()) * 10},
    "long_messages": [HumanMessage("x" * n) for n in (10, 100, 300, 70_000, 20, 300)],
    "blocks": [
        HumanMessage([{"type": "text", "text": "t" * 300}] * 300, additional_kwargs={"k": ["v" * 200] * 10})
    ],
    "dict": {str(i): "v" * (i % 400) for i in range(200)},
    "deep": {"a": {"b": [{"c": "x" * 300}] * 5}},
    "small": [1, 2, 3],
    "text": "x" * 5000,
    "slow": [HumanMessage("x", more="y" * 500), {1, 2}, "z" * 300, HumanMessage("x" * 300)],
}


@pytest.mark.parametrize("distance", [1, 64, 256, 4096])
@pytest.mark.parametrize("name", STATES)
def test_cuts_are_element_ends_at_the_asked_distance(name: str, distance: int) -> None:
    blob, cuts = cuts_of(STATES[name], distance)
    assert blob == RUST.dumps_typed(STATES[name])[1]
    assert set(cuts) <= element_ends(blob)
    # The head of an extension that is open at a cut may turn out two bytes shorter.
    assert all(later - earlier >= distance - 2 for earlier, later in zip([0, *cuts], cuts, strict=False))


def test_every_message_of_a_list_is_a_place_to_cut() -> None:
    messages = [HumanMessage("x" * 400) for _ in range(50)]
    blob, cuts = cuts_of(messages, 256)
    length = len(ormsgpack.packb([])) + 2
    assert len(cuts) == 50
    assert cuts[-1] == len(blob)
    assert cuts[0] > length


values = st.recursive(
    st.none()
    | st.integers(0, 300)
    | st.text(max_size=30)
    | st.binary(max_size=300)
    | st.sampled_from(list(MESSAGES.values())),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5), inner, max_size=6),
    max_leaves=40,
)


@settings(deadline=None, max_examples=200)
@given(values, st.integers(1, 200))
def test_cuts_of_any_value(value: Any, distance: int) -> None:
    blob, cuts = cuts_of(value, distance)
    ends = element_ends(blob)
    assert set(cuts) <= ends
    assert sorted(cuts) == cuts
    if distance == 1:
        assert {end for end in ends if end in set(cuts)} == set(cuts)
