"""Metadata are the bytes and the values of Python's `json`, whoever encodes and decodes them."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langgraph_checkpoint_rust import _metadata
from langgraph_checkpoint_rust._core import dumps_json, loads_json

ENCODER = json.JSONEncoder(ensure_ascii=False)

texts = st.text() | st.text(st.sampled_from('ab"\\\n\r\t\b\f\x00\x1f\x7f\u2028é😀')) | st.just("\ud800")
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(texts | st.integers(), inner)
    ),
    max_leaves=12,
)


class Kind(str, Enum):
    LOOP = "loop"


def reference(value: Any) -> bytes:
    return ENCODER.encode(value).encode("utf-8", "ignore")


def typed(value: Any) -> Any:
    """A value that differs from another one also where `==` does not: `1` and `True`, the order of keys."""
    if isinstance(value, dict):
        return "dict", [(key, typed(item)) for key, item in value.items()]
    if isinstance(value, list):
        return "list", [typed(item) for item in value]
    return type(value).__name__, repr(value)


@given(values)
@settings(max_examples=300)
def test_the_bytes_are_those_of_json(value: Any) -> None:
    assert dumps_json(value) in (None, reference(value))
    assert _metadata._encoded(value) == reference(value)


@given(st.dictionaries(texts, values), st.integers(0, 2), st.data())
@settings(max_examples=300)
def test_the_values_are_those_of_json(value: Any, indent: int, data: st.DataObject) -> None:
    stored = json.dumps(value, ensure_ascii=data.draw(st.booleans()), indent=indent or None)
    blob = bytearray(stored.encode("utf-8", "ignore"))
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(blob) - 1))
        blob[place : place + 1] = data.draw(
            st.sampled_from([b"", b" ", b'"', b"0", b"-", b"1e5", b"\\", b"{"])
        )
        if not blob:
            return
    found = loads_json(bytes(blob))
    if found is not None:
        assert typed(found) == typed(json.loads(bytes(blob)))


@pytest.mark.parametrize(
    "value",
    [
        {"source": "loop", "step": -1, "parents": {}, "run_id": "1f0", "ok": True, "none": None},
        {"writes": {"agent": [1, (2, 3), [], {}]}, "text": 'a "quoted" \\ line\n\x01'},
        {"large": [2**63 - 1, -(2**63), 2**64 - 1]},
    ],
)
def test_usual_metadata_take_the_native_way(value: Any) -> None:
    assert dumps_json(value) == reference(value)


@pytest.mark.parametrize("value", [1.5, 2**64, {1: 2}, Kind.LOOP, "\ud800", b"x", {"a": {1}}])
def test_the_rest_is_left_to_python(value: Any) -> None:
    assert dumps_json(value) is None


def test_depth_is_left_to_python() -> None:
    nested: Any = 1
    for _ in range(100):
        nested = [nested]
    assert dumps_json(nested) is None
    assert loads_json(b'{"a": ' + json.dumps(nested).encode() + b"}") is None
    assert _metadata.loads(b'{"a": ' + json.dumps(nested).encode() + b"}") == {"a": nested}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b'{"a": 1,}',
        b'{"a": 01}',
        b'{"a": 1.0}',
        b'{"a": "\\n"}',
        b'{"a": "\x01"}',
        b'{"a": "\xff"}',
        b'{"a": 1} x',
        b'{\x00"\x00}\x00',
        b'{"a": 12345678901234567890}',
        b'{"a": NaN}',
        b'{"a": truE}',
        b"{1: 2}",
    ],
)
def test_odd_text_is_left_to_python(data: bytes) -> None:
    assert loads_json(data) is None


def test_usual_text_takes_the_native_way() -> None:
    data = (
        b'{"source": "loop", "step": -1, "parents": {}, "list": [1, "x", null, true, false, []], "step": 2}'
    )
    assert typed(loads_json(data)) == typed(json.loads(data))
