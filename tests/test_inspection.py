"""Stored values without their classes: decoding, rendering, redaction, comparison."""

from __future__ import annotations

import dataclasses
import json
import sys
import types as python_types
import uuid
from collections import deque
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

import numpy as np
import ormsgpack
import pytest
from helpers import run_python
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.types import Interrupt, Send
from pydantic import BaseModel, SecretStr

from langgraph_checkpoint_rust.inspection import (
    Change,
    PlainSerializer,
    StoredObject,
    Unreadable,
    as_json,
    diff,
    redacted,
    types_in,
)

SERDE = JsonPlusSerializer()
PLAIN = PlainSerializer()


class Colour(Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    inner: Any = None


class Model(BaseModel):
    name: str
    secret: SecretStr = SecretStr("hidden")


def plain(value: Any) -> Any:
    return PLAIN.loads_typed(SERDE.dumps_typed(value))


# --- decoding ---


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"raw",
        bytearray(b"raw"),
        True,
        1,
        1.5,
        "text",
        [1, [2]],
        {"a": {"b": None}},
        {1: "x", (1, 2): 3},
    ],
    ids=repr,
)
def test_what_needs_no_class_is_the_same(value: Any) -> None:
    found = plain(value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (uuid.UUID(int=1), StoredObject("uuid", "UUID", f"{1:032x}")),
        (datetime(2026, 1, 1, tzinfo=timezone.utc), StoredObject("datetime", "datetime", "2026-01-01T00:00:00+00:00")),
        (date(2026, 1, 2), StoredObject("datetime", "date", [2026, 1, 2])),
        (timedelta(days=1), StoredObject("datetime", "timedelta", [1, 0, 0])),
        (Decimal("1.5"), StoredObject("decimal", "Decimal", "1.5")),
        ({"a"}, StoredObject("builtins", "set", ["a"])),
        (deque([1]), StoredObject("collections", "deque", [1])),
        (Colour.RED, StoredObject(__name__, "Colour", "red")),
        (Point(1, [Point(2)]), StoredObject(__name__, "Point", {"x": 1, "inner": [StoredObject(__name__, "Point", {"x": 2, "inner": None})]})),
        (SecretStr("x"), StoredObject("pydantic.types", "SecretStr", "x")),
        (Send("node", {"a": 1}), StoredObject("langgraph.types", "Send", ["node", {"a": 1}])),
        (_DeltaSnapshot([uuid.UUID(int=1)]), _DeltaSnapshot([StoredObject("uuid", "UUID", f"{1:032x}")])),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_an_object_is_its_class_by_name_and_its_arguments(value: Any, expected: Any) -> None:
    assert plain(value) == expected


def test_messages_models_and_arrays() -> None:
    message = plain(AIMessage("hi", id="1", tool_calls=[{"name": "f", "args": {"a": 1}, "id": "c"}]))
    assert (message.module, message.name) == ("langchain_core.messages.ai", "AIMessage")
    assert message.value["content"] == "hi"
    assert message.value["tool_calls"][0]["args"] == {"a": 1}
    assert repr(message).startswith("AIMessage(content='hi', ")
    model = plain(Model(name="x"))
    assert model.value["name"] == "x"
    assert types_in(model) == {(__name__, "Model"), ("pydantic.types", "SecretStr")}
    array = plain(np.arange(4, dtype="<i4").reshape(2, 2))
    assert array.value == {
        "dtype": "<i4",
        "shape": [2, 2],
        "order": "C",
        "data": np.arange(4, dtype="<i4").tobytes(),
    }
    assert plain(Interrupt("why?", id="i")).value["value"] == "why?"


def test_old_json_rows() -> None:
    envelope = {"lc": 2, "type": "constructor", "id": ["uuid", "UUID"], "args": ["00"], "kwargs": None}
    message = {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", "schema", "HumanMessage"],
        "kwargs": {"content": "x"},
    }
    stored = ("json", json.dumps({"a": envelope, "m": [message], "lc": 1}).encode())
    assert PLAIN.loads_typed(stored) == {
        "a": StoredObject("uuid", "UUID", ["00"]),
        "m": [StoredObject("langchain.schema", "HumanMessage", {"content": "x"})],
        "lc": 1,
    }


def nested(depth: int) -> bytes:
    blob = ormsgpack.packb(["m", "C", 1])
    for _ in range(depth):
        blob = ormsgpack.packb(["m", "C", ormsgpack.Ext(0, blob)])
    return ormsgpack.packb(ormsgpack.Ext(0, blob))


@pytest.mark.parametrize(
    "stored",
    [
        ("pickle", b"cos\nsystem\n(S'touch harm'\ntR."),
        ("msgpack", b"\x92\x01"),
        ("json", b"{"),
        ("json", b"[" * 100_000),
        ("unheard of", b"x"),
        EncryptedSerializer.from_pycryptodome_aes(key=b"0123456789abcdef").dumps_typed({"a": 1}),
    ],
    ids=lambda stored: stored[0],
)
def test_what_cannot_be_read_is_kept_and_not_shown(stored: tuple[str, bytes]) -> None:
    found = PLAIN.loads_typed(stored)
    assert found == Unreadable(*stored)
    assert repr(found) == f"Unreadable(tag={stored[0]!r}, {len(stored[1])} bytes)"
    assert as_json(found) == {"unreadable": stored[0], "bytes": len(stored[1])}


@pytest.mark.parametrize("code", [0, 5, 6, 7, 99])
def test_an_extension_that_is_not_upstreams_is_unreadable(code: int) -> None:
    stored = ormsgpack.packb({"a": ormsgpack.Ext(code, b"\x92\x01"), "b": 2})
    found = PLAIN.loads_typed(("msgpack", stored))
    assert found == {"a": Unreadable(f"extension {code}", b"\x92\x01"), "b": 2}


def test_deep_objects_end_in_one_that_cannot_be_read() -> None:
    deep: Any = PLAIN.loads_typed(("msgpack", nested(5000)))
    depth = 0
    while isinstance(deep, StoredObject):
        depth, deep = depth + 1, deep.value
    assert depth == 100
    assert isinstance(deep, Unreadable)


def test_it_refuses_to_store() -> None:
    with pytest.raises(TypeError, match="only reads; int was not stored"):
        PLAIN.dumps_typed(1)


def test_no_class_is_imported_or_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module exists only while the value is stored: who imported it would fail, and the hook would see it."""
    module = python_types.ModuleType("vanished_app")
    monkeypatch.setitem(sys.modules, "vanished_app", module)
    exec(  # noqa: S102
        "import dataclasses, pydantic\n"
        "@dataclasses.dataclass\nclass State:\n    x: int\n"
        "class Answer(pydantic.BaseModel):\n    text: str\n",
        vars(module),
    )
    tag, data = SERDE.dumps_typed({"state": module.State(1), "answers": [module.Answer(text="yes")]})
    code = """
        import sys
        seen = []
        sys.addaudithook(lambda event, arguments: seen.append(arguments[0]) if event == "import" else None)
        from langgraph_checkpoint_rust.inspection import PlainSerializer, as_json, diff, redacted, types_in
        before, seen[:] = set(sys.modules), []
        value = PlainSerializer().loads_typed((sys.argv[1], bytes.fromhex(sys.argv[2])))
        print(sorted(types_in(value)), as_json(redacted(value)), diff(value, value))
        assert seen == [] and set(sys.modules) == before, seen
        """
    monkeypatch.delitem(sys.modules, "vanished_app")
    printed = run_python(code, tag, data.hex())
    assert printed.startswith("[('vanished_app', 'Answer'), ('vanished_app', 'State')] ")
    assert "'value': {'text': 'yes'}" in printed


def test_types_are_found_at_any_depth() -> None:
    value = {"a": [{"b": (HumanMessage("x"), {uuid.UUID(int=1)})}], "c": _DeltaSnapshot([Decimal(1)])}
    expected = {
        ("langchain_core.messages.human", "HumanMessage"),
        ("builtins", "set"),
        ("uuid", "UUID"),
        ("decimal", "Decimal"),
    }
    assert types_in(SERDE.dumps_typed(value)) == expected
    assert types_in(plain(value)) == expected
    assert types_in(["msgpack", b"\xc0"]) == set()


# --- rendering ---

JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.builds(StoredObject, st.text(), st.text(), inner)
    ),
    max_leaves=20,
)


@given(JSON_LIKE)
def test_json_of_anything_is_json(value: Any) -> None:
    rendered = as_json(value)
    assert json.loads(json.dumps(rendered, allow_nan=False)) == rendered


def test_json_has_a_form_for_everything() -> None:
    rendered = as_json(
        {"n": float("nan"), "s": _DeltaSnapshot([1]), "b": b"x" * 100, (1, 2): bytearray(b"y")}
    )
    assert rendered == {
        "n": "nan",
        "s": {"class": "DeltaSnapshot", "value": [1]},
        "b": {"bytes": 100, "starts": "78" * 16},
        "(1, 2)": {"bytes": 1, "starts": "79"},
    }


KEY = "a1" * 20
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


@pytest.mark.parametrize(
    "secret",
    [
        f"sk-{KEY}",
        f"sk-proj-{KEY}",
        f"sk-ant-api03-{KEY}",
        f"sk_live_{KEY}",
        f"ghp_{KEY}",
        f"github_pat_{KEY}",
        f"glpat-{KEY}",
        f"hf_{KEY}",
        "AKIAIOSFODNN7EXAMPLE",
        f"AIza{KEY}",
        f"xoxb-{KEY}",
        JWT,
        f"-----BEGIN RSA PRIVATE KEY-----\n{KEY}\n-----END RSA PRIVATE KEY-----",
        f"Bearer {KEY}",
        "ada:lovelace",
    ],
)
def test_a_secret_is_masked_by_its_shape(secret: str) -> None:
    text = f"postgresql://{secret}@host/db" if ":" in secret[:5] else f"Here it is: {secret}, keep it"
    masked = redacted({"note": [text]})["note"][0]
    assert masked == text.replace(secret, "***")
    assert redacted(text.encode()) == masked.encode()
    assert redacted({text: 1}) == {masked: 1}


@pytest.mark.parametrize(
    "name",
    ["password", "PASSWORD", "db_password", "token", "access_token", "accessToken", "api_key", "apiKey", "apikey",
     "openai_api_key", "X-API-Key", "Authorization", "client_secret", "Set-Cookie", "aws_secret_access_key",
     "private_key"],
)  # fmt: skip
def test_a_secret_is_masked_by_its_name(name: str) -> None:
    value = {name: {"a": ["x", 1, 1.5, None, True, ""]}, "headers": {name: b"x"}}
    assert redacted(value) == {name: {"a": ["***", "***", "***", None, True, ""]}, "headers": {name: b"***"}}
    assert redacted(f"set {name}=hunter2 and go") == f"set {name}=*** and go"
    assert redacted(json.dumps({name: "hunter2", "a": "b"})) == json.dumps({name: "***", "a": "b"})


@pytest.mark.parametrize(
    "name", ["max_tokens", "token_usage", "input_tokens", "monkey", "key", "keys", "secretary", "author"]
)
def test_other_names_are_not_masked(name: str) -> None:
    assert redacted({name: 5, "usage": {name: "x"}}) == {name: 5, "usage": {name: "x"}}


def test_objects_keep_their_shape() -> None:
    stored = plain(
        {"model": Model(name="x"), "old": _DeltaSnapshot([f"sk-{KEY}"]), "point": Point(1, f"ghp_{KEY}")}
    )
    shown = redacted(stored)
    assert shown["model"].value["secret"] == StoredObject("pydantic.types", "SecretStr", "***")
    assert shown["old"] == _DeltaSnapshot(["***"])
    assert shown["point"] == StoredObject(__name__, "Point", {"x": 1, "inner": "***"})


@given(JSON_LIKE)
def test_redaction_changes_no_shape(value: Any) -> None:
    def shape(found: Any) -> Any:
        if isinstance(found, StoredObject):
            return found.module, found.name, shape(found.value)
        if isinstance(found, dict):
            return [shape(item) for item in found.values()]
        return [shape(item) for item in found] if isinstance(found, list) else None

    assert shape(redacted(value)) == shape(value)


# --- comparison ---


def message(number: int, text: str = "x") -> StoredObject:
    return StoredObject("m", "Message", {"content": text, "id": str(number)})


def told(before: Any, after: Any) -> list[tuple[str, str]]:
    return [(change.where, change.kind) for change in diff(before, after)]


def test_one_appended_message_is_one_change() -> None:
    before = {"messages": [message(number) for number in range(300)]}
    after = {"messages": [*before["messages"], message(300)]}
    assert diff(before, after) == [Change(("messages", 300), "added", after=message(300))]
    assert told(after, before) == [("messages[300]", "removed")]


def test_a_window_that_moves_is_two_changes() -> None:
    before, after = [message(n) for n in range(50)], [message(n) for n in range(1, 51)]
    assert told(before, after) == [("[0]", "removed"), ("[49]", "added")]


def test_an_edited_message_is_a_change_of_its_field() -> None:
    before = [message(n) for n in range(5)]
    after = [*before[:2], message(2, "edited"), *before[3:], message(9)]
    assert diff(before, after) == [
        Change((2, "content"), "changed", "x", "edited"),
        Change((5,), "added", after=message(9)),
    ]


def test_another_message_at_its_place_is_another_message() -> None:
    assert told([message(1)], [message(2)]) == [("[0]", "removed"), ("[0]", "added")]
    assert told([message(1)], [StoredObject("m", "Other", {"id": "1"})]) == [
        ("[0]", "removed"),
        ("[0]", "added"),
    ]


def test_mappings_types_and_order() -> None:
    before, after = {"a": 1, "b": {"c": [1, 2]}, "d": True}, {"d": 1, "b": {"c": [1, 3]}, "e": None}
    assert told(before, after) == [("d", "changed"), ("b.c[1]", "changed"), ("e", "added"), ("a", "removed")]
    assert told({"a": 1, "b": 2}, {"b": 2, "a": 1}) == []
    assert told(1, 1.0) == [("", "changed")]
    assert told([float("nan")], [float("nan")]) == []


def test_long_lists_that_differ_throughout_are_compared_by_place() -> None:
    changes = diff(list(range(5000)), list(range(1, 5001)))
    assert len(changes) == 5000
    assert changes[0] == Change((0,), "changed", 0, 1)


def applied(before: Any, changes: list[Change]) -> Any:
    """The list after: removals from behind, then additions from the front."""
    result = list(before)
    for change in sorted((c for c in changes if c.kind == "removed"), key=lambda c: -int(c.path[0])):
        assert result.pop(int(change.path[0])) == change.before
    for change in sorted((c for c in changes if c.kind == "added"), key=lambda c: int(c.path[0])):
        result.insert(int(change.path[0]), change.after)
    for change in changes:
        if change.kind == "changed":
            result[int(change.path[0])] = change.after
    return result


@given(st.lists(st.integers(0, 5)), st.lists(st.integers(0, 5)))
def test_changes_of_a_list_lead_from_one_to_the_other(before: list[int], after: list[int]) -> None:
    assert applied(before, diff(before, after)) == after
