"""`SqliteSettings`: checked, taken in order of precedence, and in force."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from helpers import config_of, put_chain, query

from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver, SqliteSettings

if TYPE_CHECKING:
    from pathlib import Path

AUTO_VACUUM = {"NONE": 0, "FULL": 1, "INCREMENTAL": 2}


def test_a_keyword_wins_over_settings_and_both_over_the_default(path: Path) -> None:
    settings = SqliteSettings(pool_size=3, synchronous="FULL")
    saver = RustSqliteSaver(path, settings=settings, pool_size=5)
    assert (saver.settings.pool_size, saver.settings.synchronous) == (5, "FULL")
    assert saver.settings.busy_timeout == SqliteSettings().busy_timeout
    assert settings.pool_size == 3


@pytest.mark.parametrize("saver_class", [RustSqliteSaver, AsyncRustSqliteSaver])
def test_from_env_takes_keyword_then_environment_then_default(
    path: Path, saver_class: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHECKPOINTS_DB_PATH", str(path))
    monkeypatch.setenv("LANGGRAPH_CHECKPOINT_POOL_SIZE", "3")
    monkeypatch.setenv("LANGGRAPH_CHECKPOINT_SYNCHRONOUS", "full")
    monkeypatch.setenv("LANGGRAPH_CHECKPOINT_BUSY_TIMEOUT", " ")
    saver = saver_class.from_env(pool_size=5)
    assert type(saver) is saver_class
    assert str(path) in repr(saver)
    assert (saver.settings.pool_size, saver.settings.synchronous) == (5, "FULL")
    assert saver.settings.busy_timeout == 30
    assert saver_class.from_env().settings.pool_size == 3
    assert repr(str(path.with_name("other.db"))) in repr(
        saver_class.from_env(conn=path.with_name("other.db"))
    )


def test_nothing_else_reads_the_environment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGGRAPH_CHECKPOINT_POOL_SIZE", "3")
    assert RustSqliteSaver(path).settings == SqliteSettings()
    assert RustSqliteSaver.from_conn_string(str(path)).settings == SqliteSettings()


def test_from_env_without_a_path_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHECKPOINTS_DB_PATH", raising=False)
    with pytest.raises(ValueError, match="set CHECKPOINTS_DB_PATH"):
        RustSqliteSaver.from_env()


@pytest.mark.parametrize(
    ("name", "text"),
    [("POOL_SIZE", "many"), ("BUSY_TIMEOUT", "1s"), ("DEFENSIVE", "maybe"), ("POOL_RECYCLE", "x")],
)
def test_a_variable_that_cannot_be_read_is_named(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"LANGGRAPH_CHECKPOINT_{name}='{text}'"):
        SqliteSettings.from_env({f"LANGGRAPH_CHECKPOINT_{name}": text})


def test_every_setting_can_come_from_the_environment() -> None:
    texts = {
        "journal_mode": "delete",
        "synchronous": "EXTRA",
        "busy_timeout": "1.5",
        "pool_size": "2",
        "max_overflow": "3",
        "pool_timeout": "4",
        "pool_recycle": "60",
        "cache_size": "1000000",
        "mmap_size": "4096",
        "temp_store": "file",
        "journal_size_limit": "5",
        "wal_autocheckpoint": "6",
        "auto_vacuum": "none",
        "cell_size_check": "off",
        "trusted_schema": "yes",
        "defensive": "0",
        "read_only": "TRUE",
        "lock_guard": "off",
        "on_foreign_sqlite": "refuse",
        "format": "interop",
    }
    assert texts.keys() == {field.name for field in dataclasses.fields(SqliteSettings)}
    environment = {f"LANGGRAPH_CHECKPOINT_{name.upper()}": text for name, text in texts.items()}
    settings = SqliteSettings.from_env(environment)
    assert settings.journal_mode == "DELETE"
    assert settings.busy_timeout == 1.5
    assert settings.pool_recycle == 60
    assert (settings.cell_size_check, settings.trusted_schema, settings.read_only) == (False, True, True)
    unlike = [name for name in texts if getattr(settings, name) == getattr(SqliteSettings(), name)]
    assert unlike == []


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"pool_size": 0}, ValueError),
        ({"pool_size": "8"}, TypeError),
        ({"pool_size": True}, TypeError),
        ({"busy_timeout": -1}, ValueError),
        ({"busy_timeout": float("nan")}, ValueError),
        ({"busy_timeout": None}, TypeError),
        ({"pool_recycle": 0}, ValueError),
        ({"synchronous": "OFF"}, ValueError),
        ({"synchronous": 1}, ValueError),
        ({"journal_mode": "MEMORY"}, ValueError),
        ({"cell_size_check": 1}, TypeError),
        ({"mmap_size": 2**40}, ValueError),
    ],
)
def test_a_wrong_value_names_the_setting(path: Path, option: dict[str, Any], error: type[Exception]) -> None:
    (name,) = option
    with pytest.raises(error, match=name):
        SqliteSettings(**option)
    with pytest.raises(error, match=name):
        RustSqliteSaver(path, **option)


def test_settings_are_frozen() -> None:
    settings: Any = SqliteSettings()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.pool_size = 3


def test_a_new_file_is_wal_with_incremental_vacuum(path: Path) -> None:
    with RustSqliteSaver(path):
        pass
    with RustSqliteSaver(path) as saver:
        put_chain(saver, 1)
    assert query(path, "PRAGMA journal_mode") == [("wal",)]
    assert query(path, "PRAGMA auto_vacuum") == [(AUTO_VACUUM["INCREMENTAL"],)]


@pytest.mark.parametrize("auto_vacuum", AUTO_VACUUM)
@pytest.mark.parametrize("journal_mode", ["WAL", "DELETE"])
def test_what_the_file_remembers_is_as_set(path: Path, journal_mode: Any, auto_vacuum: Any) -> None:
    with RustSqliteSaver(path, journal_mode=journal_mode, auto_vacuum=auto_vacuum) as saver:
        put_chain(saver, 3)
        assert len(list(saver.list(None))) == 3
    assert query(path, "PRAGMA journal_mode") == [(journal_mode.lower(),)]
    assert query(path, "PRAGMA auto_vacuum") == [(AUTO_VACUUM[auto_vacuum],)]


def test_an_existing_file_keeps_its_vacuum_and_changes_its_journal(path: Path) -> None:
    query(path, "CREATE TABLE mine (x)")
    with RustSqliteSaver(path) as saver:
        put_chain(saver, 1)
    assert query(path, "PRAGMA auto_vacuum") == [(AUTO_VACUUM["NONE"],)]
    assert query(path, "PRAGMA journal_mode") == [("wal",)]


@pytest.mark.parametrize(
    "options",
    [
        {"pool_size": 1, "max_overflow": 3},
        {"cache_size": 0},
        {"mmap_size": 1 << 20},
        {"temp_store": "FILE", "cell_size_check": False, "trusted_schema": True, "defensive": False},
        {"wal_autocheckpoint": 0, "journal_size_limit": 0},
        {"synchronous": "extra", "pool_recycle": 1},
    ],
)
@pytest.mark.parametrize("place", ["file", "memory"])
def test_every_setting_is_taken(path: Path, options: Any, place: str) -> None:
    with RustSqliteSaver(path if place == "file" else ":memory:", **options) as saver:
        put_chain(saver, 20)
        assert len(list(saver.list(config_of()))) == 20


def test_a_read_only_saver_neither_makes_nor_changes_the_file(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        put_chain(saver, 2)
    before = path.read_bytes()
    with RustSqliteSaver(path, read_only=True) as saver:
        assert len(list(saver.list(None))) == 2
    assert path.read_bytes() == before
