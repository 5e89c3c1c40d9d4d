"""What the serializer tests share: strict equality, outcomes, and codecs that refuse the slow path."""

# mypy: disable-error-code="call-arg, arg-type"

from __future__ import annotations

import dataclasses
import struct
from collections import deque
from decimal import Decimal
from enum import EnumMeta
from typing import Any

import numpy as np
import ormsgpack
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)
from langgraph.checkpoint.serde import jsonplus
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Send
from pydantic import BaseModel

from langgraph_checkpoint_rust import _fingerprint
from langgraph_checkpoint_rust._core import Codec
from langgraph_checkpoint_rust.serde import RustSerializer

UPSTREAM = JsonPlusSerializer()
RUST = RustSerializer()


def same(left: Any, right: Any) -> bool:
    """Equality that sees types, key order, NaN, the sign of zero, and what a model keeps beside its fields."""
    pending = [(left, right)]
    while pending:
        left, right = pending.pop()
        if type(left) is not type(right):
            return False
        parts = _parts(left), _parts(right)
        if parts[0] is None or parts[1] is None:
            if not _same_leaf(left, right):
                return False
        elif len(parts[0]) != len(parts[1]):
            return False
        else:
            pending.extend(zip(parts[0], parts[1], strict=True))
    return True


def _parts(value: Any) -> list[Any] | None:  # noqa: PLR0911
    if isinstance(value, BaseModel):
        extra, private = value.__pydantic_extra__, value.__pydantic_private__
        return [value.__dict__, value.__pydantic_fields_set__, extra, private]
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple, deque)):
        return list(value)
    if isinstance(value, Send):
        return [value.node, value.arg]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    if isinstance(value, np.ndarray) and value.dtype == object:
        return [value.shape, *value.ravel()]
    return None


def _same_leaf(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray):
        return bool(
            left.dtype == right.dtype
            and left.shape == right.shape
            and left.tobytes() == right.tobytes()
            and left.flags.f_contiguous == right.flags.f_contiguous
            and left.flags.writeable == right.flags.writeable
        )
    if isinstance(left, float):
        return struct.pack(">d", left) == struct.pack(">d", right)
    if isinstance(left, Decimal):
        return bool(left.compare_total(right) == 0)
    if isinstance(left, (set, frozenset)):
        # A NaN equals nothing, and order is not ours to keep.
        return sorted(map(repr, left)) == sorted(map(repr, right))
    return bool(left == right)


def outcome(function: Any, *args: Any) -> tuple[str, Any]:
    try:
        return "value", function(*args)
    except Exception as error:
        return "error", error


def check_dumps(value: Any) -> tuple[str, bytes] | None:
    """Both serializers write the same bytes, or both refuse and ours with upstream's type."""
    theirs, ours = outcome(UPSTREAM.dumps_typed, value), outcome(RUST.dumps_typed, value)
    assert theirs[0] == ours[0], (theirs, ours)
    if theirs[0] == "error":
        assert isinstance(ours[1], type(theirs[1])), (theirs, ours)
        return None
    assert theirs[1] == ours[1]
    typed: tuple[str, bytes] = theirs[1]
    return typed


def check_loads(typed: tuple[str, bytes], theirs: Any = UPSTREAM, ours: Any = RUST) -> Any:
    """Both serializers read the same objects, or both refuse and ours with upstream's type."""
    expected, got = outcome(theirs.loads_typed, typed), outcome(ours.loads_typed, typed)
    assert expected[0] == got[0], (expected, got)
    if expected[0] == "error":
        assert isinstance(got[1], type(expected[1])), (expected, got)
        return None
    assert same(expected[1], got[1]), (expected[1], got[1])
    return got[1]


def check(value: Any) -> None:
    typed = check_dumps(value)
    if typed is not None:
        check_loads(typed)


def pack(value: Any) -> bytes:
    return jsonplus._msgpack_enc(value)


