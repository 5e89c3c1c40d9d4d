"""The saver for sync code."""

from __future__ import annotations

from langgraph_checkpoint_rust._base import SqliteSaverBase


class RustSqliteSaver(SqliteSaverBase):
    """A checkpoint saver in a SQLite file: the drop-in for `langgraph.checkpoint.sqlite.SqliteSaver`.

    It may be made anywhere, at import time too; it opens the file on first use. All verbs, sync and
    async, work from any thread and any event loop.

    Args:
        conn: A path, `:memory:`, `sqlite:///…`, a `file:` URI, or a `sqlite3` or `aiosqlite`
            connection, which is taken for its file name. Missing directories are made; a new file is
            readable by its owner only.
        serde: The serializer; a `RustSerializer` if None. May be assigned later.
        settings: The settings; defaults if None.
        **options: Single settings, which win over `settings`: see `SqliteSettings`. And what the host asks
            for (`retention`, `ttl`, `on_event`, ...): see `HostSettings`.

    Raises:
        TypeError: If `conn` is no path or connection.
        ValueError: If `conn` or a setting cannot be understood, or a connection holds data in memory.

    Example:
        >>> from langgraph.graph import START, StateGraph
        >>> from langgraph_checkpoint_rust import RustSqliteSaver
        >>> builder = StateGraph(int)
        >>> builder = builder.add_node("add_one", lambda x: x + 1).add_edge(START, "add_one")
        >>> graph = builder.compile(checkpointer=RustSqliteSaver(":memory:"))
        >>> config = {"configurable": {"thread_id": "1"}}
        >>> graph.invoke(3, config)
        4
        >>> graph.get_state(config).values
        4
    """

    def setup(self) -> None:
        """Opens the database and makes its tables. Every verb does it; call it to fail early.

        Raises:
            DatabaseOpenError: If the file cannot be opened or made.
            DatabaseCorruptError: If it is no database.
            ReadOnlyError: If it cannot be written and is not there yet.

        Example:
            >>> from langgraph_checkpoint_rust import RustSqliteSaver
            >>> RustSqliteSaver(":memory:").setup()
        """
        self._run(self._open(), "setup")

    async def asetup(self) -> None:
        """As `setup`."""
        await self._arun(self._open(), "setup")
