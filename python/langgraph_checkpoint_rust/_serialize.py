"""The saver's side of a serializer: what it may return, what its errors become, what an outline is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from langgraph_checkpoint_rust.errors import SerializationError

if TYPE_CHECKING:
    from langgraph.checkpoint.serde.base import SerializerProtocol

    TypedData = tuple[str | None, bytes | str | None]
    Outline = tuple[int, str | None, set[str], dict[str, bool]]


def dumps(serde: SerializerProtocol, value: Any, place: str) -> TypedData:
    """Serializes a value of the state.

    Args:
        serde: The saver's serializer.
        value: The value.
        place: What it is, for the error.

    Returns:
        Its tag and data. A writable buffer is copied, since the caller may go on changing it.

    Raises:
        SerializationError: If the serializer refuses the value with a `TypeError`, or returns no data.
            Any other error of a serializer passes through.
    """
    try:
        tag, data = serde.dumps_typed(value)
    except TypeError as error:
        # A `RustSerializer` says where in the value, and was caused by upstream's own error.
        raise SerializationError(f"{place} cannot be serialized: {error}") from (error.__cause__ or error)
    if data is None or isinstance(data, (bytes, str)):
        return tag, data
    if isinstance(data, (bytearray, memoryview)):
        return tag, bytes(data)
    raise SerializationError(
        f"{type(serde).__name__}.dumps_typed must return bytes, not {type(data).__name__}"
    )


def outline(serde: SerializerProtocol, typed: TypedData) -> Outline:
    """What `prune` and `get_delta_channel_history` must know of a stored checkpoint.

    Args:
        serde: The saver's serializer.
        typed: The stored tag and data.

    Returns:
        The format version, when it was made, the channels with versions, and per stored channel whether
        it is a `DeltaChannel` snapshot.
    """
    checkpoint = serde.loads_typed(typed)  # type: ignore[arg-type]
    if not isinstance(checkpoint, Mapping):
        return 0, None, set(), {}
    values = checkpoint.get("channel_values") or {}
    return (
        int(checkpoint.get("v") or 0),
        str(checkpoint.get("ts") or "") or None,
        {str(channel) for channel in checkpoint.get("channel_versions") or ()},
        {str(channel): isinstance(value, _DeltaSnapshot) for channel, value in values.items()},
    )


class Portable:
    """Pickles as the serializer it holds. Upstream's own cannot be pickled: its ext hook is a closure."""

    def __init__(self, serde: JsonPlusSerializer) -> None:
        self._serde = serde

    def __reduce__(self) -> tuple[Any, ...]:
        state = {name: value for name, value in vars(self._serde).items() if name != "_unpack_ext_hook"}
        return _restored, (type(self._serde), state)


def portable(value: Any) -> Any:
    """The value, wrapped if it is a serializer of upstream with upstream's own ext hook."""
    if isinstance(value, JsonPlusSerializer) and not getattr(value, "_custom_unpack_ext_hook", True):
        return Portable(value)
    return value


def _restored(serde_type: type[JsonPlusSerializer], state: dict[str, Any]) -> JsonPlusSerializer:
    serde = object.__new__(serde_type)
    # The hook knows the allow-list only, so any serializer with the same list has the same hook.
    donor = JsonPlusSerializer(allowed_msgpack_modules=state["_allowed_msgpack_modules"])
    vars(serde).update(state, _unpack_ext_hook=vars(donor)["_unpack_ext_hook"])
    return serde