def stored_model(module: str, name: str, fields: Any, method: str = "model_validate_json") -> bytes:
    """A blob with one pydantic extension, whatever is in it."""
    return ormsgpack.packb(ormsgpack.Ext(5, pack((module, name, fields, method))))


def stored_message(cls: type[BaseModel], fields: Any) -> tuple[str, bytes]:
    return "msgpack", stored_model(cls.__module__, cls.__name__, fields)


def _refuse(*args: Any) -> Any:
    raise AssertionError("the slow path ran")


FAST = Codec(
    default=_refuse,
    packb=_refuse,
    leaves=[],
    enum_meta=EnumMeta,
    classes=_fingerprint.admitted(),
    safe=[],
    modules={},
    watched=[],
    pause_gc=False,
)


def writes_fast(value: Any) -> bool:
    try:
        FAST.dumps(value)
    except TypeError:
        return False
    return True


def reads_fast(typed: tuple[str, bytes]) -> bool:
    try:
        FAST.loads(typed[1], _refuse, True)
    except ValueError:
        return False
    return True


CALL = {
    "name": "search",
    "args": {"q": "x", "n": 1, "deep": {"l": [1, None]}},
    "id": "c1",
    "type": "tool_call",
}
BAD_CALL = {"type": "invalid_tool_call", "id": "c2", "name": "s", "args": "{", "error": "no json"}
USAGE = {
    "input_tokens": 3,
    "output_tokens": 4,
    "total_tokens": 7,
    "input_token_details": {"audio": 0, "cache_creation": 1, "cache_read": 2},
    "output_token_details": {"audio": 0, "reasoning": 4},
}
BLOCKS = [
    "intro",
    {"type": "text", "text": "what is this?"},
    {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64," + "iVBORw0KGgo" * 20, "detail": "low"},
    },
]

MESSAGES: dict[str, BaseModel] = {
    "human": HumanMessage("hello", id="1"),
    "human_named": HumanMessage("hellö 🙂", name="ann", additional_kwargs={"a": [1, 2.5, None, True]}),
    "human_blocks": HumanMessage(BLOCKS),
    "human_chunk": HumanMessageChunk("he"),
    "ai": AIMessage(
        "hi", response_metadata={"model": "m", "logprobs": {"content": [{"token": "a", "p": -0.5}]}}
    ),
    "ai_calls": AIMessage("", tool_calls=[CALL, {**CALL, "id": None}], usage_metadata=USAGE, id="run-1"),
    "ai_bad_calls": AIMessage("", invalid_tool_calls=[BAD_CALL]),
    "ai_usage": AIMessage("x", usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}),
    "ai_blocks": AIMessage([{"type": "text", "text": "t"}, {"type": "tool_use", "id": "1", "input": {}}]),
    "ai_chunk": AIMessageChunk("he"),
    "ai_last_chunk": AIMessageChunk("he", chunk_position="last", usage_metadata=USAGE),
    "system": SystemMessage("be kind"),
    "system_chunk": SystemMessageChunk("be"),
    "tool": ToolMessage("42", tool_call_id="c1"),
    "tool_artifact": ToolMessage(
        "42", tool_call_id="c1", artifact={"rows": [[1, "a"], [2, "b"]]}, status="error"
    ),
    "tool_list_artifact": ToolMessage(["a", {"b": 1}], tool_call_id="c1", artifact=[1, None]),
    "tool_text_artifact": ToolMessage("42", tool_call_id="c1", artifact="raw", name="search"),
    "tool_chunk": ToolMessageChunk("4", tool_call_id="c1"),
    "chat": ChatMessage("hey", role="critic"),
    "chat_chunk": ChatMessageChunk("hey", role="critic"),
    "function": FunctionMessage("1", name="f"),
    "function_chunk": FunctionMessageChunk("1", name="f"),
    "remove": RemoveMessage(id="1"),
    "document": Document("page", metadata={"source": "s", "n": 1}, id="d"),
    "document_bare": Document("page"),
}
