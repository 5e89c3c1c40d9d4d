"""Background runs and sessions of `langgraph_checkpoint_rust.fastapi`."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import pytest
from fastapi import Depends, FastAPI
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from helpers import config_of
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from langgraph_checkpoint_rust import AsyncRustSqliteSaver
from langgraph_checkpoint_rust._leases import ThreadLease
from langgraph_checkpoint_rust.errors import LeaseHeldError, MissingKeyError
from langgraph_checkpoint_rust.fastapi import (
    BackgroundRuns,
    get_background_runs,
    get_saver,
    install_error_handlers,
    lifespan,
    router,
    session,
    session_config,
    thread_config,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

INPUT = MessagesState(messages=[HumanMessage("Hi")])


class Gate:
    """A graph of two nodes; the second says that it began, and waits to be let through."""

    def __init__(self, saver: AsyncRustSqliteSaver) -> None:
        self.began = asyncio.Event()
        self.open = asyncio.Event()
        self.calls: list[str] = []

        async def first(state: MessagesState) -> dict[str, Any]:
            self.calls.append("first")
            return {"messages": [AIMessage("first")]}

        async def second(state: MessagesState) -> dict[str, Any]:
            self.calls.append("second")
            self.began.set()
            await self.open.wait()
            return {"messages": [AIMessage("second")]}

        builder = StateGraph(MessagesState).add_node(first).add_node(second)
        self.graph = builder.add_edge(START, "first").add_edge("first", "second").compile(checkpointer=saver)


async def status_of(saver: AsyncRustSqliteSaver, thread_id: str = "1") -> str | None:
    thread = await saver.aget_thread(thread_id)
    return None if thread is None else thread.status


async def over(saver: AsyncRustSqliteSaver, thread_id: str = "1") -> str | None:
    """How a thread stands once nobody is busy there, as a client sees it that polls."""
    with anyio.fail_after(20):
        while (status := await status_of(saver, thread_id)) == "busy":
            await asyncio.sleep(0.005)
    return status


# --- background runs ---


def test_a_run_is_busy_while_it_goes_on_and_done_after(path: Path) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver, BackgroundRuns(saver) as runs:
            gate = Gate(saver)
            await runs.start(gate.graph, INPUT, config_of())
            assert await status_of(saver) == "busy"
            await gate.began.wait()
            # As another process sees it.
            async with AsyncRustSqliteSaver(path) as other:
                assert await status_of(other) == "busy"
            gate.open.set()
            assert await over(saver) == "done"
            found = await saver.aget_tuple(config_of())
            assert found is not None
            texts = [message.text for message in found.checkpoint["channel_values"]["messages"]]
            assert texts == ["Hi", "first", "second"]

    asyncio.run(main())


def test_no_second_run_starts_in_a_busy_thread_in_any_process(path: Path) -> None:
    async def main() -> None:
        async with (
            AsyncRustSqliteSaver(path) as saver,
            AsyncRustSqliteSaver(path) as elsewhere,
            BackgroundRuns(saver) as runs,
            BackgroundRuns(elsewhere) as others,
        ):
            gate = Gate(saver)
            await runs.start(gate.graph, INPUT, config_of())
            for more in (runs, others):
                with pytest.raises(LeaseHeldError):
                    await more.start(gate.graph, INPUT, config_of())
            await runs.start(gate.graph, INPUT, config_of("2"))
            gate.open.set()
            assert [await over(saver, thread) for thread in ("1", "2")] == ["done", "done"]
            await others.start(Gate(elsewhere).graph, INPUT, config_of())
            assert await others.cancel("1")

    asyncio.run(main())


def test_a_run_that_fails_is_an_error_of_the_thread_and_is_logged(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(state: MessagesState) -> dict[str, Any]:
        raise OSError("no model")

    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver, BackgroundRuns(saver) as runs:
            graph = (
                StateGraph(MessagesState).add_node(fail).add_edge(START, "fail").compile(checkpointer=saver)
            )
            await runs.start(graph, INPUT, config_of())
            assert await over(saver) == "error"

    with caplog.at_level(logging.ERROR, "langgraph_checkpoint_rust"):
        asyncio.run(main())
    assert "no model" in caplog.text


def test_a_run_that_asks_is_interrupted_and_resumed(path: Path) -> None:
    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(interrupt("Shall I?"))]}

    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver, BackgroundRuns(saver) as runs:
            graph = StateGraph(MessagesState).add_node(ask).add_edge(START, "ask").compile(checkpointer=saver)
            await runs.start(graph, INPUT, config_of())
            assert await over(saver) == "interrupted"
            await runs.start(graph, Command(resume="yes"), config_of())
            assert await over(saver) == "done"

    asyncio.run(main())


def test_a_cancelled_run_goes_on_where_it_was(path: Path) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver, BackgroundRuns(saver) as runs:
            gate = Gate(saver)
            await runs.start(gate.graph, INPUT, config_of())
            await gate.began.wait()
            assert await runs.cancel("1")
            assert not await runs.cancel("1")
            assert await status_of(saver) == "pending"
            gate.open.set()
            await runs.start(gate.graph, None, config_of())
            assert await over(saver) == "done"
            assert gate.calls == ["first", "second", "second"]

    asyncio.run(main())


def test_when_the_app_stops_runs_get_their_time_and_late_ones_are_cancelled(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver:
            quick, late = Gate(saver), Gate(saver)
            runs = BackgroundRuns(saver, grace=0.3)
            await runs.start(quick.graph, INPUT, config_of("quick"))
            await runs.start(late.graph, INPUT, config_of("late"))
            await quick.began.wait()
            await late.began.wait()
            closing = asyncio.create_task(runs.aclose())
            quick.open.set()
            await closing
            assert [await status_of(saver, thread) for thread in ("quick", "late")] == ["done", "pending"]
            with pytest.raises(RuntimeError, match="stopping"):
                await runs.start(quick.graph, INPUT, config_of("more"))

    asyncio.run(main())
    assert "background runs cancelled as the app stopped: 1" in caplog.text


def test_the_lease_is_renewed_while_the_run_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    renewals: list[str] = []
    arenew = ThreadLease.arenew

    async def counted(lease: ThreadLease) -> None:
        await arenew(lease)
        renewals.append(lease.thread_id)

    monkeypatch.setattr(ThreadLease, "arenew", counted)

    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver, BackgroundRuns(saver, lease=0.3) as runs:
            gate = Gate(saver)
            await runs.start(gate.graph, INPUT, config_of())
            await gate.began.wait()
            with anyio.fail_after(20):
                while len(renewals) < 4:
                    await asyncio.sleep(0.01)
            gate.open.set()
            assert await over(saver) == "done"
            assert set(renewals) == {"1"}
            number = len(renewals)
            await runs.aclose()
            assert len(renewals) == number

    asyncio.run(main())


def test_the_thread_of_a_killed_process_is_free_once_its_lease_expired(path: Path) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver, BackgroundRuns(saver) as runs:
            gate = Gate(saver)
            gate.open.set()
            # What a killed process leaves: a lease that nobody renews.
            await saver.thread_lease("1", 0.5).__aenter__()
            with anyio.fail_after(20):
                while await is_held(saver, "1"):
                    await asyncio.sleep(0.02)
            await runs.start(gate.graph, INPUT, config_of())
            assert await over(saver) == "done"

    asyncio.run(main())


async def is_held(saver: AsyncRustSqliteSaver, thread_id: str) -> bool:
    try:
        async with saver.thread_lease(thread_id, 10):
            return False
    except LeaseHeldError:
        return True


def test_whoever_waits_for_the_start_may_be_cancelled(path: Path) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver, BackgroundRuns(saver) as runs:
            for turns in range(40):
                gate = Gate(saver)
                starting = asyncio.create_task(runs.start(gate.graph, INPUT, config_of()))
                for _ in range(turns):
                    await asyncio.sleep(0)
                starting.cancel()
                await asyncio.wait([starting])
                await runs.cancel("1")
                await over(saver)
                # Nobody holds the thread.
                with anyio.fail_after(20):
                    while await is_held(saver, "1"):
                        await asyncio.sleep(0.002)

    asyncio.run(main())


def test_a_run_that_is_cancelled_as_it_starts_is_started_or_refused(path: Path) -> None:
    async def main() -> set[str]:
        ends = set()
        async with AsyncRustSqliteSaver(path) as saver, BackgroundRuns(saver) as runs:
            for turns in range(40):
                gate = Gate(saver)
                starting = asyncio.create_task(runs.start(gate.graph, INPUT, config_of()))
                for _ in range(turns):
                    await asyncio.sleep(0)
                await runs.cancel("1")
                # A start that came after it goes on.
                ends.add(
                    repr((await asyncio.wait_for(asyncio.gather(starting, return_exceptions=True), 20))[0])
                )
                await runs.cancel("1")
                with anyio.fail_after(20):
                    while await is_held(saver, "1"):
                        await asyncio.sleep(0.002)
        return ends

    assert asyncio.run(main()) == {"None", "RuntimeError('the run was cancelled before it began')"}


@pytest.mark.compact
def test_a_run_needs_a_thread(path: Path) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver, BackgroundRuns(saver) as runs:
            with pytest.raises(MissingKeyError):
                await runs.start(Gate(saver).graph, INPUT, {"configurable": {}})

    asyncio.run(main())


def test_a_client_starts_a_run_and_polls_its_thread(path: Path) -> None:
    saver = AsyncRustSqliteSaver(path)
    open_ = asyncio.Event()

    async def work(state: MessagesState) -> dict[str, Any]:
        await open_.wait()
        return {"messages": [AIMessage("worked")]}

    graph = StateGraph(MessagesState).add_node(work).add_edge(START, "work").compile(checkpointer=saver)
    app = FastAPI(lifespan=lifespan(saver))
    app.include_router(router())
    install_error_handlers(app)

    @app.post("/runs", status_code=202)
    async def start(
        config: Annotated[RunnableConfig, Depends(thread_config())],
        runs: Annotated[BackgroundRuns, Depends(get_background_runs)],
    ) -> None:
        await runs.start(graph, INPUT, config)

    @app.post("/let-through")
    async def let_through() -> None:
        open_.set()

    with TestClient(app) as client:
        started = client.post("/runs")
        assert started.status_code == 202
        thread = started.headers["X-Thread-Id"]
        assert client.get(f"/threads/{thread}").json()["status"] == "busy"
        again = client.post("/runs", headers={"X-Thread-Id": thread})
        assert (again.status_code, again.json()["error"]) == (409, "LeaseHeldError")
        client.post("/let-through")
        while (status := client.get(f"/threads/{thread}").json()["status"]) == "busy":
            pass
        assert status == "done"


# --- sessions ---


@pytest.fixture
def graph_of() -> Any:
    def graph_of(saver: Any) -> Any:
        builder = StateGraph(MessagesState).add_node("answer", lambda _: {"messages": [AIMessage("Hello!")]})
        return builder.add_edge(START, "answer").compile(checkpointer=saver)

    return graph_of


def test_a_session_ends_as_it_was_told(path: Path, graph_of: Any) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(path, ttl={"sweep_interval_minutes": 60}) as saver:
            graph = graph_of(saver)
            for end in ("delete", "archive", timedelta(days=1), timedelta(milliseconds=1)):
                async with session(saver, str(end), end=end) as config:
                    assert config == {"configurable": {"thread_id": str(end)}}
                    await graph.ainvoke(INPUT, config)
                    assert await saver.aget_thread(str(end)) is not None
            assert await saver.aget_thread("delete") is None
            archived = await saver.aget_thread("archive")
            assert archived is not None
            assert archived.archived
            assert await saver.aget_thread("1 day, 0:00:00") is not None
            while await saver.aget_thread("0:00:00.001000") is not None:
                await asyncio.sleep(0.001)

    asyncio.run(main())


@pytest.mark.compact
def test_a_session_refuses_an_end_that_it_does_not_know(path: Path) -> None:
    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver, session(saver, "1", end="forget"):  # type: ignore[arg-type]
            raise AssertionError("entered")

    with pytest.raises(ValueError, match="not 'forget'"):
        asyncio.run(main())
    with pytest.raises(ValueError, match="not 5"):
        session_config(end=5)  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["error", "task", "scope"])
def test_a_session_ends_however_it_is_left(path: Path, graph_of: Any, how: str) -> None:
    async def use(saver: AsyncRustSqliteSaver, stored: asyncio.Event) -> None:
        async with session(saver, "1") as config:
            await graph_of(saver).ainvoke(INPUT, config)
            stored.set()
            if how == "error":
                raise OSError("no model")
            await asyncio.Event().wait()

    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver:
            stored = asyncio.Event()
            if how == "scope":
                # As Starlette ends a stream whose client went away.
                async with anyio.create_task_group() as group:
                    group.start_soon(use, saver, stored)
                    await stored.wait()
                    group.cancel_scope.cancel()
            else:
                task = asyncio.create_task(use(saver, stored))
                await stored.wait()
                if how == "task":
                    task.cancel()
                (ended,) = await asyncio.gather(task, return_exceptions=True)
                assert isinstance(ended, OSError if how == "error" else asyncio.CancelledError)
            assert await saver.aget_thread("1") is None

    asyncio.run(main())


def test_a_session_that_is_cancelled_again_as_it_ends_ends_first(path: Path, graph_of: Any) -> None:
    async def use(saver: AsyncRustSqliteSaver, thread: str, stored: asyncio.Event) -> None:
        async with session(saver, thread) as config:
            await graph_of(saver).ainvoke(INPUT, config)
            stored.set()
            await asyncio.Event().wait()

    async def main() -> None:
        async with AsyncRustSqliteSaver(path) as saver:
            for turns in range(30):
                stored = asyncio.Event()
                task = asyncio.create_task(use(saver, str(turns), stored))
                await stored.wait()
                task.cancel()
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait([task])
                assert task.cancelled()
                assert await saver.aget_thread(str(turns)) is None

    asyncio.run(main())


@pytest.fixture
def client(path: Path, graph_of: Any) -> Iterator[TestClient]:
    """Streams an answer in a thread that ends with the request."""
    saver = AsyncRustSqliteSaver(path)
    graph = graph_of(saver)
    app = FastAPI(lifespan=lifespan(saver))
    app.include_router(router())

    @app.post("/ask")
    async def ask(
        config: Annotated[RunnableConfig, Depends(session_config())],
        saver: Annotated[AsyncRustSqliteSaver, Depends(get_saver)],
        fail: bool = False,
    ) -> StreamingResponse:
        async def answer() -> AsyncIterator[str]:
            async for _, message in graph.astream(INPUT, config, stream_mode="updates", subgraphs=True):
                yield str(list(message))
            yield f" {await saver.acount_threads()} thread"

        if fail:
            await graph.ainvoke(INPUT, config)
            raise OSError("no model")
        return StreamingResponse(answer())

    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def test_a_thread_ends_after_the_last_byte_of_its_response(client: TestClient) -> None:
    assert client.post("/ask").text == "['answer'] 1 thread"
    assert client.get("/threads", params={"archived": "any"}).json()["threads"] == []
    assert client.post("/ask?fail=true").status_code == 500
    assert client.get("/threads", params={"archived": "any"}).json()["threads"] == []
