"""The checkpointer of a LangGraph server: what `checkpointer.path` of `langgraph.json` may name.

Example:
    >>> import asyncio, os
    >>> from langgraph_checkpoint_rust.server import checkpointer
    >>> os.environ["CHECKPOINTS_DB_PATH"] = "app.db"
    >>> async def main():
    ...     async with checkpointer() as saver:
    ...         return saver.is_setup
    >>> asyncio.run(main())
    True
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from langgraph_checkpoint_rust.aio import AsyncRustSqliteSaver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["checkpointer"]


@asynccontextmanager
async def checkpointer() -> AsyncIterator[AsyncRustSqliteSaver]:
    """Opens a saver, configured from the environment, for as long as the server runs.

    The server enters it once in each of its event loops. The savers that it gets share the file's one writer.

    Yields:
        The saver, with its database open.

    Raises:
        ValueError: If `CHECKPOINTS_DB_PATH` is not set, or a variable cannot be read; the message names it.
        CheckpointError: If the database cannot be opened: the server does not start.

    Example:
        >>> import asyncio, os
        >>> from langgraph.graph import START, StateGraph
        >>> from langgraph_checkpoint_rust.server import checkpointer
        >>> os.environ["CHECKPOINTS_DB_PATH"] = "app.db"
        >>> builder = StateGraph(int).add_node("add_one", lambda x: x + 1).add_edge(START, "add_one")
        >>> async def main():
        ...     async with checkpointer() as saver:
        ...         graph = builder.compile(checkpointer=saver)
        ...         return await graph.ainvoke(1, {"configurable": {"thread_id": "1"}})
        >>> asyncio.run(main())
        2
    """
    async with AsyncRustSqliteSaver.from_env() as saver:
        await saver.setup()
        yield saver
