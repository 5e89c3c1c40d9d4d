"""Runs that go on after the response. Their state is in the thread, for every worker to see."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from typing_extensions import Self

from langgraph_checkpoint_rust import _config
from langgraph_checkpoint_rust._base import SqliteSaverBase
from langgraph_checkpoint_rust._leases import ThreadLease
from langgraph_checkpoint_rust.errors import CheckpointError

_LEASE_SECONDS = 30.0
_RENEWALS = 3
"""Within the time of a lease: two may fail, for the database is busy, before it is lost."""
_LOOK_EVERY = 0.005
"""Seconds between two looks for the first checkpoint of a new thread."""

_logger = logging.getLogger("langgraph_checkpoint_rust")


class BackgroundRuns:
    """The runs that this process carries on in the background.

    While a run goes on, it holds the lease of its thread: `get_thread` and `GET /threads/{id}` tell `busy`,
    in every process, and no second run may start there. After it they tell `done`, `interrupted` or
    `error`. A run whose process was killed leaves `pending` once its lease expired; start it again with the
    input None, and it goes on where it was.

    Args:
        saver: The saver that the graphs were compiled with, or one of its copies.
        grace: Seconds that runs get to end in `aclose`, before they are cancelled.
        lease: Seconds after which the thread of a killed process is free again.

    Example:
        >>> import asyncio
        >>> from langgraph.graph import START, MessagesState, StateGraph
        >>> from langgraph_checkpoint_rust import AsyncRustSqliteSaver
        >>> from langgraph_checkpoint_rust.fastapi import BackgroundRuns
        >>> builder = StateGraph(MessagesState).add_node("answer", lambda _: {"messages": [("ai", "Hello!")]})
        >>> async def main():
        ...     async with AsyncRustSqliteSaver("app.db") as saver:
        ...         graph = builder.add_edge(START, "answer").compile(checkpointer=saver)
        ...         async with BackgroundRuns(saver) as runs:
        ...             await runs.start(graph, {"messages": []}, {"configurable": {"thread_id": "1"}})
        ...         return (await saver.aget_thread("1")).status
        >>> asyncio.run(main())
        'done'
    """

    def __init__(self, saver: SqliteSaverBase, *, grace: float = 10.0, lease: float = _LEASE_SECONDS) -> None:
        self._saver = saver
        self._grace = grace
        self._lease = lease
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._closed = False

    async def start(self, graph: Any, input: Any, config: Any, **options: Any) -> None:
        """Starts a run of a graph, and returns when its thread is seen to be busy.

        Args:
            graph: The compiled graph. It must have been compiled with this saver.
            input: Its input, a `Command`, or None to go on.
            config: Names the thread, as `thread_config` does.
            **options: Passed on to `ainvoke`.

        Raises:
            MissingKeyError: If the config has no `thread_id`.
            LeaseHeldError: If another run goes on in the thread, in any process.
            RuntimeError: If the app is stopping, or `cancel` came before the run began.

        Example:
            >>> import asyncio
            >>> from langgraph.graph import START, MessagesState, StateGraph
            >>> from langgraph_checkpoint_rust import AsyncRustSqliteSaver
            >>> from langgraph_checkpoint_rust.fastapi import BackgroundRuns
            >>> builder = StateGraph(MessagesState).add_node("answer", lambda _: {"messages": []})
            >>> async def main():
            ...     async with AsyncRustSqliteSaver("app.db") as saver, BackgroundRuns(saver) as runs:
            ...         graph = builder.add_edge(START, "answer").compile(checkpointer=saver)
            ...         await runs.start(graph, {"messages": []}, {"configurable": {"thread_id": "1"}})
            >>> asyncio.run(main())
        """
        thread_id = _config.thread_id(config)
        if self._closed:
            raise RuntimeError("the app is stopping: no run can be started")
        leased = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(
            self._run(thread_id, leased, lambda: graph.ainvoke(input, config, **options))
        )
        self._tasks[task] = thread_id
        task.add_done_callback(self._tasks.pop)
        try:
            await asyncio.wait([leased, task], return_when=asyncio.FIRST_COMPLETED)
            if not leased.done():
                raise RuntimeError("the run was cancelled before it began")
            leased.result()
            while not task.done() and await self._saver.aget_thread(thread_id) is None:
                await asyncio.wait([task], timeout=_LOOK_EVERY)
        except asyncio.CancelledError:
            leased.cancel()
            task.cancel()
            raise

    async def cancel(self, thread_id: str) -> bool:
        """Cancels the run in a thread. What it stored stays; a later run may go on from there.

        Args:
            thread_id: The thread.

        Returns:
            Whether a run of this process went on there. It has ended.

        Example:
            >>> import asyncio
            >>> from langgraph_checkpoint_rust import AsyncRustSqliteSaver
            >>> from langgraph_checkpoint_rust.fastapi import BackgroundRuns
            >>> asyncio.run(BackgroundRuns(AsyncRustSqliteSaver("app.db")).cancel("1"))
            False
        """
        return await _cancelled([task for task, thread in self._tasks.items() if thread == thread_id]) > 0

    async def aclose(self) -> None:
        """Ends all runs: those that do not end within `grace` are cancelled. No other can be started.

        Example:
            >>> import asyncio
            >>> from langgraph_checkpoint_rust import AsyncRustSqliteSaver
            >>> from langgraph_checkpoint_rust.fastapi import BackgroundRuns
            >>> asyncio.run(BackgroundRuns(AsyncRustSqliteSaver("app.db")).aclose())
        """
        self._closed = True
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=self._grace)
        late = await _cancelled(list(self._tasks))
        if late:
            _logger.warning("background runs cancelled as the app stopped: %d", late)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def _run(
        self, thread_id: str, leased: asyncio.Future[None], work: Callable[[], Awaitable[Any]]
    ) -> None:
        try:
            async with self._saver.thread_lease(thread_id, self._lease) as lease:
                if not leased.done():
                    leased.set_result(None)
                renewing = asyncio.create_task(self._renew(lease))
                try:
                    await work()
                finally:
                    await _cancelled([renewing])
        except Exception as error:
            if leased.done():
                _logger.exception("a background run ended with an error")
            else:
                leased.set_exception(error)

    async def _renew(self, lease: ThreadLease) -> None:
        while True:
            await asyncio.sleep(self._lease / _RENEWALS)
            try:
                await lease.arenew()
            except CheckpointError as error:
                # If it is lost, the next put says so and ends the run.
                _logger.warning("the lease of a background run was not renewed: %s", type(error).__name__)


async def _cancelled(tasks: list[asyncio.Task[None]]) -> int:
    """Cancels tasks and waits for their ends; how many there were."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    return len(tasks)
