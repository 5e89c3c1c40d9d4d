"""Threads that end with the request or the session that they were for."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any, Literal, TypeAlias

import anyio
from fastapi import Depends
from langchain_core.runnables import RunnableConfig

from langgraph_checkpoint_rust._base import SqliteSaverBase
from langgraph_checkpoint_rust.fastapi._lifespan import AnySaver, get_saver
from langgraph_checkpoint_rust.fastapi._thread_config import thread_config

End: TypeAlias = Literal["delete", "archive"] | timedelta


@asynccontextmanager
async def session(
    saver: SqliteSaverBase, thread_id: str, *, end: End = "delete"
) -> AsyncIterator[RunnableConfig]:
    """A thread that ends with the block: however it is left, also by an error or a cancellation.

    The end is carried out to its own end before a cancellation goes on. What a killed process leaves, no
    block ends: give the saver a `ttl=` as well.

    Args:
        saver: The saver.
        thread_id: The thread. It need not exist yet.
        end: `"delete"` it, `"archive"` it, or give it a time to live from then on.

    Yields:
        The config of the thread.

    Raises:
        ValueError: If `end` is something else.

    Example:
        >>> import asyncio
        >>> from langgraph.graph import START, MessagesState, StateGraph
        >>> from langgraph_checkpoint_rust import AsyncRustSqliteSaver
        >>> from langgraph_checkpoint_rust.fastapi import session
        >>> builder = StateGraph(MessagesState).add_node("answer", lambda _: {"messages": [("ai", "Hello!")]})
        >>> async def main():
        ...     async with AsyncRustSqliteSaver("app.db") as saver:
        ...         graph = builder.add_edge(START, "answer").compile(checkpointer=saver)
        ...         async with session(saver, "visitor-1") as config:
        ...             await graph.ainvoke({"messages": [("user", "Hi")]}, config)
        ...             print(await saver.acount_threads())
        ...         return await saver.acount_threads()
        >>> asyncio.run(main())
        1
        0
    """
    _check(end)
    try:
        yield {"configurable": {"thread_id": thread_id}}
    finally:
        await _completed(_ended(saver, thread_id, end))


def session_config(
    config: Callable[..., RunnableConfig] | None = None, *, end: End = "delete"
) -> Callable[..., AsyncIterator[RunnableConfig]]:
    """Makes a dependency: as `thread_config`, and the thread ends with the request, as in `session`.

    The end comes after the response was sent to its last byte, or its client went away.

    Args:
        config: The dependency that gives the thread; `thread_config()` if None.
        end: As in `session`.

    Returns:
        The dependency.

    Raises:
        ValueError: If `end` is something else.

    Example:
        >>> from typing import Annotated
        >>> from fastapi import Depends, FastAPI
        >>> from langchain_core.runnables import RunnableConfig
        >>> from langgraph_checkpoint_rust.fastapi import session_config
        >>> app = FastAPI()
        >>> @app.post("/ask")
        ... async def ask(config: Annotated[RunnableConfig, Depends(session_config(end="archive"))]) -> str:
        ...     return config["configurable"]["thread_id"]
    """
    _check(end)

    async def dependency(
        config: Annotated[RunnableConfig, Depends(config or thread_config())],
        saver: Annotated[AnySaver, Depends(get_saver)],
    ) -> AsyncIterator[RunnableConfig]:
        async with session(saver, config["configurable"]["thread_id"], end=end):
            yield config

    return dependency


def _check(end: Any) -> None:
    if not isinstance(end, timedelta) and end not in ("delete", "archive"):
        raise ValueError(f'end must be "delete", "archive" or a timedelta, not {end!r}')


async def _ended(saver: SqliteSaverBase, thread_id: str, end: End) -> None:
    if isinstance(end, timedelta):
        await saver.aset_ttl(thread_id, end / timedelta(minutes=1))
    elif end == "archive":
        await saver.aarchive_thread(thread_id)
    else:
        await saver.adelete_thread(thread_id)


async def _completed(work: Coroutine[Any, Any, None]) -> None:
    """Carries work out to its end, however often the caller is cancelled meanwhile; then the caller is."""
    task = asyncio.ensure_future(work)
    cancellation: asyncio.CancelledError | None = None
    # Without it a scope of anyio, which Starlette uses, would cancel each turn of the loop.
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:  # noqa: PERF203 - this is what it is about
                cancellation = error
    if cancellation is not None:
        raise cancellation from task.exception()
    task.result()
