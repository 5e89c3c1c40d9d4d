"""A saver in a FastAPI app: its lifetime, its threads, its errors, its health. Needs the extra `fastapi`.

The modules of this package have their annotations evaluated where they stand (no `from __future__ import
annotations`): FastAPI reads the dependencies' signatures, and some of them name what only a closure knows.
An app may do either.

Example:
    >>> from typing import Annotated
    >>> from fastapi import Depends, FastAPI
    >>> from fastapi.testclient import TestClient
    >>> from langchain_core.runnables import RunnableConfig
    >>> from langgraph.graph import START, MessagesState, StateGraph
    >>> from langgraph_checkpoint_rust import AsyncRustSqliteSaver
    >>> from langgraph_checkpoint_rust.fastapi import lifespan, thread_config
    >>> saver = AsyncRustSqliteSaver("app.db")
    >>> builder = StateGraph(MessagesState).add_node("answer", lambda _: {"messages": [("ai", "Hello!")]})
    >>> graph = builder.add_edge(START, "answer").compile(checkpointer=saver)
    >>> app = FastAPI(lifespan=lifespan(saver))
    >>> @app.post("/chat")
    ... async def chat(text: str, config: Annotated[RunnableConfig, Depends(thread_config())]) -> str:
    ...     state = await graph.ainvoke({"messages": [("user", text)]}, config)
    ...     return state["messages"][-1].text
    >>> with TestClient(app) as client:
    ...     client.post("/chat", params={"text": "Hi"}, headers={"X-Thread-Id": "ada-1"}).json()
    'Hello!'
"""

from __future__ import annotations

try:
    import fastapi  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "fastapi":
        raise
    raise ImportError(
        "langgraph_checkpoint_rust.fastapi needs FastAPI: pip install 'langgraph-checkpoint-rust[fastapi]'"
    ) from error

from langgraph_checkpoint_rust.fastapi._background import BackgroundRuns
from langgraph_checkpoint_rust.fastapi._errors import install_error_handlers
from langgraph_checkpoint_rust.fastapi._lifespan import get_background_runs, get_saver, lifespan
from langgraph_checkpoint_rust.fastapi._models import (
    HealthModel,
    HistoryEntryModel,
    HistoryPageModel,
    ProblemModel,
    ThreadModel,
    ThreadPageModel,
)
from langgraph_checkpoint_rust.fastapi._router import router
from langgraph_checkpoint_rust.fastapi._session import session, session_config
from langgraph_checkpoint_rust.fastapi._tenants import scoped_saver
from langgraph_checkpoint_rust.fastapi._thread_config import thread_config

__all__ = [
    "BackgroundRuns",
    "HealthModel",
    "HistoryEntryModel",
    "HistoryPageModel",
    "ProblemModel",
    "ThreadModel",
    "ThreadPageModel",
    "get_background_runs",
    "get_saver",
    "install_error_handlers",
    "lifespan",
    "router",
    "scoped_saver",
    "session",
    "session_config",
    "thread_config",
]
