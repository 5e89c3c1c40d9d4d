"""`langgraph_checkpoint_rust.fastapi`: lifetime, threads, errors and health, asked over HTTP."""

from __future__ import annotations

import os
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from helpers import Lock, config_of, put_chain, query, rows
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, MessagesState, StateGraph

import langgraph_checkpoint_rust
from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver, SqliteSettings, errors
from langgraph_checkpoint_rust.fastapi import (
    get_saver,
    install_error_handlers,
    lifespan,
    router,
    thread_config,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

Saver = Annotated[AsyncRustSqliteSaver, Depends(get_saver)]
Config = Annotated[RunnableConfig, Depends(thread_config())]


def app_of(source: Any, **options: Any) -> FastAPI:
    """An app that counts its threads."""
    app = FastAPI(lifespan=lifespan(source, **options))

    @app.get("/count")
    async def count(saver: Saver) -> int:
        return await saver.acount_threads()

    return app


@pytest.fixture
def seeded(path: Path) -> Path:
    """Threads `t0` to `t4` of 3 checkpoints each; `t0` has a title, `t4` is archived."""
    with RustSqliteSaver(path) as saver:
        for number in range(5):
            put_chain(saver, 3, f"t{number}")
        saver.set_thread("t0", title="Trip to Rome", metadata={"user": "ada"})
        saver.archive_thread("t4")
    return path


@pytest.fixture
def client(seeded: Path) -> Iterator[TestClient]:
    """An app with the router, on the seeded file."""
    app = app_of(seeded)
    app.include_router(router())
    with TestClient(app) as client:
        yield client


# --- lifespan ---


def test_the_database_is_open_while_the_app_serves_and_closed_after(path: Path) -> None:
    saver = AsyncRustSqliteSaver(path)
    with TestClient(app_of(saver)) as client:
        assert saver.is_setup
        assert client.get("/count").json() == 0
    with pytest.raises(errors.SaverClosedError):
        saver.get_tuple(config_of())


def test_an_app_does_not_start_on_a_database_that_cannot_be_opened(path: Path) -> None:
    path.mkdir()
    with pytest.raises(errors.DatabaseOpenError):
        TestClient(app_of(path)).__enter__()


@pytest.mark.compact
def test_what_a_lifespan_may_be_made_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHECKPOINTS_DB_PATH", str(path))
    sources = [
        None,
        str(path),
        path,
        SqliteSettings(pool_size=3),
        RustSqliteSaver(path),
        lambda: AsyncRustSqliteSaver(path),
        langgraph_checkpoint_rust.get_saver,
    ]
    for source in sources:
        app = app_of(source)
        with TestClient(app) as client:
            assert client.get("/count").json() == 0
            saver = app.state.checkpoint_saver
            assert saver.settings.pool_size == (3 if isinstance(source, SqliteSettings) else 8)
    with pytest.raises(TypeError, match="not int"):
        TestClient(app_of(5)).__enter__()


def test_an_app_whose_lifespan_makes_its_saver_starts_again(path: Path) -> None:
    app = app_of(lambda: AsyncRustSqliteSaver(path))
    for _ in range(2):
        with TestClient(app) as client:
            assert client.get("/count").json() == 0


@pytest.mark.compact
def test_the_apps_own_lifespan_runs_within_and_its_state_is_passed_on(path: Path) -> None:
    saver = AsyncRustSqliteSaver(path)
    seen: list[Any] = []

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        seen.append(await saver.acount_threads())
        yield {"model": "a model"}
        seen.append(await saver.acount_threads())

    app = app_of(saver, inner=own)

    @app.websocket("/model")
    async def model(socket: WebSocket, saver: Saver) -> None:
        await socket.accept()
        await socket.send_json([socket.state.model, await saver.acount_threads()])
        await socket.close()

    with TestClient(app) as client, client.websocket_connect("/model") as socket:
        assert socket.receive_json() == ["a model", 0]
    assert seen == [0, 0]


@pytest.mark.compact
def test_it_can_be_entered_in_the_apps_own_lifespan(path: Path) -> None:
    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[None]:
        async with lifespan(path)(app):
            yield

    app = FastAPI(lifespan=own)
    app.include_router(router())
    with TestClient(app) as client:
        assert client.get("/threads").json()["threads"] == []


@pytest.mark.compact
def test_an_own_lifespan_that_fails_closes_the_saver(path: Path) -> None:
    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[None]:
        raise OSError("no model")
        yield

    saver = AsyncRustSqliteSaver(path)
    with pytest.raises(OSError, match="no model"):
        TestClient(app_of(saver, inner=own)).__enter__()
    with pytest.raises(errors.SaverClosedError):
        saver.get_tuple(config_of())


@pytest.mark.compact
def test_a_mounted_app_finds_the_saver(path: Path) -> None:
    outer, mounted = app_of(path), FastAPI()
    mounted.include_router(router())
    outer.mount("/api", mounted)
    with TestClient(outer) as client:
        assert client.get("/api/threads").json()["threads"] == []


@pytest.mark.compact
def test_without_a_lifespan_the_error_says_what_to_do(path: Path) -> None:
    with pytest.raises(RuntimeError, match="pass `lifespan=lifespan"):
        TestClient(app_of(path)).get("/count")


# --- thread_config ---


@pytest.fixture
def which() -> TestClient:
    """Tells which thread a request is about."""
    app = FastAPI()
    for place in ("/which", "/threads/{thread_id}/which"):

        @app.get(place)
        async def which(config: Config) -> str:
            return str(config["configurable"]["thread_id"])

    @app.get("/streamed")
    async def streamed(config: Config, response: Response) -> StreamingResponse:
        return StreamingResponse(iter(["text"]), headers=dict(response.headers))

    @app.get("/strict")
    async def strict(
        config: Annotated[
            RunnableConfig, Depends(thread_config(header="Chat", path=None, query=None, new=False))
        ],
    ) -> str:
        return str(config["configurable"]["thread_id"])

    return TestClient(app)


@pytest.mark.compact
def test_a_thread_is_named_by_path_header_or_query_or_is_new(which: TestClient) -> None:
    header = {"X-Thread-Id": "ada-1"}
    named = [
        which.get("/threads/ada-1/which"),
        which.get("/which", headers=header),
        which.get("/which?thread_id=ada-1"),
        which.get("/threads/ada-1/which?thread_id=ada-1", headers=header),
    ]
    assert [answer.json() for answer in named] == ["ada-1"] * 4
    assert [answer.headers["X-Thread-Id"] for answer in named] == ["ada-1"] * 4
    new = [which.get("/which") for _ in range(3)]
    assert len({answer.json() for answer in new}) == 3
    assert all(answer.json() == answer.headers["X-Thread-Id"] for answer in new)


@pytest.mark.compact
def test_a_response_of_ones_own_can_carry_the_header(which: TestClient) -> None:
    answer = which.get("/streamed?thread_id=ada-1")
    assert (answer.text, answer.headers["X-Thread-Id"]) == ("text", "ada-1")


@pytest.mark.compact
@pytest.mark.parametrize("wrong", ["", " ", "a b", "a/b", "-a", "a\x00", "é", "a" * 129, "a\n", "%", "../a"])
def test_an_id_that_is_none_is_refused(which: TestClient, wrong: str) -> None:
    answer = which.get("/which", params={"thread_id": wrong})
    assert answer.status_code == 422
    assert "X-Thread-Id" not in answer.headers


@pytest.mark.compact
def test_a_request_that_names_two_threads_is_refused(which: TestClient) -> None:
    answer = which.get("/threads/ada-1/which", headers={"X-Thread-Id": "ada-2"})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "the request names two threads"


@pytest.mark.compact
def test_a_place_that_is_not_asked_for_is_not_read(which: TestClient) -> None:
    assert which.get("/strict?thread_id=a", headers={"X-Thread-Id": "a"}).status_code == 422
    answer = which.get("/strict?thread_id=a", headers={"Chat": "b"})
    assert (answer.json(), answer.headers["Chat"]) == ("b", "b")


@pytest.mark.compact
def test_the_schema_names_what_is_read(which: TestClient) -> None:
    paths = which.get("/openapi.json").json()["paths"]
    parameters = {place: {found["name"] for found in paths[place]["get"]["parameters"]} for place in paths}
    assert parameters["/which"] == {"X-Thread-Id", "thread_id"}
    assert parameters["/strict"] == {"Chat"}


POSTPONED = """
from __future__ import annotations
from typing import Annotated
from fastapi import Depends, FastAPI
from langchain_core.runnables import RunnableConfig
from langgraph_checkpoint_rust import AsyncRustSqliteSaver
from langgraph_checkpoint_rust.fastapi import (
    BackgroundRuns, get_background_runs, get_saver, lifespan, session_config, thread_config
)

app = FastAPI(lifespan=lifespan(PATH))

@app.get("/{thread_id}")
async def all_of_them(
    config: Annotated[RunnableConfig, Depends(thread_config())],
    ending: Annotated[RunnableConfig, Depends(session_config(thread_config(header=None), end="archive"))],
    saver: Annotated[AsyncRustSqliteSaver, Depends(get_saver)],
    runs: Annotated[BackgroundRuns, Depends(get_background_runs)],
) -> list[str]:
    return [config["configurable"]["thread_id"], type(saver).__name__, type(runs).__name__]
"""


@pytest.mark.compact
def test_an_app_may_postpone_its_annotations(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("postponed")
    module.__dict__["PATH"] = path
    monkeypatch.setitem(sys.modules, "postponed", module)
    exec(POSTPONED, module.__dict__)  # noqa: S102
    with TestClient(module.__dict__["app"]) as client:
        assert client.get("/ada-1").json() == ["ada-1", "AsyncRustSqliteSaver", "BackgroundRuns"]


@pytest.mark.compact
def test_a_websocket_names_its_thread_too(path: Path) -> None:
    app = app_of(path)

    @app.websocket("/{thread_id}")
    async def which(socket: WebSocket, config: Config, saver: Saver) -> None:
        await socket.accept()
        await socket.send_json([config, await saver.acount_threads()])
        await socket.close()

    with TestClient(app) as client:
        with client.websocket_connect("/ada-1") as socket:
            assert socket.receive_json() == [{"configurable": {"thread_id": "ada-1"}}, 0]
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/-a"):
            pass


# --- the router ---


def test_threads_are_listed_filtered_and_paged(client: TestClient) -> None:
    listed = client.get("/threads", params={"order_by": "thread_id"}).json()
    assert [thread["thread_id"] for thread in listed["threads"]] == ["t0", "t1", "t2", "t3"]
    assert listed["threads"][0]["title"] == "Trip to Rome"
    assert listed["threads"][0]["checkpoints"] == 3
    assert listed["cursor"] is None

    def ids(**asked: Any) -> list[str]:
        answer = client.get("/threads", params={"order_by": "thread_id", **asked})
        assert answer.status_code == 200, answer.text
        return [thread["thread_id"] for thread in answer.json()["threads"]]

    assert ids(filter='{"user": "ada"}') == ["t0"]
    assert ids(filter='{"user": "bob"}') == []
    assert ids(archived="true") == ["t4"]
    assert len(ids(archived="any")) == 5
    assert ids(status="done") == ["t0", "t1", "t2", "t3"]
    assert ids(status="interrupted") == []
    paged, cursor = [], ""
    while cursor is not None:
        asked: dict[str, str] = {"order_by": "thread_id", "limit": "3"} | (
            {"cursor": cursor} if cursor else {}
        )
        page = client.get("/threads", params=asked).json()
        paged += [thread["thread_id"] for thread in page["threads"]]
        cursor = page["cursor"]
    assert paged == ["t0", "t1", "t2", "t3"]


@pytest.mark.compact
@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"cursor": "nonsense"}, 400),
        ({"filter": "nonsense"}, 400),
        ({"filter": "[1]"}, 400),
        ({"filter": '{"a\\"b": 1}'}, 400),
        ({"filter": '{"a": 1e999}'}, 200),
        ({"filter": '{"a": 99999999999999999999}'}, 400),
        ({"status": "happy"}, 422),
        ({"archived": "maybe"}, 422),
        ({"order_by": "size"}, 422),
        ({"limit": "0"}, 422),
        ({"limit": "201"}, 422),
    ],
)
def test_what_cannot_be_asked_for_is_the_clients_error(
    client: TestClient, asked: dict[str, str], status: int
) -> None:
    answer = client.get("/threads", params=asked)
    assert answer.status_code == status, answer.text
    assert status == 200 or answer.json()["detail"]


