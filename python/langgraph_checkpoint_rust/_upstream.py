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
from dataclasses import dataclass
from enum import EnumMeta
from types import FunctionType, SimpleNamespace
from typing import Any

import ormsgpack
from langgraph.checkpoint.serde import _msgpack, jsonplus

from langgraph_checkpoint_rust import _fingerprint
from langgraph_checkpoint_rust._core import Codec, Payload

logger = logging.getLogger(__name__)

_JSONPLUS = vars(jsonplus)
_MSGPACK = vars(_msgpack)


@dataclass(frozen=True, slots=True)
class Binding:
    """The codec, bound to the upstream functions it was made from."""

    codec: Codec
    default: Any
    encode: Any
    option: Any
    hook_code: Any
    safe_types: frozenset[tuple[str, ...]]

    def is_current(self) -> bool:
        """Whether upstream's functions are still those: somebody may have replaced one."""
        return (
            _JSONPLUS.get("_msgpack_default") is self.default
            and _JSONPLUS.get("_msgpack_enc") is self.encode
            and _JSONPLUS.get("_option") is self.option
            and _MSGPACK.get("SAFE_MSGPACK_TYPES") is self.safe_types
        )

    def rebound_hook(self, hook: Any) -> Any:
        """Return a copy of upstream's hook that decodes parts natively, or None if `hook` is another."""
        if type(hook) is not FunctionType or hook.__code__ is not self.hook_code:
            return None

        def unpackb(data: bytes, *, ext_hook: Any = None, option: Any = None) -> Any:
            if ext_hook is hook and type(data) is bytes:
                return loads(data, rebound, True)
            return ormsgpack.unpackb(data, ext_hook=ext_hook, option=option)

        loads = self.codec.loads
        rebound = _with_globals(hook, ormsgpack=SimpleNamespace(**{**vars(ormsgpack), "unpackb": unpackb}))
        return rebound


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
    hook_code = jsonplus._create_msgpack_ext_hook(None).__code__  # noqa: SLF001
    option = jsonplus._option  # noqa: SLF001
    safe_types = _msgpack.SAFE_MSGPACK_TYPES
    if not (
        {"_msgpack_enc", "ormsgpack"} <= set(default.__code__.co_names)
        and "ormsgpack" in hook_code.co_names
        and _JSONPLUS.get("ormsgpack") is ormsgpack
    ):
        return None
    bound_default = _with_globals(
        default,
        ormsgpack=SimpleNamespace(**{**vars(ormsgpack), "Ext": Payload}),
    )
    codec = Codec(
        default=bound_default,
        packb=functools.partial(ormsgpack.packb, option=option),
        leaves=[memoryview, ormsgpack.Ext, ormsgpack.Fragment],
        enum_meta=EnumMeta,
        classes=[entry for entry in _fingerprint.admitted() if entry[:2] in safe_types],
        pause_gc=sys.version_info < (3, 12),
    )
    bound_default.__globals__["_msgpack_enc"] = codec.dumps
    return Binding(codec, default, encode, option, hook_code, safe_types)


def _with_globals(function: Any, **replaced: Any) -> Any:
    copy = FunctionType(
        function.__code__,
        {**function.__globals__, **replaced},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy
