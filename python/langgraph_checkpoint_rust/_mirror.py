"""The queue of a mirror, and the thread that empties it."""

from __future__ import annotations

import atexit
import logging
import threading
import weakref
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from langgraph_checkpoint_rust.errors import CheckpointError, OutcomeUnknownError
from langgraph_checkpoint_rust.events import Event
from langgraph_checkpoint_rust.metrics import MirrorMetrics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langgraph_checkpoint_rust._mirror_targets import Target
    from langgraph_checkpoint_rust._requests import Request
    from langgraph_checkpoint_rust.events import Emitter
    from langgraph_checkpoint_rust.mirror import MirrorPolicy

    Thread = tuple[str | None, str]
    """A tenant and its thread."""

COPY = "copy"
"""The verb of an entry that copies a thread as a whole."""
DELETE = "delete"
"""That of one that deletes a thread; whether it is overwritten is its argument."""

_AS_THEY_ARE = frozenset({"archive_thread", "set_term", "set_thread", "unarchive_thread", "write_notes"})
_STORING = frozenset({"put", "put_writes", "write_thread"})
_SLICED = frozenset({"copy_thread", "delete_threads", "remove"})
"""What came before a slice that failed is done."""
CHANGING = _AS_THEY_ARE | _STORING | _SLICED

_logger = logging.getLogger("langgraph_checkpoint_rust.mirror")


class Entry(NamedTuple):
    """What is to be done to the mirror."""

    number: int
    tenant: str | None
    verb: str
    arguments: tuple[Any, ...]
    thread_id: str
    weight: int
    since: float


