"""The saver for async code."""

from __future__ import annotations

from langgraph_checkpoint_rust._base import SqliteSaverBase


class AsyncRustSqliteSaver(SqliteSaverBase):
    """The drop-in for `langgraph.checkpoint.sqlite.aio.AsyncSqliteSaver`.

    The same as `RustSqliteSaver` but for `setup`, which is a coroutine here as it is upstream.

    Args:
        conn: As in `RustSqliteSaver`.
        serde: As in `RustSqliteSaver`.
        settings: As in `RustSqliteSaver`.
        **options: As in `RustSqliteSaver`.

    Example:
        >>> import asyncio
        >>> from langgraph.graph import START, StateGraph
        >>> from langgraph_checkpoint_rust import AsyncRustSqliteSaver
        >>> builder = StateGraph(int)
        >>> builder = builder.add_node("add_one", lambda x: x + 1).add_edge(START, "add_one")
        >>> async def main():
        ...     async with AsyncRustSqliteSaver.from_conn_string(":memory:") as saver:
        ...         graph = builder.compile(checkpointer=saver)
        ...         return await graph.ainvoke(1, {"configurable": {"thread_id": "1"}})
        >>> asyncio.run(main())
        2
    """

    async def setup(self) -> None:
        """As `RustSqliteSaver.setup`, awaited.

        Example:
            >>> import asyncio
            >>> from langgraph_checkpoint_rust import AsyncRustSqliteSaver
            >>> asyncio.run(AsyncRustSqliteSaver(":memory:").setup())
        """
        await self._arun(self._open(), "setup")

    asetup = setup
