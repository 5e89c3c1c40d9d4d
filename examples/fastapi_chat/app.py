"""A chat over HTTP: streamed answers, a question to a human, many workers on one file.

`uvicorn app:app --workers 4` runs it; README.md has requests to try. The model is a parrot: no network.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Response
from fastapi.responses import StreamingResponse
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from langgraph_checkpoint_rust import AsyncRustSqliteSaver
from langgraph_checkpoint_rust.errors import CheckpointError
from langgraph_checkpoint_rust.fastapi import (
    install_error_handlers,
    lifespan,
    router,
    session_config,
    thread_config,
)

SECONDS_PER_WORD = 0.02

saver = AsyncRustSqliteSaver.from_env(
    conn=os.environ.get("CHECKPOINTS_DB_PATH", "chat.db"),
    # Of two requests that write to one thread at once, one is told so.
    on_conflict="raise",
    on_deleted_thread="raise",
)


class Parrot(BaseChatModel):
    """Repeats what it was told last, word by word."""

    @property
    def _llm_type(self) -> str:
        return "parrot"

    def _words(self, messages: list[BaseMessage]) -> Iterator[str]:
        yield f"{len(messages)}:"
        for word in messages[-1].text.split():
            yield f" {word}"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        message = AIMessage("".join(self._words(messages)))
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _astream(
        self, messages: list[BaseMessage], *_: Any, **__: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for word in self._words(messages):
            await asyncio.sleep(SECONDS_PER_WORD)
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))


def approve(state: MessagesState) -> dict[str, list[HumanMessage]]:
    """Asks a human before anything is booked. The run stops here, for as long as it takes."""
    if "book" in state["messages"][-1].text and interrupt("Shall I book it?") != "yes":
        return {"messages": [HumanMessage("Do not book it.")]}
    return {"messages": []}


async def answer(state: MessagesState) -> dict[str, list[BaseMessage]]:
    """Has the model answer."""
    return {"messages": [await Parrot().ainvoke(state["messages"])]}


graph = (
    StateGraph(MessagesState)
    .add_node(approve)
    .add_node(answer)
    .add_edge(START, "approve")
    .add_edge("approve", "answer")
    .compile(checkpointer=saver)
)

app = FastAPI(title="Chat", lifespan=lifespan(saver))
app.include_router(router())
install_error_handlers(app)

Config = Annotated[RunnableConfig, Depends(thread_config())]
PassingConfig = Annotated[RunnableConfig, Depends(session_config())]


class Turn(BaseModel):
    """What a user says: a text, or the answer to a question. Neither goes on with a run that was cut off."""

    text: str | None = None
    resume: str | None = None

    def to_input(self) -> Any:
        """The input of the graph."""
        if self.resume is not None:
            return Command(resume=self.resume)
        return None if self.text is None else {"messages": [HumanMessage(self.text)]}


@app.post("/chat")
async def chat(turn: Turn, config: Config, response: Response) -> StreamingResponse:
    """Streams the answer as server-sent events: `token`, `question` and, at last, `end` or `error`."""
    return streamed(turn, config, response)


@app.post("/ask")
async def ask(turn: Turn, config: PassingConfig, response: Response) -> StreamingResponse:
    """The same in a thread that is deleted once it was answered, or the client went away."""
    return streamed(turn, config, response)


def streamed(turn: Turn, config: RunnableConfig, response: Response) -> StreamingResponse:
    """The response to a turn, with the headers that were set on the way here."""
    return StreamingResponse(
        events(turn.to_input(), config),
        media_type="text/event-stream",
        headers={**response.headers, "Cache-Control": "no-cache"},
    )


async def events(input_: Any, config: RunnableConfig) -> AsyncIterator[str]:
    """What happens in a run. When the client goes away, the server cancels it here."""
    happenings: AsyncIterator[Any] = graph.astream(input_, config, stream_mode=["messages", "updates"])
    try:
        async for mode, value in happenings:
            if mode == "messages" and isinstance(value[0], AIMessageChunk) and value[0].text:
                yield event("token", value[0].text)
            elif mode == "updates" and "__interrupt__" in value:
                yield event("question", value["__interrupt__"][0].value)
        yield event("end", {"worker": os.getpid()})
    except CheckpointError as error:
        yield event("error", type(error).__name__)


def event(name: str, data: Any) -> str:
    """A server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


@app.get("/chat")
async def messages(config: Config) -> list[str]:
    """Everything that was said in a thread."""
    state = await graph.aget_state(config)
    return [f"{message.type}: {message.text}" for message in state.values.get("messages", [])]