def test_a_thread_is_told_or_is_not_there(client: TestClient) -> None:
    thread = client.get("/threads/t0").json()
    assert (thread["thread_id"], thread["status"], thread["metadata"]) == ("t0", "done", {"user": "ada"})
    for method, place in (("GET", "/threads/nobody"), ("GET", "/threads/nobody/history")):
        assert client.request(method, place).status_code == 404


def test_a_thread_is_deleted_and_its_neighbours_are_not(client: TestClient, seeded: Path) -> None:
    assert [client.delete("/threads/t1").status_code for _ in range(2)] == [204, 204]
    assert client.get("/threads/t1").status_code == 404
    left = {row[0] for row in rows(seeded, "checkpoints")}
    assert left == {"t0", "t2", "t3", "t4"}


def test_history_is_paged_and_shows_a_channel_as_json(path: Path) -> None:
    class State(MessagesState):
        strange: Any

    def answer(state: State) -> dict[str, Any]:
        return {"messages": [AIMessage("Hello!")], "strange": [b"\xff", {1, 2}, float("nan")]}

    with RustSqliteSaver(path) as saver:
        graph = StateGraph(State).add_node(answer).add_edge(START, "answer").compile(checkpointer=saver)
        for _ in range(2):
            graph.invoke(State(messages=[HumanMessage("Hi")], strange=None), config_of("chat"))
    app = app_of(path)
    app.include_router(router())
    with TestClient(app) as client:
        page = client.get("/threads/chat/history", params={"limit": 4}).json()
        rest = client.get("/threads/chat/history", params={"cursor": page["cursor"]}).json()
        entries = page["checkpoints"] + rest["checkpoints"]
        assert [entry["step"] for entry in entries] == [4, 3, 2, 1, 0, -1]
        assert rest["cursor"] is None
        assert [entry["parent_checkpoint_id"] for entry in entries[:-1]] == [
            entry["checkpoint_id"] for entry in entries[1:]
        ]
        assert entries[0]["source"] == "loop"
        assert "messages" in entries[0]["channels"]
        assert all(entry["value"] is None for entry in entries)
        (shown,) = client.get("/threads/chat/history?limit=1&channel=messages").json()["checkpoints"]
        assert [message["content"] for message in shown["value"]] == ["Hi", "Hello!"] * 2
        (shown,) = client.get("/threads/chat/history?limit=1&channel=strange").json()["checkpoints"]
        assert shown["value"] == ["_w==", [1, 2], None]


