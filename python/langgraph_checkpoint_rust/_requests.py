"""Native calls that can be made again, and the layer that makes them by a host's policies.

Where a host asks for retries, a fallback or a mirror, its store hands out `Requests` in place of the native
backend: a verb then yields a request, which holds the arguments, serialized already. So a repeated call
stores the bytes of the first, whatever became of the state meanwhile, and a mirror gets those bytes too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust._core import Call, SqliteBackend
    from langgraph_checkpoint_rust._mirror import Mirror
    from langgraph_checkpoint_rust.events import Emitter
    from langgraph_checkpoint_rust.fallback import Fallback
    from langgraph_checkpoint_rust.retry import RetryPolicy

_NO_REQUESTS = frozenset({"apply_retention", "backup", "close", "restore", "stats"})
"""They answer at once, or give objects with steps of their own."""


class Request(NamedTuple):
    """A verb of a backend with its arguments."""

    backend: SqliteBackend
    tenant: str | None
    """Whose threads the backend sees; None for all."""
    verb: str
    arguments: tuple[Any, ...]

    def call(self) -> Call:
        """A native call, ready to be carried out once."""
        call: Call = getattr(self.backend, self.verb)(*self.arguments)
        return call


class Requests:
    """A backend whose verbs give requests."""

    def __init__(self, backend: SqliteBackend, tenant: str | None) -> None:
        self._backend = backend
        self._tenant = tenant

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        native: Callable[..., Any] = getattr(self._backend, verb)
        if verb in _NO_REQUESTS:
            return native
        return lambda *arguments: Request(self._backend, self._tenant, verb, arguments)


class Policies:
    """The layer: repeats what failed, goes on in memory, and tells the mirror what was stored."""

    def __init__(self, emit: Emitter, retry: RetryPolicy | None, fallback: Fallback | None) -> None:
        self._emit = emit
        self._retry = retry
        self._fallback = fallback
        self.mirror: Mirror | None = None

    def __call__(self, verb: str, steps: Steps[Any], /) -> Steps[Any]:
        """The steps, with native calls in place of requests."""
        try:
            step: Any = next(steps)
            while True:
                try:
                    answer = yield from self._carried_out(verb, step)
                except BaseException as error:  # noqa: BLE001, PERF203 - it is the verb's to handle
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as stop:
            return stop.value

    def _carried_out(self, verb: str, step: Any) -> Steps[Any]:
        if not isinstance(step, Request):
            return (yield step)
        request = step
        try:
            try:
                answer = yield from self._repeated(verb, request)
            except Exception as error:
                other = None if self._fallback is None else self._fallback.instead_of(request, error)
                if other is None:
                    raise
                request = other
                answer = yield request.call()
        except BaseException as error:
            if self.mirror is not None:
                self.mirror.failed(request, error)
            raise
        if self.mirror is not None:
            self.mirror.stored(request, answer)
        return answer

    def _repeated(self, verb: str, request: Request) -> Steps[Any]:
        if self._retry is None:
            return (yield request.call())
        return (yield from self._retry.carried_out(verb or request.verb, request.call, self._emit))
