"""Which message classes behave as the fast path assumes: a fingerprint of each, from tested versions.

The fast path skips `model_dump()` and the constructor. What it assumes of a class is in its fields, defaults,
validators, serializers and constructors. All of that goes into a digest; a class with another digest than the
recorded ones uses the slow path. Docstrings and comments do not count, nor does the version of Python.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import inspect
import linecache
import logging
import textwrap
import types
import typing
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langgraph_checkpoint_rust._core import Codec

logger = logging.getLogger(__name__)

MESSAGES = "langchain_core.messages"
CLASSES: tuple[tuple[str, str], ...] = (
    (f"{MESSAGES}.human", "HumanMessage"),
    (f"{MESSAGES}.ai", "AIMessage"),
    (f"{MESSAGES}.tool", "ToolMessage"),
    (f"{MESSAGES}.system", "SystemMessage"),
    ("langchain_core.documents.base", "Document"),
    (f"{MESSAGES}.ai", "AIMessageChunk"),
    (f"{MESSAGES}.modifier", "RemoveMessage"),
    (f"{MESSAGES}.chat", "ChatMessage"),
    (f"{MESSAGES}.function", "FunctionMessage"),
    (f"{MESSAGES}.human", "HumanMessageChunk"),
    (f"{MESSAGES}.system", "SystemMessageChunk"),
    (f"{MESSAGES}.tool", "ToolMessageChunk"),
    (f"{MESSAGES}.chat", "ChatMessageChunk"),
    (f"{MESSAGES}.function", "FunctionMessageChunk"),
)

# Functions that validators call and whose result the shapes rely on.
_HELPERS = ("tool_call", "invalid_tool_call", "tool_call_chunk")
# Methods that the fast path replaces or that could see an instance being made.
_METHODS = (
    "__init__",
    "__new__",
    "__setattr__",
    "__getattribute__",
    "__del__",
    "model_dump",
    "model_post_init",
)
_DECORATORS = (
    "validators",
    "field_validators",
    "root_validators",
    "field_serializers",
    "model_serializers",
    "model_validators",
    "computed_fields",
)

# Recorded from langchain-core 1.2.31, 1.4.9, 1.6.13, 1.7.2, 1.7.7 and 1.8.2, the oldest first.
RECORDED: dict[str, frozenset[str]] = {
    "HumanMessage": frozenset({"00a8cef234a26bd2", "e3416438eeb3881f"}),
    "AIMessage": frozenset({"35c4d4ccd8116e95", "9eba593ce25bf8e6"}),
    "ToolMessage": frozenset({"f11ee3399c504cd6", "3a2c48de4366818c"}),
    "SystemMessage": frozenset({"3a4329600539c74b", "1c1810601d0652f2"}),
    "Document": frozenset({"d94d45419dba358f", "ea935f19442d6929"}),
    "AIMessageChunk": frozenset({"0ffa9c08f3f9068c", "412d6fcbc1d51618", "19d97786047dfd4d"}),
    "RemoveMessage": frozenset({"12455e3279919579", "7d7d55281cf9d695"}),
    "ChatMessage": frozenset({"3167bd38b1d43895", "cda0d5d1524ccb21"}),
    "FunctionMessage": frozenset({"2124ddac56eb2443", "b2cf32c2dff36701"}),
    "HumanMessageChunk": frozenset({"26b87051d21f3337", "2864aeffdfd93df6"}),
    "SystemMessageChunk": frozenset({"b0242b155b727466", "3a0d5f5ec49db7c9"}),
    "ToolMessageChunk": frozenset({"de9c48553ead8c23", "c7fb5dbb3444da83"}),
    "ChatMessageChunk": frozenset({"289a13ff05aaad65", "fef1767fac3a0805"}),
    "FunctionMessageChunk": frozenset({"4abb13ffc6581f34", "83c21fbb185d6681"}),
}


def digest(cls: type[BaseModel]) -> str:
    """Return the fingerprint of a class.

    Args:
        cls: A pydantic model class.

    Returns:
        Sixteen hexadecimal digits.

    Raises:
        OSError: The source of a method is not available.
    """
    return hashlib.sha256("\n".join(_describe(cls)).encode()).hexdigest()[:16]


def admitted() -> list[tuple[str, str, type[BaseModel]]]:
    """Return the classes whose fingerprint is a recorded one, as `(module, name, class)`.

    One debug line names the others.
    """
    found: list[tuple[str, str, type[BaseModel]]] = []
    others: list[str] = []
    for module, name in CLASSES:
        try:
            cls = getattr(importlib.import_module(module), name)
            known = digest(cls) in RECORDED.get(name, frozenset())
        except Exception:  # noqa: BLE001 - whatever is unexpected about a class means: not the fast path
            known = False
        if known:
            found.append((module, name, cls))
        else:
            others.append(name)
    if others:
        logger.debug("No fast path for %s: not as in the tested langchain-core versions", ", ".join(others))
    return found


def behaves(cls: type[BaseModel], codec: Codec, encode: Callable[[Any], bytes]) -> bool:
    """Whether a sample of a class is written and read natively as by `model_dump` and the constructor.

    The fingerprint covers the class; this covers the installed pydantic.

    Args:
        cls: An admitted class.
        codec: A codec that admits it.
        encode: Upstream's encoder.

    Returns:
        False also if the native path did not apply.
    """
    known = {"content": "c", "tool_call_id": "t", "role": "r", "name": "n", "id": "i", "page_content": "p"}
    given = {name: value for name, value in known.items() if name in cls.model_fields}
    if cls.__name__ == "RemoveMessage":
        del given["content"]
    try:
        message = cls(**given)
        blob = encode(message)
        read = codec.loads(blob, _refuse, True)
        made = cls(**message.model_dump())
    except Exception:
        logger.debug("No fast path for %s: a sample failed", cls.__name__, exc_info=True)
        return False
    return (
        codec.dumps(message) == blob
        and all(
            repr(getattr(read, name)) == repr(getattr(made, name))
            and type(getattr(read, name)) is type(getattr(made, name))
            and getattr(read, name) == getattr(made, name)
            for name in ("__dict__", "__pydantic_extra__", "__pydantic_private__")
        )
        and read.__pydantic_fields_set__ == made.__pydantic_fields_set__
        and type(read) is type(made)
    )


def _refuse(code: int, data: bytes) -> Any:
    raise TypeError(code, data)


def _describe(cls: type[BaseModel]) -> Iterator[str]:
    yield f"class {cls.__module__}.{cls.__name__}"
    yield f"config {sorted(cls.model_config.items())!r}"
    for name, field in cls.model_fields.items():
        yield (
            f"field {name}: {_type(field.annotation)} required={field.is_required()} "
            f"default={field.default!r} factory={field.default_factory!r} alias={field.alias!r} "
            f"{field.validation_alias!r} {field.serialization_alias!r} exclude={field.exclude!r} "
            f"init={field.init!r} frozen={field.frozen!r} metadata={field.metadata!r}"
        )
    decorators = cls.__pydantic_decorators__
    for kind in _DECORATORS:
        for name, decorator in getattr(decorators, kind).items():
            yield f"{kind} {name} {decorator.info!r}\n{_source(decorator.func)}"
    yield f"post init {cls.__pydantic_post_init__!r}, private {sorted(cls.__private_attributes__)!r}"
    for base in cls.__mro__:
        if base is BaseModel:
            break
        yield f"base {base.__module__}.{base.__name__}"
        yield f"slots {base.__dict__.get('__slots__')!r}"
        for name in _METHODS:
            if name in base.__dict__:
                yield _source(base.__dict__[name])
    helpers = importlib.import_module(f"{MESSAGES}.tool")
    for name in _HELPERS:
        yield _source(getattr(helpers, name))


def _type(annotation: Any) -> str:
    """A description of a type that is the same in every version of Python."""
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return f"union({', '.join(_type(part) for part in typing.get_args(annotation))})"
    if origin is typing.Literal:
        return f"literal{typing.get_args(annotation)!r}"
    if origin is not None:
        return f"{origin.__name__}({', '.join(_type(part) for part in typing.get_args(annotation))})"
    if isinstance(annotation, type) and hasattr(annotation, "__required_keys__"):
        hints = typing.get_type_hints(annotation)
        keys = ", ".join(
            f"{key}{'' if key in annotation.__required_keys__ else '?'}: {_type(hint)}"
            for key, hint in hints.items()
        )
        config = getattr(annotation, "__pydantic_config__", None)
        return f"{annotation.__name__}{{{keys}}}{config!r}"
    return "Any" if annotation is Any else getattr(annotation, "__qualname__", repr(annotation))


@functools.cache
def _source(function: Any) -> str:
    """The source of a function without docstrings, comments and blank lines."""
    code = getattr(function, "__func__", function).__code__
    # Not `inspect.getsource`, which searches all loaded modules: 130 ms instead of 20 for all classes.
    rest = linecache.getlines(code.co_filename)[code.co_firstlineno - 1 :]
    source = textwrap.dedent("".join(inspect.getblock(rest)))
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef):
            continue
        first = node.body[0]
        if (
            isinstance(first, ast.Expr)
            and isinstance(first.value, ast.Constant)
            and isinstance(first.value.value, str)
        ):
            for number in range(first.lineno - 1, first.end_lineno or first.lineno):
                lines[number] = ""
    return "\n".join(line.rstrip() for line in lines if line.strip() and not line.strip().startswith("#"))
