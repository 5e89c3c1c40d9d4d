"""The layer that tells: an event for each verb, a warning for a slow one, and for files that grow too large.

Nothing is called or logged while a lock is held. Messages and events hold no user data: no thread ids, not
even hashed (a hash of an email address is found by trying), no state, and no text of errors, which may name a
thread.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
import weakref
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, Literal

from langgraph_checkpoint_rust._bridge import Pause
from langgraph_checkpoint_rust.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust._store import Store
    from langgraph_checkpoint_rust.events import Emitter
    from langgraph_checkpoint_rust.host import HostSettings, WarnAtBytes

_LOOK_EVERY = 1.0
"""Seconds between two looks at sizes, which cost some 10 µs."""

_slow = logging.getLogger("langgraph_checkpoint_rust.slow")
_size = logging.getLogger("langgraph_checkpoint_rust.size")
_retention = logging.getLogger("langgraph_checkpoint_rust.retention")


class Observer:
    """Watches the verbs of a store."""

    def __init__(self, host: HostSettings, emit: Emitter, store: Store) -> None:
        self._threshold = math.inf if host.slow_operation_threshold is None else host.slow_operation_threshold
        self._emit = emit
        self._sizes = _Sizes(host.warn_at_bytes or {}, emit, store)

    def __call__(self, verb: str, steps: Steps[Any], /) -> Steps[Any]:
        """The steps, timed and weighed."""
        error = None
        bytes_in = bytes_out = 0
        native = 0.0
        started = perf_counter()
        try:
            call = next(steps)
            while True:
                since = perf_counter()
                try:
                    answer = yield call
                except BaseException as raised:  # noqa: BLE001 - it is the verb's to handle
                    native += perf_counter() - since
                    call = steps.throw(raised)
                else:
                    native += perf_counter() - since
                    if not isinstance(call, Pause):
                        bytes_in += call.bytes_in
                        bytes_out += call.bytes_out
                    call = steps.send(answer)
        except StopIteration as stop:
            return stop.value
        except BaseException as raised:
            error = type(raised).__name__
            raise
        finally:
            self._tell(Event("verb", verb, perf_counter() - started, native, error, bytes_in, bytes_out))

    def after_fork(self) -> None:
        """In a forked child: forgets a lock that a thread of the parent may have held, and its figures."""
        self._sizes.begin()

    def _tell(self, event: Event) -> None:
        if event.seconds > self._threshold:
            _slow.warning(
                "%s took %.3f s, %.3f s of it in the engine (%d bytes in, %d bytes out)%s",
                event.verb,
                event.seconds,
                event.native_seconds,
                event.bytes_in,
                event.bytes_out,
                f"; it raised {event.error}" if event.error else "",
            )
            self._emit(dataclasses.replace(event, kind="slow"))
        self._emit(event)
        self._sizes.look()


class _Sizes:
    """Looks now and then at what no verb tells: how large the files are, and what the retention did."""

    def __init__(self, limits: WarnAtBytes, emit: Emitter, store: Store) -> None:
        self._limits = limits
        self._emit = emit
        # The store owns the observer.
        self._store = weakref.ref(store)
        self.begin()

    def begin(self) -> None:
        self._next = 0.0
        self._lock = threading.Lock()
        self._exceeded: set[str] = set()
        self._retained: dict[str, int] = {}

    def look(self) -> None:
        now, store = monotonic(), self._store()
        if store is None or now < self._next or not self._lock.acquire(blocking=False):
            return
        try:
            self._next = now + _LOOK_EVERY
            figures = store.engine_figures()
            sizes = {"file": store.file_bytes, "wal": figures.get("wal", {}).get("bytes", 0)}
            found = [*self._crossed(sizes), *self._retention(figures.get("retention", {}))]
        finally:
            self._lock.release()
        for event in found:
            self._say(event)

    def _crossed(self, sizes: dict[str, int]) -> Iterator[Event]:
        """Sizes that exceed their limit, and did not when they were looked at last."""
        kinds: tuple[Literal["file"], Literal["wal"]] = ("file", "wal")
        for kind in kinds:
            limit = self._limits.get(kind)
            if limit is None or sizes[kind] <= limit:
                self._exceeded.discard(kind)
            elif kind not in self._exceeded:
                self._exceeded.add(kind)
                yield Event(kind, bytes=sizes[kind])

    def _retention(self, figures: dict[str, int]) -> Iterator[Event]:
        """What the policy in the background did since."""
        more = {name: value - self._retained.get(name, 0) for name, value in figures.items()}
        if more.get("failed") or more.get("runs"):
            # Threads are counted as they go, before their run ends.
            self._retained = figures
        if more.get("failed"):
            yield Event("retention", error="CheckpointError", count=more["failed"])
        if more.get("runs"):
            yield Event("retention", count=more["threads"], bytes=more["bytes"])

    def _say(self, event: Event) -> None:
        if event.kind == "file" or event.kind == "wal":  # noqa: PLR1714 - mypy reads it so
            advice = "see retention=, or upgrade()" if event.kind == "file" else "a reader may be in its way"
            limit = self._limits[event.kind]
            _size.warning("the %s has %d bytes, above %d: %s", event.kind, event.bytes, limit, advice)
        elif event.error:
            _retention.warning("%d runs of the retention policy failed; they are repeated", event.count)
        else:
            _retention.info("the retention deleted %d threads; %d bytes went", event.count, event.bytes)
        self._emit(event)
