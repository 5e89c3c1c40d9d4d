"""Tenants in `langgraph_checkpoint_rust.fastapi`: no request of one reaches a thread of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.testclient import TestClient
from helpers import config_of, put_chain, rows
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, MessagesState, StateGraph

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver
from langgraph_checkpoint_rust.fastapi import (
    BackgroundRuns,
    get_background_runs,
    install_error_handlers,
    lifespan,
    router,
    scoped_saver,
    session_config,
    thread_config,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ACME, UMBRELLA, EMPTY = ({"Api-Key": key} for key in ("key of acme", "key of umbrella", "key of nobody"))
TENANTS = {"key of acme": "acme", "key of umbrella": "umbrella%", "key of nobody": ""}


def tenant(api_key: Annotated[str, Header()] = "") -> str:
    if api_key not in TENANTS:
        raise HTTPException(401)
    return TENANTS[api_key]


Config = Annotated[RunnableConfig, Depends(thread_config(tenant=tenant))]
Session = Annotated[RunnableConfig, Depends(session_config(thread_config(tenant=tenant)))]


@pytest.fixture
def client(path: Path) -> Iterator[TestClient]:
    """A chat whose one graph serves all tenants."""
    saver = AsyncRustSqliteSaver(path)

    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(f"{len(state['messages'])}")]}

    graph = StateGraph(MessagesState).add_node(answer).add_edge(START, "answer").compile(checkpointer=saver)
    app = FastAPI(lifespan=lifespan(saver))
    app.include_router(router(tenant=tenant))
    install_error_handlers(app)

    async def run(config: RunnableConfig) -> str:
        state = await graph.ainvoke(MessagesState(messages=[HumanMessage("Hi")]), config)
        return str(state["messages"][-1].text)

    @app.post("/chat")
    async def chat(config: Config) -> str:
        return await run(config)

    @app.post("/once")
    async def once(config: Session) -> str:
        return await run(config)

    @app.post("/runs")
    async def start(config: Config, runs: Annotated[BackgroundRuns, Depends(get_background_runs)]) -> None:
        await runs.start(graph, MessagesState(messages=[HumanMessage("Hi")]), config)

    @app.get("/count")
    async def count(saver: Annotated[AsyncRustSqliteSaver, Depends(scoped_saver(tenant))]) -> int:
        return await saver.acount_threads()

    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def chat(client: TestClient, who: dict[str, str], thread: str) -> str:
    answer = client.post("/chat", headers={**who, "X-Thread-Id": thread})
    assert answer.headers["X-Thread-Id"] == thread
    return str(answer.json())


def threads(client: TestClient, who: dict[str, str]) -> list[str]:
    listed = client.get("/threads", params={"order_by": "thread_id"}, headers=who).json()["threads"]
    return [thread["thread_id"] for thread in listed]


def test_the_same_id_is_another_thread_of_another_tenant(client: TestClient) -> None:
    assert [chat(client, ACME, "1") for _ in range(2)] == ["1", "3"]
    assert chat(client, UMBRELLA, "1") == "1"
    chat(client, UMBRELLA, "2")
    assert threads(client, ACME) == ["1"]
    assert threads(client, UMBRELLA) == ["1", "2"]
    assert [client.get("/count", headers=who).json() for who in (ACME, UMBRELLA)] == [1, 2]
    histories = [client.get("/threads/1/history", headers=who).json() for who in (ACME, UMBRELLA)]
    assert [len(history["checkpoints"]) for history in histories] == [6, 3]
    assert client.get("/threads/2", headers=ACME).status_code == 404
    assert client.delete("/threads/2", headers=ACME).status_code == 204
    assert client.delete("/threads/1", headers=ACME).status_code == 204
    assert threads(client, ACME) == []
    assert threads(client, UMBRELLA) == ["1", "2"]


def test_no_id_reaches_another_tenants_thread(client: TestClient, path: Path) -> None:
    chat(client, ACME, "1")
    stored = rows(path, "checkpoints")
    for forged in ("acme%25%3A1", "acme%3A1", "%2E%2E%2Facme%25%3A1", "1%00"):
        for place in (f"/threads/{forged}", f"/threads/{forged}/history"):
            assert client.get(place, headers=UMBRELLA).status_code == 404
        assert client.delete(f"/threads/{forged}", headers=UMBRELLA).status_code in {204, 404}
    for forged in ("acme%:1", "%:1", "../acme"):
        assert client.post("/chat", headers={**UMBRELLA, "X-Thread-Id": forged}).status_code == 422
    assert rows(path, "checkpoints") == stored


def test_who_is_no_tenant_gets_nothing(client: TestClient, path: Path) -> None:
    for method, place in (
        ("GET", "/threads"),
        ("DELETE", "/threads/1"),
        ("POST", "/chat"),
        ("GET", "/count"),
    ):
        assert client.request(method, place).status_code == 401
        # A dependency that gives no tenant is a defect of the app; nobody's threads are shown for it.
        assert client.request(method, place, headers=EMPTY).status_code == 500
    assert rows(path, "checkpoints") == []
    assert client.get("/healthz").status_code == 200


def test_runs_and_sessions_are_the_tenants_too(client: TestClient) -> None:
    headers = {"X-Thread-Id": "1"}
    assert client.post("/runs", headers=headers | ACME).status_code == 200
    while client.get("/threads/1", headers=ACME).json()["status"] == "busy":
        pass
    assert client.get("/threads/1", headers=ACME).json()["status"] == "done"
    assert client.get("/threads/1", headers=UMBRELLA).status_code == 404
    assert client.post("/once", headers=headers | UMBRELLA).json() == "1"
    assert threads(client, UMBRELLA) == []
    assert threads(client, ACME) == ["1"]


@pytest.mark.parametrize(
    "name", ["acme", "Acme Ltd", "a/b", "a%b", "a:b", "%:", "é", "é", "日本", "-._~", "a\x00"]
)
def test_the_config_names_the_thread_that_the_scoped_saver_stores(path: Path, name: str) -> None:
    app = FastAPI()

    @app.get("/")
    async def which(  # what a postponed annotation names must be global
        config: RunnableConfig = Depends(thread_config(tenant=lambda: name)),  # noqa: FAST002
    ) -> RunnableConfig:
        return config

    config = TestClient(app).get("/", headers={"X-Thread-Id": "1"}).json()
    with RustSqliteSaver(path) as saver:
        put_chain(saver.scoped(name), 1)
        found = saver.get_tuple(config)
        assert found is not None
        saver.delete_thread(config["configurable"]["thread_id"])
        assert saver.scoped(name).get_tuple(config_of()) is None
