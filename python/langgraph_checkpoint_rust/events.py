"""What `on_event=` is called with.

Example:
    >>> from langgraph_checkpoint_rust import RustSqliteSaver
    >>> seen = []
    >>> saver = RustSqliteSaver(":memory:", on_event=seen.append)
    >>> saver.delete_thread("1")
    >>> [(event.kind, event.verb, event.error) for event in seen]
    [('verb', 'delete_thread', None)]
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Event", "EventKind", "OnEvent"]

EventKind: TypeAlias = Literal["verb", "slow", "retry", "wal", "file", "retention", "fallback", "mirror"]
"""What happened: see `Event`."""

_logger = logging.getLogger("langgraph_checkpoint_rust.events")


@dataclass(frozen=True)
class Event:
    """Something that happened. It holds no user data: no thread ids, no state, no text of errors.

    - `verb`: a verb came to an end, with or without an error.
    - `slow`: it took longer than `slow_operation_threshold`. Comes before its `verb`.
    - `retry`: a call failed and is repeated after `seconds`; `attempt` is the number of the one that failed.
    - `wal`, `file`: the file has become larger than `warn_at_bytes` says; `bytes` is its size.
    - `retention`: a run of the policy in the background ended, or failed; `count` threads were deleted, and
      `bytes` went.
    - `fallback`: the saver goes on in memory, because of `error`.
    - `mirror`: a write was not mirrored, because of `error`.

    Attributes:
        kind: What happened.
        verb: The verb, as of the saver; None where there is none.
        seconds: How long it took, serialization included; of a retry, how long it waits.
        native_seconds: The part of that in the engine, and waiting for it.
        error: The class of the error; None if there was none. Of a mirror also `"QueueFull"`.
        bytes_in: Bytes of state that went to the engine.
        bytes_out: Bytes of state that came from it.
        bytes: A size.
        count: A number of things.
        attempt: The attempt that failed, from 1.
    """

    kind: EventKind
    verb: str | None = None
    seconds: float = 0.0
    native_seconds: float = 0.0
    error: str | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    bytes: int = 0
    count: int = 0
    attempt: int = 0


OnEvent: TypeAlias = "Callable[[Event], object]"


class Emitter:
    """Counts what happens, and tells the hook. What the hook raises is logged once, and goes no further."""

    def __init__(self, hook: OnEvent | None) -> None:
        self._hook = hook
        self._begin()

    def _begin(self) -> None:
        self._counts: Counter[str] = Counter()
        self._failures = 0
        self._lock = threading.Lock()
        self._calling = threading.local()

    def __call__(self, event: Event) -> None:
        """Verbs that the hook calls itself are not told: there would be no end."""
        if event.kind != "verb":
            with self._lock:
                self._counts[event.kind] += 1
        if self._hook is None or getattr(self._calling, "now", False):
            return
        self._calling.now = True
        try:
            self._hook(event)
        except Exception as error:  # noqa: BLE001 - the verb of the caller has nothing to do with it
            self._failed(error)
        finally:
            self._calling.now = False

    def _failed(self, error: Exception) -> None:
        with self._lock:
            self._failures += 1
            first = self._failures == 1
        if first:
            _logger.error("on_event raised; further errors of it are counted, not logged", exc_info=error)

    def figures(self) -> tuple[dict[str, int], int]:
        """How often each kind happened, but for verbs, and how often the hook raised."""
        with self._lock:
            return dict(sorted(self._counts.items())), self._failures

    def after_fork(self) -> None:
        """Counts from nothing, and forgets a lock that a thread of the parent may have held."""
        self._begin()
