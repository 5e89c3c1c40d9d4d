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
        pause_gc: bool,
    ) -> Codec: ...
    def dumps(self, object: Any) -> bytes:
        """Return the msgpack of `object`."""
    def dumps_with_cuts(self, object: Any, distance: int) -> tuple[bytes, list[int]]:
        """Return the msgpack of `object`, and offsets of element ends at least `distance` bytes apart."""
    def loads(self, blob: bytes, hook: Callable[[int, bytes], Any] | None, fast: bool) -> Any:
        """Return the object in `blob`. Extensions go to `hook`, except messages that fit if `fast`."""

@final
class Payload:
    """What upstream's `_msgpack_default` answers to the codec: an extension's code and bytes."""

    def __new__(cls, code: int, data: bytes) -> Payload: ...
