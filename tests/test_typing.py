"""What a type checker tells users of the package, by mypy in strict mode on their kind of code."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

api = pytest.importorskip("mypy.api")

PREAMBLE = """
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple, empty_checkpoint
from langgraph_checkpoint_rust import (
    AsyncRustSqliteSaver, AsyncSqliteSaver, RustSqliteSaver, SqliteSaver, SqliteSettings, errors,
)
config: RunnableConfig = {"configurable": {"thread_id": "1"}}
"""

ACCEPTED = """
def checkpointer(path: Path) -> BaseCheckpointSaver[str]:
    return RustSqliteSaver(path, synchronous="FULL", pool_size=4, pool_recycle=None)

def sync_verbs(saver: RustSqliteSaver) -> CheckpointTuple | None:
    saver.setup()
    stored: RunnableConfig = saver.put(config, empty_checkpoint(), {"source": "loop"}, {})
    saver.put_writes(stored, [("messages", 1)], task_id="task", task_path="")
    tuples: Iterator[CheckpointTuple] = saver.list(config, filter={"a": 1}, before=stored, limit=1)
    saver.prune(["1"], strategy="keep_latest")
    return next(tuples, None) or saver.get_tuple(config)

async def async_verbs(path: str) -> None:
    async with AsyncRustSqliteSaver.from_conn_string(path) as saver:
        entered: AsyncRustSqliteSaver = saver
        await entered.setup()
        found: AsyncIterator[CheckpointTuple] = entered.alist(None)
        async for one in found:
            identifier: str = one.checkpoint["id"]
        await saver.adelete_thread("1")

def lifetime() -> None:
    with SqliteSaver.from_conn_string(":memory:", settings=SqliteSettings(busy_timeout=5)) as saver:
        kept: RustSqliteSaver = saver
    AsyncSqliteSaver.from_env(conn="app.db", defensive=False).close()

def retry(saver: RustSqliteSaver) -> int:
    try:
        saver.delete_thread("1")
    except errors.DatabaseError as error:
        return error.sqlite_errorcode
    except (errors.DatabaseBusyError, errors.PoolTimeoutError):
        return 0
    return 1
"""

REFUSED = {
    "an unknown setting": ('RustSqliteSaver("app.db", cache=1)', "call-arg"),
    "a setting of the wrong type": ('RustSqliteSaver("app.db", pool_size="4")', "arg-type"),
    "an unknown word": ('RustSqliteSaver("app.db", synchronous="OFF")', "arg-type"),
    "a positional setting": ('RustSqliteSaver("app.db", "FULL")', "call-arg|misc"),
    "a change of settings": ("SqliteSettings().pool_size = 1", "misc"),
    "an await that is missing": (
        'async def f() -> str:\n    return (await AsyncRustSqliteSaver("a").aput(config, 1, {}, {}))["x"]',
        "arg-type",
    ),
    "an unknown keyword of a verb": ('RustSqliteSaver("a").list(config, maximum=1)', "call-arg"),
}


def check(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, int]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "snippet.py").write_text(PREAMBLE + textwrap.dedent(text), encoding="utf-8")
    output, complaint, status = api.run(
        ["--strict", "--config-file=", f"--cache-dir={tmp_path.parent / 'mypy'}", "snippet.py"]
    )
    assert complaint == ""
    return output, status


def test_what_users_write_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(tmp_path, ACCEPTED, monkeypatch) == ("Success: no issues found in 1 source file\n", 0)


@pytest.mark.parametrize("mistake", REFUSED)
def test_a_mistake_is_reported(mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, code = REFUSED[mistake]
    output, status = check(tmp_path, text, monkeypatch)
    assert status == 1
    assert any(f"[{one}]" in output for one in code.split("|")), output
