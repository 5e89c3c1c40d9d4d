"""`langgraph_checkpoint_rust.server:checkpointer`, entered as a LangGraph server does."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import operator
import re
import threading
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from helpers import config_of, put_chain
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.errors import CheckpointError, DatabaseOpenError, SaverClosedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATH = "langgraph_checkpoint_rust.server.checkpointer"
PAGE = Path(__file__).resolve().parents[1] / "docs/langgraph-server.md"
VERBS = (
    *("aput", "aput_writes", "aget_tuple", "alist"),
    *("adelete_thread", "acopy_thread", "adelete_for_runs", "aprune"),
)
"""What the server looks for; without one of the last four it degrades, and says so."""


class Log(TypedDict):
    log: Annotated[list[str], operator.add]


@pytest.fixture(autouse=True)
def environment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHECKPOINTS_DB_PATH", str(path))


def load(target: str) -> Any:
    """What a path of `langgraph.json` names, found as `langgraph-api` 0.16.7 finds it."""
    if ".py:" not in target:
        module, _, name = target.rpartition(".")
        return importlib.import_module(module).__dict__[name]
    file, _, name = target.rpartition(":")
    spec = importlib.util.spec_from_file_location("loaded", file)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded.__dict__[name]


@asynccontextmanager
async def entered(value: Any) -> AsyncIterator[Any]:
    """As the server enters what it found: called without arguments, as an async context manager."""
    async with value() as saver:
        assert isinstance(saver, BaseCheckpointSaver)
        yield saver


def documented(language: str) -> str:
    """The one block of this language on the page."""
    (shown,) = re.findall(
        rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return str(shown)


@pytest.fixture(params=["the factory", "a file of one's own"])
def target(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What `checkpointer.path` may say. The page's file of one's own uses `checkpoints.db` where it runs."""
    if request.param == "the factory":
        return PATH
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpointer.py").write_text(documented("python"), encoding="utf-8")
    return "./checkpointer.py:checkpointer"


def test_a_graph_runs_on_what_the_path_names(target: str, path: Path) -> None:
    builder = StateGraph(Log).add_node("answer", lambda _: {"log": ["answered"]}).add_edge(START, "answer")

    async def main() -> None:
        async with entered(load(target)) as saver:
            graph = builder.compile(checkpointer=saver)
            await graph.ainvoke({"log": ["asked"]}, config_of())
        with pytest.raises(SaverClosedError):
            await saver.aget_tuple(config_of())
        # The next start of the server.
        async with entered(load(target)) as saver:
            graph = builder.compile(checkpointer=saver)
            assert (await graph.aget_state(config_of())).values == {"log": ["asked", "answered"]}

    asyncio.run(main())
    assert path.exists()


def test_the_server_finds_every_verb_that_it_looks_for() -> None:
    async def main() -> None:
        async with entered(load(PATH)) as saver:
            for verb in VERBS:
                assert getattr(type(saver), verb) is not getattr(BaseCheckpointSaver, verb), verb

    asyncio.run(main())


def test_the_database_is_open_before_the_server_serves(path: Path) -> None:
    path.mkdir()

    async def main() -> None:
        async with entered(load(PATH)):
            raise AssertionError("a directory is no database")

    with pytest.raises(CheckpointError) as caught:
        asyncio.run(main())
    assert isinstance(caught.value, DatabaseOpenError)


def test_each_event_loop_of_the_server_has_a_saver_of_its_own() -> None:
    factory = load(PATH)
    entered_all, failures = threading.Barrier(3), []

    async def main(number: int) -> None:
        async with entered(factory) as saver:
            entered_all.wait(20)
            if number == 0:
                # Leaving the first closes no other.
                return
            await asyncio.to_thread(closed.wait, 20)
            await saver.aput(*put_arguments(number))

    def put_arguments(number: int) -> tuple[Any, ...]:
        with RustSqliteSaver(":memory:") as source:
            put_chain(source, 1, str(number))
            found = source.get_tuple(config_of(str(number)))
            assert found is not None
            return config_of(str(number)), found.checkpoint, found.metadata, {}

    closed = threading.Event()

    def serve(number: int) -> None:
        try:
            asyncio.run(main(number))
        except BaseException as error:
            failures.append(error)
            entered_all.abort()
        finally:
            if number == 0:
                closed.set()

    threads = [threading.Thread(target=serve, args=[number]) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with RustSqliteSaver.from_env() as saver:
        assert {thread.thread_id for thread in saver.list_threads()} == {"1", "2"}


def test_the_documented_langgraph_json_names_it() -> None:
    shown = json.loads(documented("json"))
    assert shown["checkpointer"]["path"] == PATH
    assert "CHECKPOINTS_DB_PATH" in shown["env"]
