"""The serializer: upstream's bytes and upstream's objects, several times faster."""

from __future__ import annotations

from typing import Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langgraph_checkpoint_rust._upstream import binding
from langgraph_checkpoint_rust.errors import SerializationError

__all__ = ["RustSerializer"]


class RustSerializer(JsonPlusSerializer):
    """A drop-in replacement for `JsonPlusSerializer`, for any checkpoint saver.

    The bytes that `dumps_typed` returns are the same, and so are the objects of `loads_typed`: checkpoints
    written by one are read by the other. Allow-lists, strict mode, warnings, serde events, a custom
    extension hook and the pickle fallback are upstream's own. What has no fast path runs upstream's code.

    Args:
        pickle_fallback: Whether to pickle what msgpack cannot express.
        allowed_json_modules: Types that old "json" rows may revive, as upstream's.
        allowed_msgpack_modules: Types that msgpack rows may revive, as upstream's.
        __unpack_ext_hook__: A hook that decodes every extension, messages included.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> from langgraph_checkpoint_rust.serde import RustSerializer
        >>> serde = RustSerializer()
        >>> kind, blob = serde.dumps_typed({"messages": [HumanMessage("hello")]})
        >>> kind
        'msgpack'
        >>> serde.loads_typed((kind, blob))["messages"][0].content
        'hello'
    """

    _native_hook: tuple[Any, Any] | None = None

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        r"""Serialize an object.

        Args:
            obj: The object: built-ins, messages, dataclasses, pydantic models, arrays and whatever else
                upstream's serializer accepts.

        Returns:
            The type tag and the bytes, as upstream's serializer would return them.

        Raises:
            SerializationError: A part of the object cannot be serialized. It is a `TypeError` too, and its
                message says where the part is: "channel `df`, element 3: DataFrame is not serializable".

        Example:
            >>> from langgraph_checkpoint_rust.serde import RustSerializer
            >>> RustSerializer().dumps_typed({"step": 1})
            ('msgpack', b'\x81\xa4step\x01')
        """
        bound = binding()
        if bound is None:
            return super().dumps_typed(obj)
        if obj is None:
            # As upstream's own code, which is not called for it: half of the writes of a graph are None.
            return "null", b""
        try:
            typed = bound.codec.dumps_typed(obj)
        except SerializationError:
            if self.pickle_fallback:
                return super().dumps_typed(obj)
            raise
        return super().dumps_typed(obj) if typed is NotImplemented else typed

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        r"""Deserialize an object.

        Args:
            data: The type tag and the bytes that `dumps_typed` returned.

        Returns:
            The object, as upstream's serializer would return it.

        Raises:
            ValueError: The bytes are not valid msgpack.
            NotImplementedError: The type tag is unknown.

        Example:
            >>> from langgraph_checkpoint_rust.serde import RustSerializer
            >>> RustSerializer().loads_typed(("msgpack", b"\x81\xa4step\x01"))
            {'step': 1}
        """
        bound = binding()
        if bound is None:
            return super().loads_typed(data)
        tag, _ = data
        if tag == "null":
            return None
        value = bound.codec.loads_typed(self, data, bound.rebind)
        return super().loads_typed(data) if value is NotImplemented else value
