"""Upstream's own encoding and decoding functions, with their nested calls led back to the native codec.

`_msgpack_default` and the extension hook of `JsonPlusSerializer` say what each type means in a checkpoint.
They stay the owner of that: the very same code runs here, as a copy whose globals differ in one name, the
function that it calls for the parts of an object. Whatever is not as expected means `None`: the caller then
uses upstream's methods.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import EnumMeta
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any
from uuid import UUID

import ormsgpack
from langgraph.checkpoint.serde import _msgpack, jsonplus

from langgraph_checkpoint_rust import _fingerprint
from langgraph_checkpoint_rust._core import Codec, Payload, Unpack

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Binding:
    """The codec, and what makes a native hook from a serializer's."""

    codec: Codec
    rebind: Callable[[Any], Any]


@functools.cache
def binding() -> Binding | None:
    """Return the codec for this process, made at the first call; None if upstream is not as expected."""
    try:
        return _bind()
    except Exception:
        logger.debug("Serialization uses upstream's own code: its internals have changed", exc_info=True)
        return None


def _bind() -> Binding | None:
    default = jsonplus._msgpack_default  # noqa: SLF001
    encode = jsonplus._msgpack_enc  # noqa: SLF001
    option = jsonplus._option  # noqa: SLF001
    hook_code = jsonplus._create_msgpack_ext_hook(None).__code__  # noqa: SLF001
    safe_types = _msgpack.SAFE_MSGPACK_TYPES
    bound_default = _with_globals(default, ormsgpack=_ormsgpack(Ext=Payload))
    classes = [entry for entry in _fingerprint.admitted() if entry[:2] in safe_types]

    def make(classes: list[tuple[str, str, type]]) -> Codec:
        return Codec(
            default=bound_default,
            packb=functools.partial(ormsgpack.packb, option=option),
            leaves=[memoryview, ormsgpack.Ext, ormsgpack.Fragment],
            enum_meta=EnumMeta,
            classes=classes,
            safe=_safe_classes(safe_types),
            modules=sys.modules,
            watched=[
                (vars(jsonplus), "_msgpack_default", default),
                (vars(jsonplus), "_msgpack_enc", encode),
                (vars(jsonplus), "_option", option),
                (vars(_msgpack), "SAFE_MSGPACK_TYPES", safe_types),
                (vars(_msgpack), "SAFE_MSGPACK_METHODS", _msgpack.SAFE_MSGPACK_METHODS),
            ],
            pause_gc=sys.version_info < (3, 12),
        )

    trial = make(classes)
    codec = make([entry for entry in classes if _fingerprint.behaves(entry[2], trial, encode)])
    bound_default.__globals__["_msgpack_enc"] = codec.dumps_part

    def rebind(hook: Any) -> Any:
        """A copy of upstream's hook that decodes parts natively, or None if `hook` is another."""
        if type(hook) is not FunctionType or hook.__code__ is not hook_code:
            return None

        parts = Unpack(codec, ormsgpack.unpackb, hook)
        native = _with_globals(hook, ormsgpack=_ormsgpack(unpackb=parts.unpackb))
        parts.bind(native)
        return native

    return Binding(codec, rebind) if _agrees(codec, encode) else None


def _safe_classes(safe_types: frozenset[tuple[str, ...]]) -> list[tuple[str, str, type]]:
    """Classes that upstream revives under any policy and that take a native path."""
    classes = [UUID, set, frozenset, deque, Decimal]
    if ("datetime", "datetime", "fromisoformat") in _msgpack.SAFE_MSGPACK_METHODS:
        classes.append(datetime)
    named = [(cls.__module__, cls.__name__, cls) for cls in classes]
    return [entry for entry in named if entry[:2] in safe_types]


def _agrees(codec: Codec, encode: Callable[[Any], bytes]) -> bool:
    """Whether upstream's code, bound to the codec, answers as it does by itself: short and long, nested."""
    long = "x" * 20_000
    samples = ({1}, {long}, UUID(int=1), [{(long, UUID(int=1))}, {long: {b"x"}}], ValueError(long))
    return all(codec.dumps(sample) == encode(sample) for sample in samples)


def _ormsgpack(**replaced: Any) -> ModuleType:
    # A module, since the interpreter caches attributes of modules best.
    module = ModuleType("ormsgpack")
    vars(module).update({**vars(ormsgpack), **replaced})
    return module


def _with_globals(function: Any, **replaced: Any) -> Any:
    copy = FunctionType(
        # A code object of its own: the interpreter's caches in it depend on the globals.
        function.__code__.replace(),
        {**function.__globals__, **replaced},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy
