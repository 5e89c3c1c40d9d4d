"""Messages, both directions: what takes the fast path, and the planted values for which it would be wrong."""

# ruff: noqa: DTZ001 - states hold naive datetimes too
# mypy: disable-error-code="call-arg, attr-defined"

from __future__ import annotations

import copy
import enum
import gc
import uuid
import warnings
import weakref
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from pydantic import BaseModel, ConfigDict
from serde_support import (
    BAD_CALL,
    CALL,
    FAST,
    MESSAGES,
    RUST,
    USAGE,
    check,
    check_dumps,
    check_loads,
    reads_fast,
    same,
    stored_message,
    writes_fast,
)


@pytest.mark.parametrize("name", MESSAGES)
def test_usual_message_takes_the_fast_path_both_ways(name: str) -> None:
    message = MESSAGES[name]
    typed = check_dumps(message)
    assert typed is not None
    check_loads(typed)
    assert writes_fast(message)
    assert reads_fast(typed)


@pytest.mark.parametrize("name", MESSAGES)
def test_read_message_is_independent_and_behaves_like_a_constructed_one(name: str) -> None:
    typed = RUST.dumps_typed([MESSAGES[name], MESSAGES[name]])
    first, second = RUST.loads_typed(typed)
    untouched = copy.deepcopy(second)
    for value in first.__dict__.values():
        if isinstance(value, dict):
            value["new"] = 1
        elif isinstance(value, list):
            value.append("new")
    first.__pydantic_fields_set__.clear()
    if first.__pydantic_extra__ is not None:
        first.__pydantic_extra__["more"] = 1
    assert same(second, untouched)
    assert second.model_copy(deep=True) == second
    assert type(second).model_validate(second.model_dump()) == second
    assert "content" in repr(second) or "page_content" in repr(second)
    second.id = "changed"
    assert second.id == "changed"


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Color(str, enum.Enum):
    RED = "red"


class Model(BaseModel):
    a: int = 1


