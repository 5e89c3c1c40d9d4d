"""The FastAPI app of `application.py`: application_server.py NAME SYNCHRONOUS FORMAT PATH.

It listens on a free port of the loopback interface, which it prints.
"""

from __future__ import annotations

import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from contenders import Contender
from fastapi import FastAPI
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import START, MessagesState, StateGraph
from shapes import TEXT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def answer(state: Any) -> dict[str, Any]:
    return {"messages": [AIMessage(f"{len(state['messages'])}: {TEXT}")]}


def application(contender: Contender, path: Path) -> FastAPI:
    graphs: list[Any] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with contender.opened_async(path) as saver:
            builder = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer")
            graphs.append(builder.compile(checkpointer=saver))
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/chat/{thread}")
    async def chat(thread: str, text: str) -> int:
        """How many messages the conversation has now."""
        config: Any = {"configurable": {"thread_id": thread}}
        found = await graphs[0].ainvoke({"messages": [HumanMessage(text)]}, config)
        return len(found["messages"])

    return app


def main() -> None:
    name, synchronous, kind, path = sys.argv[1:]
    app = application(Contender(name, synchronous, kind), Path(path))
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        print(listening.getsockname()[1], flush=True)
        # A connection that waits for its busy user is not closed: that would be an error of the load.
        config = uvicorn.Config(app, log_level="warning", timeout_keep_alive=600)
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
