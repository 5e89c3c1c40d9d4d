"""`thread_lease`: one holder at a time may go on in a thread, in any process."""

from __future__ import annotations

import asyncio
import math
import uuid
from typing import TYPE_CHECKING

from langgraph_checkpoint_rust._saver import Saver
from langgraph_checkpoint_rust.errors import LeaseHeldError, LeaseLostError

if TYPE_CHECKING:
    from typing_extensions import Self

    from langgraph_checkpoint_rust._bridge import Steps
    from langgraph_checkpoint_rust._store import Store

_returning: set[asyncio.Task[None]] = set()
"""An event loop has no strong references to its tasks."""

_LONGEST = 365 * 24 * 60 * 60


class LeaseVerbs(Saver):
    """`thread_lease`."""

    def thread_lease(self, thread_id: str, ttl: float) -> ThreadLease:
        """A lease of a thread: a context manager, for `with` and for `async with`.

        Whoever holds it is the only holder, among all processes that use the file. Every put of this saver
        and its copies to the thread checks, in its own transaction, that the lease is still held. Who takes
        no lease is not stopped.

        Args:
            thread_id: The thread. It need not exist yet.
            ttl: Seconds until the lease expires, unless it is renewed; a holder that is killed blocks the
                others for no longer.

        Returns:
            The lease. Entered, it is taken; left, it is given back.

        Raises:
            ValueError: If `ttl` is not a positive number of at most a year.
            LeaseHeldError: On entering, if another holds it. Retry later.

        Example:
            >>> from langgraph.checkpoint.base import empty_checkpoint
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> saver = RustSqliteSaver(":memory:")
            >>> with saver.thread_lease("1", ttl=60) as lease:
            ...     stored = saver.put({"configurable": {"thread_id": "1"}}, empty_checkpoint(), {}, {})
            ...     lease.renew()
        """
        return ThreadLease(self, str(thread_id), ttl)


class ThreadLease:
    """A lease of a thread, as `thread_lease` makes it.

    Attributes:
        thread_id: The thread.
        ttl: Seconds that it lasts.
        fence: A number that rises with each new holder of the thread's lease; 0 until it is taken. Hand it to
            other systems, so that they can refuse a holder that was overtaken.
    """

    def __init__(self, saver: LeaseVerbs, thread_id: str, ttl: float) -> None:
        if not isinstance(ttl, (int, float)) or not 0 < ttl <= _LONGEST:
            raise ValueError(f"ttl must be a number of seconds above 0 and at most {_LONGEST}, not {ttl!r}")
        self.thread_id = thread_id
        self.ttl = ttl
        self.fence = 0
        self._saver = saver
        self._token = uuid.uuid4().hex

    def renew(self) -> None:
        """Makes the lease last for `ttl` seconds from now.

        Raises:
            LeaseLostError: If it expired and another took it, or it was given back.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> with RustSqliteSaver(":memory:").thread_lease("1", ttl=1) as lease:
            ...     lease.renew()
        """
        self._store.runner.run(self._renew(), "renew_lease")

    async def arenew(self) -> None:
        """As `renew`."""
        await self._store.runner.arun(self._renew(), "renew_lease")

    def __enter__(self) -> Self:
        self._store.runner.run(self._take(), "acquire_lease")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._store.runner.run(self._give_back(), "release_lease")

    async def __aenter__(self) -> Self:
        await self._store.resolve()
        try:
            await self._store.runner.arun(self._take(), "acquire_lease")
        except asyncio.CancelledError:
            # It may have been taken all the same. Nobody waits for its way back: the file may be locked.
            self._returned()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await asyncio.shield(self._returned())

    def _returned(self) -> asyncio.Task[None]:
        """Gives the lease back, whatever cancels the caller; if that fails, it expires."""
        steps = self._store.runner.arun(self._give_back(), "release_lease")
        task = asyncio.get_running_loop().create_task(steps)
        _returning.add(task)
        task.add_done_callback(_returning.discard)
        return task

    @property
    def _store(self) -> Store:
        return self._saver._store  # noqa: SLF001

    def _take(self) -> Steps[None]:
        fence, milliseconds = yield from self._asked()
        if fence is None:
            raise LeaseHeldError(
                f"thread {self.thread_id!r} is leased to another for {milliseconds / 1000:.1f} s more, "
                "unless it renews; retry then"
            )
        self.fence = fence
        self._store.leases[self._store.tenant, self.thread_id] = self._token

    def _renew(self) -> Steps[None]:
        held = self._store.lease(self.thread_id) == self._token
        fence = None
        if held:
            fence, _ = yield from self._asked()
        if fence != self.fence:
            raise LeaseLostError(
                f"the lease of thread {self.thread_id!r} is another's, or was given back; take a new one, "
                "and read the state again"
            )

    def _asked(self) -> Steps[tuple[int | None, int]]:
        call = self._store.backend.acquire_lease(self.thread_id, self._token, math.ceil(self.ttl * 1000))
        answer: tuple[int | None, int] = yield call
        return answer

    def _give_back(self) -> Steps[None]:
        if self._store.lease(self.thread_id) == self._token:
            del self._store.leases[self._store.tenant, self.thread_id]
        yield self._store.backend.release_lease(self.thread_id, self._token)