class Extra(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int = 1


@dataclass
class Data:
    a: int = 1


def deep(levels: int) -> Any:
    value: Any = "end"
    for level in range(levels):
        value = [value] if level % 2 else {"k": value}
    return value


ODD_VALUES: dict[str, Any] = {
    "str_subclass": Text("x"),
    "int_subclass": Number(3),
    "str_enum": Color.RED,
    "model": Model(),
    "extra_model": Extra(a=2, b=3),
    "message": HumanMessage("inner"),
    "document": Document("inner"),
    "dataclass": Data(),
    "set": {1},
    "frozenset": frozenset({"a"}),
    "tuple": (1, (2, "x")),
    "bytes": b"\x00\xff",
    "bytearray": bytearray(b"x"),
    "uuid": uuid.UUID(int=7),
    "datetime": datetime(2024, 1, 2, 3, 4, 5, 6),
    "array": np.arange(3),
    "scalar": np.float64(1.5),
    "surrogate": "a\ud800b",
    "big": 2**63,
    "too_big": 2**64,
    "too_small": -(2**63) - 1,
    "nan": float("nan"),
    "int_keys": {1: "a", 2: {"b": 3}},
    "mixed_keys": {None: 1, True: 2, 1.5: 3, (1, "a"): 4},
    "str_subclass_key": {Text("k"): 1},
    "surrogate_key": {"\ud800": 1},
    "generator": iter([1, 2]),
    "object": object(),
    "class": int,
    "deep_63": deep(63),
    "deep_64": deep(64),
    "deep_66": deep(66),
    "deep_200": deep(200),
    "deep_260": deep(260),
    "range": range(3),
    "complex": 1j,
}


@pytest.mark.parametrize("place", ["kwargs", "metadata", "artifact", "args", "block", "document"])
@pytest.mark.parametrize("name", ODD_VALUES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_odd_value_inside_a_message(name: str, place: str) -> None:
    def make(value: Any) -> Any:
        match place:
            case "kwargs":
                message: Any = HumanMessage("x")
                message.additional_kwargs = {"v": value}
            case "metadata":
                message = AIMessage("x")
                message.response_metadata = {"l": [value]}
            case "artifact":
                message = ToolMessage("x", tool_call_id="1")
                message.artifact = value
            case "args":
                message = AIMessage("x", tool_calls=[CALL])
                message.tool_calls[0]["args"] = {"v": value}
            case "block":
                message = HumanMessage([{"type": "text", "v": 1}])
                message.content = [{"type": "text", "v": value}]
            case _:
                message = Document("x")
                message.metadata = {"v": value}
        return message

    value = ODD_VALUES[name]
    if name == "generator":
        # Consumed by the first reader: each serializer gets its own.
        from serde_support import UPSTREAM, outcome

        theirs = outcome(UPSTREAM.dumps_typed, make(iter([1, 2])))
        ours = outcome(RUST.dumps_typed, make(iter([1, 2])))
        assert theirs[0] == ours[0]
        return
    check(make(value))


CHANGED: dict[str, tuple[BaseMessage | Document, dict[str, Any]]] = {
    "int_id": (HumanMessage("x"), {"id": 5}),
    "bool_id": (HumanMessage("x"), {"id": True}),
    "float_id": (HumanMessage("x"), {"id": 1.5}),
    "uuid_id": (HumanMessage("x"), {"id": uuid.UUID(int=1)}),
    "subclass_id": (HumanMessage("x"), {"id": Text("i")}),
    "int_name": (HumanMessage("x"), {"name": 5}),
    "tuple_content": (HumanMessage("x"), {"content": ("a", {"b": 1})}),
    "none_content": (HumanMessage("x"), {"content": None}),
    "int_content": (HumanMessage("x"), {"content": 5}),
    "nested_list_content": (HumanMessage("x"), {"content": [["a"]]}),
    "int_in_content": (HumanMessage("x"), {"content": ["a", 5]}),
    "subclass_content": (HumanMessage("x"), {"content": Text("x")}),
    "enum_content": (HumanMessage("x"), {"content": Color.RED}),
    "surrogate_content": (HumanMessage("x"), {"content": "\ud800"}),
    "kwargs_none": (HumanMessage("x"), {"additional_kwargs": None}),
    "kwargs_list": (HumanMessage("x"), {"additional_kwargs": []}),
    "wrong_type": (HumanMessage("x"), {"type": "ai"}),
    "subclass_type": (HumanMessage("x"), {"type": Text("human")}),
    "kwargs_calls": (
        AIMessage("x"),
        {"additional_kwargs": {"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}},
    ),
    "kwargs_no_calls": (AIMessage("x"), {"additional_kwargs": {"tool_calls": []}}),
    "kwargs_odd_calls": (AIMessage("x"), {"additional_kwargs": {"tool_calls": 5}}),
    "kwargs_calls_with_calls": (
        AIMessage("x"),
        {
            "tool_calls": [CALL],
            "additional_kwargs": {"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
        },
    ),
    "kwargs_calls_with_bad_calls": (
        AIMessage("x"),
        {
            "invalid_tool_calls": [BAD_CALL],
            "additional_kwargs": {"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
        },
    ),
    "kwargs_calls_of_human": (HumanMessage("x"), {"additional_kwargs": {"tool_calls": [{"id": "1"}]}}),
    "call_extras": (AIMessage("x"), {"tool_calls": [{**CALL, "extras": {"sig": 1}}]}),
    "call_order": (AIMessage("x"), {"tool_calls": [dict(reversed(CALL.items()))]}),
    "call_type": (AIMessage("x"), {"tool_calls": [{**CALL, "type": "tool"}]}),
    "call_no_type": (AIMessage("x"), {"tool_calls": [{k: v for k, v in CALL.items() if k != "type"}]}),
    "call_no_id": (AIMessage("x"), {"tool_calls": [{k: v for k, v in CALL.items() if k != "id"}]}),
    "call_int_id": (AIMessage("x"), {"tool_calls": [{**CALL, "id": 5}]}),
    "call_none_name": (AIMessage("x"), {"tool_calls": [{**CALL, "name": None}]}),
    "call_args_text": (AIMessage("x"), {"tool_calls": [{**CALL, "args": "{}"}]}),
    "call_args_none": (AIMessage("x"), {"tool_calls": [{**CALL, "args": None}]}),
    "call_args_int_keys": (AIMessage("x"), {"tool_calls": [{**CALL, "args": {1: 2}}]}),
    "call_is_model": (AIMessage("x"), {"tool_calls": [Model()]}),
    "calls_tuple": (AIMessage("x"), {"tool_calls": (CALL,)}),
    "calls_none": (AIMessage("x"), {"tool_calls": None}),
    "bad_call_order": (AIMessage("x"), {"invalid_tool_calls": [dict(reversed(BAD_CALL.items()))]}),
    "bad_call_index": (AIMessage("x"), {"invalid_tool_calls": [{**BAD_CALL, "index": 1}]}),
    "bad_call_nones": (
        AIMessage("x"),
        {
            "invalid_tool_calls": [
                {"type": "invalid_tool_call", "id": None, "name": None, "args": None, "error": None}
            ]
        },
    ),
    "usage_float": (AIMessage("x"), {"usage_metadata": {**USAGE, "input_tokens": 1.0}}),
    "usage_true": (AIMessage("x"), {"usage_metadata": {**USAGE, "input_tokens": True}}),
    "usage_text": (AIMessage("x"), {"usage_metadata": {**USAGE, "input_tokens": "1"}}),
    "usage_none": (AIMessage("x"), {"usage_metadata": {**USAGE, "input_tokens": None}}),
    "usage_subclass": (AIMessage("x"), {"usage_metadata": {**USAGE, "input_tokens": Number(3)}}),
    "usage_order": (AIMessage("x"), {"usage_metadata": dict(reversed(USAGE.items()))}),
    "usage_missing": (AIMessage("x"), {"usage_metadata": {"input_tokens": 1}}),
    "usage_unknown": (AIMessage("x"), {"usage_metadata": {**USAGE, "cost": 1}}),
    "usage_empty": (AIMessage("x"), {"usage_metadata": {}}),
    "usage_detail_order": (
        AIMessage("x"),
        {"usage_metadata": {**USAGE, "input_token_details": {"cache_read": 1, "audio": 2}}},
    ),
    "usage_detail_unknown": (
        AIMessage("x"),
        {"usage_metadata": {**USAGE, "input_token_details": {"audio": 1, "ephemeral_5m_input_tokens": 2}}},
    ),
    "usage_detail_float": (
        AIMessage("x"),
        {"usage_metadata": {**USAGE, "output_token_details": {"audio": 1.0}}},
    ),
    "usage_detail_some": (
        AIMessage("x"),
        {"usage_metadata": {**USAGE, "input_token_details": {"cache_read": 1}}},
    ),
    "usage_detail_none": (AIMessage("x"), {"usage_metadata": {**USAGE, "input_token_details": None}}),
    "usage_detail_swapped": (
        AIMessage("x"),
        {
            "usage_metadata": {
                "input_tokens": 1,
                "output_tokens": 1,
                "total_tokens": 2,
                "output_token_details": {},
                "input_token_details": {},
            }
        },
    ),
    "usage_big": (AIMessage("x"), {"usage_metadata": {**USAGE, "input_tokens": 2**63}}),
    "tool_id_int": (ToolMessage("x", tool_call_id="1"), {"tool_call_id": 5}),
    "tool_id_uuid": (ToolMessage("x", tool_call_id="1"), {"tool_call_id": uuid.UUID(int=5)}),
    "tool_id_none": (ToolMessage("x", tool_call_id="1"), {"tool_call_id": None}),
    "tool_status": (ToolMessage("x", tool_call_id="1"), {"status": "odd"}),
    "tool_content_list": (ToolMessage("x", tool_call_id="1"), {"content": [1, "a", {"b": 2}]}),
    "tool_content_dict": (ToolMessage("x", tool_call_id="1"), {"content": {"b": 2}}),
    "remove_content": (RemoveMessage(id="1"), {"content": "text"}),
    "remove_content_list": (RemoveMessage(id="1"), {"content": []}),
    "remove_id_none": (RemoveMessage(id="1"), {"id": None}),
    "function_name_none": (FunctionMessage("x", name="f"), {"name": None}),
    "role_int": (ChatMessage("x", role="r"), {"role": 5}),
    "chunk_calls": (AIMessageChunk("x"), {"tool_calls": [CALL]}),
    "chunk_bad_calls": (AIMessageChunk("x"), {"invalid_tool_calls": [BAD_CALL]}),
    "chunk_chunks": (
        AIMessageChunk("x"),
        {
            "tool_call_chunks": [
                {"name": "f", "args": '{"a": 1}', "id": "1", "index": 0, "type": "tool_call_chunk"}
            ]
        },
    ),
    "chunk_kwargs_calls": (
        AIMessageChunk("x"),
        {
            "additional_kwargs": {
                "tool_calls": [{"index": 0, "id": "1", "function": {"name": "f", "arguments": "{"}}]
            }
        },
    ),
    "chunk_last_server_call": (
        AIMessageChunk("x"),
        {
            "content": [{"type": "server_tool_call_chunk", "args": '{"q": 1}'}],
            "response_metadata": {"output_version": "v1"},
            "chunk_position": "last",
        },
    ),
    "chunk_position_odd": (AIMessageChunk("x"), {"chunk_position": "first"}),
    "document_id_int": (Document("x"), {"id": 5}),
    "document_content": (Document("x"), {"page_content": 5}),
    "document_metadata": (Document("x"), {"metadata": None}),
    "document_type": (Document("x"), {"type": "doc"}),
}


@pytest.mark.parametrize("name", CHANGED)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_changed_field_is_written_like_upstream(name: str) -> None:
    message, changes = CHANGED[name]
    message = copy.deepcopy(message)
    for field, value in changes.items():
        message.__dict__[field] = value
    check(message)


@pytest.mark.parametrize("name", CHANGED)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_changed_field_is_read_like_upstream(name: str) -> None:
    message, changes = CHANGED[name]
    fields = {**message.model_dump(), **changes}
    check_loads(stored_message(type(message), fields))


MUST_READ_SLOWLY = [
    "int_id",
    "int_in_content",
    "wrong_type",
    "kwargs_calls",
    "call_extras",
    "call_order",
    "call_type",
    "usage_float",
    "usage_true",
    "usage_order",
    "usage_unknown",
    "usage_detail_order",
    "usage_detail_unknown",
    "remove_content",
    "chunk_calls",
    "chunk_last_server_call",
    "tool_status",
]


@pytest.mark.parametrize("name", MUST_READ_SLOWLY)
def test_value_that_validation_changes_is_not_read_fast(name: str) -> None:
    message, changes = CHANGED[name]
    assert not reads_fast(stored_message(type(message), {**message.model_dump(), **changes}))


SHAPES_OF_PAYLOADS: dict[str, Any] = {
    "reordered": dict(reversed(HumanMessage("x").model_dump().items())),
    "missing": {"content": "x"},
    "missing_content": {"type": "human"},
    "extra": {**HumanMessage("x").model_dump(), "more": 1},
    "extra_first": {"more": 1, **HumanMessage("x").model_dump()},
    "blocks": {**HumanMessage("x").model_dump(), "content_blocks": [{"type": "text", "text": "t"}]},
    "empty": {},
    "list": ["content"],
    "none": None,
    "int_keys": {1: 2},
}


@pytest.mark.parametrize("name", SHAPES_OF_PAYLOADS)
@pytest.mark.parametrize("cls", [HumanMessage, AIMessage, SystemMessage, Document])
def test_payload_of_another_shape(name: str, cls: type[BaseModel]) -> None:
    check_loads(stored_message(cls, SHAPES_OF_PAYLOADS[name]))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_instance_that_is_not_as_constructed() -> None:
    extra = HumanMessage("x", more=1, other=[1])
    check(extra)
    assert not writes_fast(extra)
    assigned = HumanMessage("x")
    assigned.later = {"a": 1}
    check(assigned)
    constructed = HumanMessage.model_construct(content="x")
    check(constructed)
    part = HumanMessage.model_construct(id="1", content="x", type="human")
    check(part)
    lacking = HumanMessage("x")
    del lacking.__dict__["name"]
    check(lacking)
    reordered = HumanMessage("x")
    reordered.__dict__["content"] = reordered.__dict__.pop("content")
    check(reordered)
    bare = HumanMessage.__new__(HumanMessage)
    check(bare)
    intruder = HumanMessage("x")
    intruder.__dict__["model_dump"] = dict
    check(intruder)


class OwnMessage(HumanMessage):
    pass


class OwnDump(AIMessage):
    def model_dump(self, **kwargs: Any) -> Any:
        return {"content": "dumped"}


def test_subclass_of_a_message_goes_to_upstream() -> None:
    for message in (OwnMessage("x"), OwnDump("x")):
        assert not writes_fast(message)
        check(message)


@pytest.mark.parametrize("cls", [HumanMessage, AIMessage, ToolMessage, Document])
def test_cycle_inside_a_message_is_refused_as_upstream_does(cls: type[BaseModel]) -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    message: Any = copy.deepcopy({type(m): m for m in MESSAGES.values()}[cls])
    if cls is Document:
        message.metadata = loop
    else:
        message.additional_kwargs = loop
    assert check_dumps([message]) is None


def test_warning_of_model_dump_is_not_lost() -> None:
    message = HumanMessage("x")
    message.id = 5  # type: ignore[assignment]
    with pytest.warns(UserWarning, match="Pydantic"):
        RUST.dumps_typed(message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RUST.dumps_typed(HumanMessage("x"))


def test_messages_nested_in_messages_are_read_by_the_hook() -> None:
    fields = {**HumanMessage("x").model_dump(), "additional_kwargs": {"inner": HumanMessage("y")}}
    typed = stored_message(HumanMessage, fields)
    assert not reads_fast(typed)
    assert check_loads(typed).additional_kwargs["inner"].content == "y"


def test_truncated_message_payloads() -> None:
    import ormsgpack

    typed = RUST.dumps_typed(MESSAGES["ai_calls"])
    payload = ormsgpack.unpackb(typed[1], ext_hook=lambda code, data: data)
    for length in range(len(payload)):
        check_loads(("msgpack", ormsgpack.packb(ormsgpack.Ext(5, payload[:length]))))
    check_loads(("msgpack", ormsgpack.packb(ormsgpack.Ext(5, payload + b"\x01"))))


def test_a_cycle_through_a_read_message_is_collected() -> None:
    """The set of its field names is unknown to the collector; all that can be part of a cycle is known."""
    read = RUST.loads_typed(RUST.dumps_typed(AIMessage("x", tool_calls=[CALL])))
    assert not gc.is_tracked(read.model_fields_set)
    for place in (read.additional_kwargs, read.response_metadata, read.tool_calls[0]["args"]):
        place["cycle"] = read
    read.tool_calls.append(read)
    freed: list[int] = []
    read.additional_kwargs["end"] = weakref.WeakSet()
    weakref.finalize(read.additional_kwargs["end"], freed.append, 1)
    del read, place
    gc.collect()
    assert freed == [1]


def test_strings_that_repeat_are_one_object_and_are_not_interned() -> None:
    blob = b"\x93\xa6qzxjkv\xa6qzxjkv\xda\x01\x00" + b"x" * 256
    first, second, _ = FAST.loads(blob, None, True)
    assert first is second
    assert FAST.loads(blob, None, True)[0] is not first