@pytest.mark.compact
def test_guards_of_threads_and_of_operations_are_apart(seeded: Path) -> None:
    def guard(key: str = "") -> None:
        if key != "secret":
            raise HTTPException(401)

    def operators_only() -> None:
        raise HTTPException(403)

    app = app_of(seeded)
    app.include_router(router(dependencies=[Depends(guard)]), prefix="/mine")
    app.include_router(router(operations_dependencies=[Depends(operators_only)]), prefix="/theirs")
    with TestClient(app) as client:
        for method, place in (
            ("GET", "/threads"),
            ("GET", "/threads/t0"),
            ("GET", "/threads/t0/history"),
            ("DELETE", "/threads/t0"),
        ):
            assert client.request(method, f"/mine{place}").status_code == 401
            assert client.request(method, f"/mine{place}?key=secret").is_success
        assert client.get("/mine/healthz").status_code == 200
        assert client.get("/theirs/healthz").status_code == 403


@pytest.mark.compact
def test_the_schema_has_the_models(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    answers = {
        place: schema["paths"][place]["get"]["responses"]["200"]["content"]["application/json"]["schema"][
            "$ref"
        ]
        for place in ("/threads", "/threads/{thread_id}", "/threads/{thread_id}/history", "/healthz")
    }
    assert [answer.rpartition("/")[2] for answer in answers.values()] == [
        "ThreadPageModel",
        "ThreadModel",
        "HistoryPageModel",
        "HealthModel",
    ]


# --- errors ---

ANSWERS = {
    "DatabaseBusyError": 503,
    "PoolTimeoutError": 503,
    "SaverClosedError": 503,
    "ReadOnlyError": 503,
    "DiskFullError": 507,
    "ConcurrentWriteError": 409,
    "LeaseHeldError": 409,
    "LeaseLostError": 409,
    "ThreadDeletedError": 410,
    "MissingKeyError": 422,
    "DatabaseCorruptError": 500,
    "SerializationError": 500,
    "InternalError": 500,
    "DatabaseError": 500,
}


@pytest.mark.compact
@pytest.mark.parametrize("name", ANSWERS)
def test_an_error_is_answered_by_what_the_client_can_do(name: str, caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()
    install_error_handlers(app)

    @app.get("/")
    async def fail() -> None:
        raise getattr(errors, name)("thread 'ada-1' of `/srv/app.db`")

    answer = TestClient(app).get("/")
    assert answer.status_code == ANSWERS[name]
    assert answer.json()["error"] == name
    assert answer.json()["detail"]
    assert "ada-1" not in answer.text
    assert "app.db" not in answer.text
    assert ("Retry-After" in answer.headers) == (answer.status_code == 503 or name == "LeaseHeldError")
    assert ("/srv/app.db" in caplog.text) == (answer.status_code >= 500)


@pytest.mark.compact
def test_errors_of_the_app_stay_what_they_are() -> None:
    app = FastAPI()
    install_error_handlers(app)

    @app.get("/")
    async def fail() -> None:
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        TestClient(app).get("/")


def test_the_router_answers_errors_where_the_app_has_no_handlers(seeded: Path) -> None:
    app = app_of(AsyncRustSqliteSaver(seeded, busy_timeout=0.05))
    app.include_router(router())
    with TestClient(app) as client, Lock(seeded, "BEGIN IMMEDIATE"):
        answer = client.delete("/threads/t0")
        assert (answer.status_code, answer.json()["error"]) == (503, "DatabaseBusyError")
        assert int(answer.headers["Retry-After"]) > 0


# --- health ---


def test_health_is_ok_and_leaves_nothing_that_users_see(client: TestClient, seeded: Path) -> None:
    before = client.get("/threads", params={"archived": "any", "limit": 200}).json()
    stored = rows(seeded, "checkpoints")
    for _ in range(3):
        answer = client.get("/healthz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert client.get("/threads", params={"archived": "any", "limit": 200}).json() == before
    assert rows(seeded, "checkpoints") == stored
    own = query(
        seeded, "SELECT checkpoints, lease_token FROM checkpoint_threads WHERE thread_id LIKE '%healthz'"
    )
    assert own == [(0, None)]


def test_many_may_ask_at_once(client: TestClient) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.get("/healthz").status_code, range(32)))
    assert answers == [200] * 32


def test_a_database_that_cannot_be_written_is_unhealthy_and_recovers(seeded: Path) -> None:
    app, patient = app_of(seeded), app_of(seeded)
    app.include_router(router(health_timeout=0.2))
    patient.include_router(router())
    with TestClient(app) as client:
        with Lock(seeded, "BEGIN IMMEDIATE"):
            answer = client.get("/healthz")
            assert answer.status_code == 503
            assert answer.json() == {
                "status": "unavailable",
                "reason": "The database did not answer for 0.2 seconds.",
            }
            assert client.get("/threads").status_code == 200
        with TestClient(patient) as other:
            assert other.get("/healthz").status_code == 200


@pytest.mark.compact
def test_a_database_that_was_deleted_is_unhealthy(client: TestClient, seeded: Path) -> None:
    seeded.unlink()
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()["error"]) == (503, "DatabaseOpenError")
    assert str(seeded) not in answer.text


def test_a_saver_that_only_reads_is_asked_to_read(seeded: Path) -> None:
    app = app_of(AsyncRustSqliteSaver(seeded, read_only=True))
    app.include_router(router())
    with TestClient(app) as client:
        assert client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.compact
def test_a_pool_that_is_used_up_is_told_as_such(seeded: Path) -> None:
    class UsedUp(AsyncRustSqliteSaver):
        async def aget_tuple(self, config: RunnableConfig) -> Any:
            raise errors.PoolTimeoutError("8 readers are busy")

    app = app_of(UsedUp(seeded))
    app.include_router(router())
    with TestClient(app) as client:
        answer = client.get("/healthz")
        assert (answer.status_code, answer.json()["error"]) == (503, "PoolTimeoutError")


# --- metrics ---


@pytest.mark.compact
def test_metrics_are_prometheus_text_that_counts_what_was_done(client: TestClient) -> None:
    for _ in range(3):
        client.delete("/threads/t1")
    answer = client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    counted = [line for line in answer.text.splitlines() if "_count" in line and '"delete_thread"' in line]
    assert [line.rpartition(" ")[2] for line in counted] == ["3"]
    assert f'worker="{os.getpid()}"' in counted[0]
    assert "t1" not in answer.text