class Mirror:
    """Tells a target what was stored. Nobody waits for it but `flush` and `close`."""

    def __init__(self, policy: MirrorPolicy, target: Target, emit: Emitter) -> None:
        self._policy = policy
        self._target = target
        self._emit = emit
        self._begin()
        _mirrors.add(self)

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._queue: deque[Entry] = deque()
        self._bytes = 0
        self._added = self._applied = self._errors = self._dropped = 0
        self._marked: dict[Thread, int] = {}
        """The threads that the mirror lacks something of. The first entry from this number on copies the
        thread as a whole; all that was stored later is in the queue."""
        self._worker: threading.Thread | None = None
        self._closing = False
        self._abandoned = False

    def after_fork(self) -> None:
        """In a forked child: what waits is mirrored by the parent."""
        self._begin()

    # --- what was stored ---

    def stored(self, request: Request, answer: Any) -> None:
        """Notes what a call changed."""
        verb, arguments = request.verb, request.arguments
        if verb in _AS_THEY_ARE or verb in _STORING:
            # True: the thread is being deleted, and nothing was stored.
            if answer is not True:
                self._add(request.tenant, verb, arguments, *_threads_of(request))
        elif verb == "delete_threads":
            thread_ids, overwrite = arguments
            _, _, gone = answer
            for thread_id in thread_ids[:gone]:
                self._add(request.tenant, DELETE, (overwrite,), thread_id)
        elif (verb == "copy_thread" and answer == (False, None)) or (
            verb == "remove" and answer >= len(arguments[0])
        ):
            self.resync(request.tenant, _threads_of(request))

    def failed(self, request: Request, error: BaseException) -> None:
        """Notes what a call may have changed: one that was cancelled may still be stored."""
        is_certain = (
            isinstance(error, Exception)
            and not isinstance(error, (OutcomeUnknownError, InterruptedError))
            and request.verb not in _SLICED
        )
        if request.verb in CHANGING and not is_certain:
            self.resync(request.tenant, _threads_of(request))

    def resync(self, tenant: str | None, thread_ids: Iterable[str]) -> None:
        """Notes threads that are to be copied as a whole."""
        for thread_id in thread_ids:
            self._add(tenant, COPY, (), thread_id)

    def _add(self, tenant: str | None, verb: str, arguments: tuple[Any, ...], thread_id: str) -> None:
        weight = _weight(arguments)
        with self._changed:
            full = len(self._queue) >= self._policy.most_entries or (
                bool(self._queue) and self._bytes + weight > self._policy.most_bytes
            )
            newly = full and (tenant, thread_id) not in self._marked
            if full:
                self._dropped += 1
                self._marked[tenant, thread_id] = self._added
            else:
                self._enqueue(tenant, verb, arguments, thread_id, weight)
        if full:
            self._tell("QueueFull", newly)

    def _enqueue(
        self, tenant: str | None, verb: str, arguments: tuple[Any, ...], thread_id: str, weight: int
    ) -> None:
        self._queue.append(Entry(self._added, tenant, verb, arguments, thread_id, weight, monotonic()))
        self._added += 1
        self._bytes += weight
        self._work()
        self._changed.notify_all()

    # --- the thread ---

    def _work(self) -> None:
        """Starts the thread, which ends with the process: `close` waits for it, nothing else."""
        if self._worker is not None and self._worker.is_alive():
            return
        worker = threading.Thread(target=self._serve, name="checkpoint mirror", daemon=True)
        try:
            worker.start()
        except RuntimeError:
            # No more threads, or the interpreter is going down. The verb has stored what it had to: the next
            # one tries again, and `close` tells what is left.
            return
        self._worker = worker

    def _serve(self) -> None:
        while (entry := self._next()) is not None:
            error = self._applied_to_target(entry)
            key = (entry.tenant, entry.thread_id)
            if error is not None:
                with self._changed:
                    newly = key not in self._marked
                    self._marked[key] = max(self._marked.get(key, 0), entry.number + 1)
                # Before the entry counts as done: who flushed knows what failed.
                self._tell(type(error).__name__, newly)
            with self._changed:
                self._queue.popleft()
                self._bytes -= entry.weight
                self._applied += error is None
                self._errors += error is not None
                if error is None and self._marked.get(key, entry.number) <= entry.number:
                    self._marked.pop(key, None)
                self._changed.notify_all()

    def _next(self) -> Entry | None:
        """The entry to apply, which stays in the queue meanwhile; None at the end."""
        with self._changed:
            while not self._queue and not self._closing:
                self._changed.wait()
            return self._queue[0] if self._queue and not self._abandoned else None

    def _applied_to_target(self, entry: Entry) -> Exception | None:
        with self._changed:
            lacks = self._marked.get((entry.tenant, entry.thread_id), self._added) <= entry.number
        try:
            if entry.verb == COPY or (lacks and entry.verb != DELETE):
                self._target.copy(entry.tenant, entry.thread_id)
            else:
                self._target.apply(entry)
        except Exception as error:  # noqa: BLE001 - told, counted, and the thread is marked
            return error
        return None

    def _tell(self, error: str, newly: bool) -> None:
        if newly:
            _logger.warning(
                "a write was not mirrored (%s); its thread is copied as a whole with its next write, or by "
                "mirror_resync()",
                error,
            )
        self._emit(Event("mirror", error=error))

    # --- for those who wait ---

    def marked(self) -> list[Thread]:
        """The threads that the mirror lacks something of."""
        with self._changed:
            return sorted(self._marked, key=repr)

    def copied(self, threads: list[Thread]) -> None:
        """Copies threads as a whole, whatever the limits of the queue, and waits for it.

        Raises:
            CheckpointError: If one of them could not be copied.
        """
        with self._changed:
            for tenant, name in threads:
                self._enqueue(tenant, COPY, (), name, 0)
        self.flush(None)
        left = len(set(threads).intersection(self.marked()))
        if left:
            raise CheckpointError(
                f"{left} of {len(threads)} threads could not be mirrored: see the log, and call again"
            )

    def flush(self, timeout: float | None) -> bool:
        """Waits until all that waits now is mirrored or failed; False if the time is over."""
        with self._changed:
            added = self._added
            return self._changed.wait_for(lambda: self._applied + self._errors >= added, timeout)

    def close(self) -> None:
        """Lets the queue run empty, for at most `close_timeout`. Idempotent."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            worker = self._worker
        if worker is not None and worker is not threading.current_thread():
            worker.join(self._policy.close_timeout)
        with self._changed:
            self._abandoned = True
            left = len(self._queue)
        if left:
            _logger.error("%d writes were not mirrored before the saver was closed", left)
        if worker is None or not worker.is_alive():
            # Else the target is in a call that nobody waits for any more; it goes with the thread.
            self._target.close()

    def end(self) -> None:
        """Lets the thread end once the queue is empty, and waits for nothing."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def figures(self) -> MirrorMetrics:
        """How the mirror stands."""
        with self._changed:
            lag = monotonic() - self._queue[0].since if self._queue else 0.0
            return MirrorMetrics(
                len(self._queue),
                self._bytes,
                lag,
                self._applied,
                self._errors,
                self._dropped,
                len(self._marked),
            )


def _threads_of(request: Request) -> list[str]:
    first = request.arguments[0]
    if request.verb in {"put", "put_writes"}:
        return [first[0]]
    if request.verb == "copy_thread":
        return [request.arguments[1]]
    if request.verb == "remove":
        return sorted(first.thread_ids)
    if request.verb == "delete_threads":
        return list(first)
    return [first]


def _weight(value: Any) -> int:
    """Bytes and characters in nested arguments."""
    if isinstance(value, (bytes, str)):
        return len(value)
    return sum(map(_weight, value)) if isinstance(value, (list, tuple)) else 0


_mirrors: weakref.WeakSet[Mirror] = weakref.WeakSet()


@atexit.register
def _at_exit() -> None:
    for mirror in list(_mirrors):
        mirror.close()
