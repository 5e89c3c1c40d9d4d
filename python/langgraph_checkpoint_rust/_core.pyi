"""The native half. Users import from `langgraph_checkpoint_rust`, never from here."""

from collections.abc import Callable, Sequence
from typing import Any, final

__version__: str

@final
class Codec:
    """Encoder and decoder, bound to upstream's functions and to the classes that were found fit."""

    def __new__(
        cls,
        *,
        default: Callable[[Any], Any],
        packb: Callable[[Any], bytes],
        leaves: Sequence[type],
        enum_meta: type,
        classes: list[tuple[str, str, type]],
        safe: Sequence[tuple[str, str, type]],
        modules: dict[str, Any],
        watched: Sequence[tuple[dict[str, Any], str, Any]],
        pause_gc: bool,
    ) -> Codec: ...
    def dumps_typed(self, object: Any) -> tuple[str, bytes]:
        """Return the type tag and the msgpack of `object`; `NotImplemented` if it is upstream's to write."""
    def loads_typed(self, serde: Any, typed: Any, rebind: Callable[[Any], Any]) -> Any:
        """Return the object of `typed` by the policy of `serde`; `NotImplemented` if upstream's to read."""
    def dumps(self, object: Any) -> bytes:
        """Return the msgpack of `object`."""
    def dumps_part(self, object: Any) -> Any:
        """Return the msgpack of a part of an object, for upstream's `_msgpack_default` and nobody else."""
    def dumps_with_cuts(self, object: Any, distance: int) -> tuple[bytes, list[int]]:
        """Return the msgpack of `object`, and offsets of element ends about `distance` bytes apart."""
    def loads(self, blob: bytes, hook: Callable[[int, bytes], Any] | None, fast: bool) -> Any:
        """Return the object in `blob`. Extensions go to `hook`, except messages that fit if `fast`."""

@final
class Part:
    """A long encoded part of an object: becomes `bytes` only as a piece of the whole."""

@final
class Payload:
    """What upstream's `_msgpack_default` answers to the codec: an extension's code and bytes."""

    def __new__(cls, code: int, data: bytes | Part) -> Payload: ...

@final
class Unpack:
    """Stands in for `ormsgpack.unpackb` in a copy of upstream's hook."""

    def __new__(cls, codec: Codec, original: Callable[..., Any], hook: Any) -> Unpack: ...
    def bind(self, native: Any) -> None:
        """Say which hook is the copy. Once."""
    def unpackb(self, data: Any, *, ext_hook: Any = None, option: Any = None) -> Any:
        """Decode a part; anything unexpected by the original."""
