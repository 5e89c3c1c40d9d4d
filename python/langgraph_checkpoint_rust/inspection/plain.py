"""Stored bytes to plain values: what LangGraph's serializers wrote, without importing a class."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

import ormsgpack
from langgraph.checkpoint.serde import jsonplus
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import _DeltaSnapshot

_MOST_DEPTH = 100
"""Objects within objects. Deeper ones would end the interpreter's own recursion."""
_REVIVED = (1, 2)
"""The versions of LangChain's JSON envelopes."""


@dataclass(frozen=True)
class StoredObject:
    """An object as it is stored: the class by name, and what it would be made from.

    Attributes:
        module: The module of the class.
        name: The class.
        value: The arguments, as plain values: a mapping of keyword arguments or fields, a list of positional
            ones, or the only one.

    Example:
        >>> from langgraph_checkpoint_rust.inspection import StoredObject
        >>> StoredObject("langchain_core.messages.human", "HumanMessage", {"content": "hello"})
        HumanMessage(content='hello')
    """

    module: str
    name: str
    value: Any

    def __repr__(self) -> str:
        if isinstance(self.value, dict):
            arguments = ", ".join(f"{key}={value!r}" for key, value in self.value.items())
        else:
            arguments = repr(self.value)
        return f"{self.name}({arguments})"


@dataclass(frozen=True)
class Unreadable:
    """What only its own serializer can read: pickled, encrypted or damaged data.

    Attributes:
        tag: The serializer's tag.
        data: The bytes. Not shown.

    Example:
        >>> from langgraph_checkpoint_rust.inspection import Unreadable
        >>> Unreadable("pickle", b"...")
        Unreadable(tag='pickle', 3 bytes)
    """

    tag: str
    data: bytes = field(repr=False)

    def __repr__(self) -> str:
        return f"Unreadable(tag={self.tag!r}, {len(self.data)} bytes)"


class PlainSerializer(SerializerProtocol):
    r"""Reads what any of LangGraph's serializers stored, and imports and calls no class that it names.

    Objects become `StoredObject`s; what cannot be decoded becomes `Unreadable`. A saver with this serializer
    reads everything and stores nothing.

    Example:
        >>> from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
        >>> from langgraph_checkpoint_rust.inspection import PlainSerializer
        >>> stored = JsonPlusSerializer().dumps_typed({"tags": {"a"}})
        >>> PlainSerializer().loads_typed(stored)
        {'tags': set(['a'])}
        >>> PlainSerializer().loads_typed(("pickle", b"..."))
        Unreadable(tag='pickle', 3 bytes)
    """

    def dumps_typed(self, obj: Any) -> NoReturn:
        """Refuses.

        Args:
            obj: The object.

        Raises:
            TypeError: Always.
        """
        raise TypeError(f"a PlainSerializer only reads; {type(obj).__name__} was not stored")

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """Decodes a stored value.

        Args:
            data: The tag and the bytes, as they are stored.

        Returns:
            `None`, numbers, texts, bytes, lists and dicts, with `StoredObject`s and `Unreadable`s in them.
        """
        tag, content = data
        if tag == "null":
            return None
        if tag == "bytes":
            return content
        if tag == "bytearray":
            return bytearray(content)
        try:
            if tag == "msgpack":
                return _unpacked(content, 0)
            if tag == "json":
                return json.loads(content, object_hook=_from_envelope)
        except (ValueError, RecursionError):
            pass
        return Unreadable(str(tag), _bytes_of(content))


def _unpacked(data: bytes, depth: int) -> Any:
    return ormsgpack.unpackb(
        data, ext_hook=partial(_from_extension, depth=depth + 1), option=ormsgpack.OPT_NON_STR_KEYS
    )


def _from_extension(code: int, data: bytes, *, depth: int) -> Any:
    """An object, by the codes of `JsonPlusSerializer`: each holds a module, a class and arguments."""
    if depth > _MOST_DEPTH:
        return Unreadable(f"extension {code}", data)
    try:
        content = _unpacked(data, depth)
    except ValueError:
        return Unreadable(f"extension {code}", data)
    match code, content:
        case jsonplus.EXT_DELTA_SNAPSHOT, _:
            return _DeltaSnapshot(content)
        case jsonplus.EXT_NUMPY_ARRAY, [dtype, shape, order, buffer]:
            fields = {"dtype": dtype, "shape": shape, "order": order, "data": buffer}
            return StoredObject("numpy", "ndarray", fields)
        case (
            (
                jsonplus.EXT_CONSTRUCTOR_SINGLE_ARG
                | jsonplus.EXT_CONSTRUCTOR_POS_ARGS
                | jsonplus.EXT_CONSTRUCTOR_KW_ARGS
                | jsonplus.EXT_METHOD_SINGLE_ARG
                | jsonplus.EXT_PYDANTIC_V1
                | jsonplus.EXT_PYDANTIC_V2
            ),
            [str(module), str(name), value, *_],
        ):
            return StoredObject(module, name, value)
    return Unreadable(f"extension {code}", data)


def _from_envelope(value: dict[str, Any]) -> Any:
    """An object that an old `json` row, or LangChain's `dumpd`, describes."""
    match value:
        case {"lc": version, "type": "constructor", "id": [*module, str(name)]} if version in _REVIVED:
            arguments = value.get("kwargs") or value.get("args") or {}
            return StoredObject(".".join(map(str, module)), name, arguments)
    return value


def _bytes_of(content: Any) -> bytes:
    return content.encode("utf-8", "surrogatepass") if isinstance(content, str) else bytes(content or b"")
