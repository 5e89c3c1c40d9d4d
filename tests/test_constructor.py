"""What the first argument of a saver may be, what it does not do, and upstream's attributes."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import stat
import warnings
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from helpers import Verbs, checkpoint_of, config_of, put_chain, query, run_python

import langgraph_checkpoint_rust as package
from langgraph_checkpoint_rust import AsyncRustSqliteSaver, RustSqliteSaver
from langgraph_checkpoint_rust.errors import ReadOnlyError, SaverClosedError

CLASSES = [RustSqliteSaver, AsyncRustSqliteSaver]


def stores_in(saver: Any, path: Path) -> bool:
    """Whether what the saver stores is in that file."""
    put_chain(saver, 1)
    saver.close()
    return query(path, "SELECT count(*) FROM checkpoints") == [(1,)]


@pytest.mark.parametrize("saver_class", CLASSES)
@pytest.mark.parametrize(
    "form",
    [
        str,
        Path,
        os.fsencode,
        "sqlite:///{}".format,
        "file:{}".format,
        "file://{}".format,
        "file://localhost{}?mode=rwc&cache=shared#x".format,
    ],
)
def test_a_path_and_a_uri_name_the_file(tmp_path: Path, saver_class: Any, form: Any) -> None:
    path = tmp_path / "a.db"
    assert stores_in(saver_class(form(path)), path)


def test_conn_is_the_name_of_the_argument(path: Path) -> None:
    assert stores_in(RustSqliteSaver(conn=str(path)), path)


def test_percent_signs_of_a_uri_are_decoded_and_of_a_path_are_not(tmp_path: Path) -> None:
    assert stores_in(RustSqliteSaver(f"file:{tmp_path}/a%20b.db"), tmp_path / "a b.db")
    assert stores_in(RustSqliteSaver(f"{tmp_path}/c%20d?x.db"), tmp_path / "c%20d?x.db")


@pytest.mark.parametrize(
    "memory", [":memory:", "sqlite://", "sqlite:///:memory:", "file::memory:", "file:x?mode=memory"]
)
def test_memory_is_kept_by_the_saver_alone(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with RustSqliteSaver(memory) as one, RustSqliteSaver(memory) as other:
        put_chain(one, 1)
        assert len(list(one.list(None))) == 1
        assert list(other.list(None)) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong",
    ["", "a\0b", "sqlite:x.db", "sqlite:///x?mode=ro", "file:x?vfs=y", "file:x?mode=z", "file://host/x"],
)
def test_what_cannot_be_understood_is_a_value_error(wrong: str) -> None:
    with pytest.raises(ValueError):
        RustSqliteSaver(wrong)


@pytest.mark.parametrize("wrong", [None, 7, ["x"], object()])
def test_what_is_no_path_or_connection_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match="the first argument must be a path"):
        RustSqliteSaver(wrong)


def test_an_unknown_setting_is_a_type_error_that_lists_the_known(path: Path) -> None:
    options: Any = {"pool_sizes": 3}
    with pytest.raises(TypeError, match=r"pool_sizes.*pool_size"):
        RustSqliteSaver(path, **options)


def test_a_uri_that_says_read_only_is_read_only(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        put_chain(saver, 1)
    with RustSqliteSaver(f"file:{path}?mode=ro") as saver:
        assert saver.get_tuple(config_of()) is not None
        with pytest.raises(ReadOnlyError):
            saver.put(config_of(), checkpoint_of(), {}, {})


@pytest.mark.parametrize("saver_class", CLASSES)
def test_a_sqlite3_connection_is_taken_for_its_file(path: Path, saver_class: Any) -> None:
    connection = sqlite3.connect(path, check_same_thread=False)
    saver = saver_class(connection)
    connection.close()
    assert stores_in(saver, path)


def test_an_empty_connection_in_memory_is_replaced_with_a_warning() -> None:
    connection = sqlite3.connect(":memory:")
    with pytest.warns(UserWarning, match="in memory of its own") as caught:
        saver = RustSqliteSaver(connection)
    connection.close()
    assert Path(caught[0].filename) == Path(__file__)
    put_chain(saver, 1)
    saver.close()


def test_a_filled_connection_in_memory_is_refused() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE mine (x)")
    with pytest.raises(ValueError, match="holds data in memory"):
        RustSqliteSaver(connection)
    connection.close()


@pytest.mark.parametrize("saver_class", CLASSES)
@pytest.mark.parametrize("connected", [True, False])
def test_an_aiosqlite_connection_is_taken_for_its_file_in_the_first_async_verb(
    path: Path, saver_class: Any, connected: bool
) -> None:
    async def main() -> Any:
        connection = aiosqlite.connect(path)
        if connected:
            await connection
        saver = saver_class(connection)
        with pytest.raises(RuntimeError, match="await one"):
            saver.get_tuple(config_of())
        assert await saver.aget_tuple(config_of()) is None
        await connection.close()
        return saver

    assert stores_in(asyncio.run(main()), path)


def test_an_aiosqlite_connection_in_memory_is_replaced_or_refused() -> None:
    async def main() -> None:
        async with aiosqlite.connect(":memory:") as connection:
            with pytest.warns(UserWarning, match="in memory of its own"):
                await AsyncRustSqliteSaver(connection).setup()
            await connection.execute("CREATE TABLE mine (x)")
            with pytest.raises(ValueError, match="holds data in memory"):
                await AsyncRustSqliteSaver(connection).setup()

    asyncio.run(main())


def test_missing_directories_are_made_and_a_new_file_is_its_owners_only(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.db"
    with RustSqliteSaver(path) as saver:
        put_chain(saver, 1)
        for file in (path, Path(f"{path}-wal")):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_making_a_saver_touches_nothing(path: Path) -> None:
    RustSqliteSaver(path)
    RustSqliteSaver.from_conn_string(str(path)).close()
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("saver_class", ["SqliteSaver", "AsyncSqliteSaver"])
def test_a_saver_made_at_import_time_serves_a_loop_that_comes_later(path: Path, saver_class: str) -> None:
    printed = run_python(
        """
        import asyncio, sys
        from helpers import checkpoint_of, config_of
        import langgraph_checkpoint_rust

        saver = getattr(langgraph_checkpoint_rust, sys.argv[2])(sys.argv[1])

        async def main(number):
            await saver.aput(config_of(), checkpoint_of(number), {}, {})
            return [found async for found in saver.alist(None)]

        print(len(asyncio.run(main(1))), len(asyncio.run(main(2))))
        """,
        path,
        saver_class,
    )
    assert printed.split() == ["1", "2"]


def test_entering_and_leaving(path: Path) -> None:
    with RustSqliteSaver.from_conn_string(str(path)) as saver:
        assert isinstance(saver, RustSqliteSaver)
        put_chain(saver, 1)
    with pytest.raises(SaverClosedError, match="is closed; make a new one"):
        saver.get_tuple(config_of())

    async def main() -> None:
        async with AsyncRustSqliteSaver.from_conn_string(str(path)) as saver:
            assert await saver.aget_tuple(config_of()) is not None
        with pytest.raises(SaverClosedError):
            await saver.aget_tuple(config_of())

    asyncio.run(main())


def test_leaving_passes_errors_on(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), RustSqliteSaver(path):
        raise ZeroDivisionError


def test_close_may_be_called_twice_and_before_use(saver: Verbs) -> None:
    saver.close()
    saver.close()
    with pytest.raises(SaverClosedError):
        saver.list(None)


@pytest.mark.parametrize(
    ("name", "word"),
    [("conn", "sqlite3"), ("cursor", "get_tuple"), ("lock", "any thread"), ("loop", "event loop")],
)
@pytest.mark.parametrize("saver_class", CLASSES)
def test_upstreams_handles_are_absent_and_the_error_says_what_to_use(
    saver_class: Any, name: str, word: str
) -> None:
    saver = saver_class(":memory:")
    assert not hasattr(saver, name)
    with pytest.raises(AttributeError, match=word):
        getattr(saver, name)


def test_upstreams_other_attributes_work(path: Path) -> None:
    saver = RustSqliteSaver(path)
    assert saver.is_setup is False
    assert saver.jsonplus_serde.loads_typed(saver.jsonplus_serde.dumps_typed({"a": 1})) == {"a": 1}
    saver.setup()
    assert saver.is_setup is True
    saver.close()
    assert not hasattr(saver, "unknown")


def test_setup_is_a_coroutine_in_the_async_class_only(tmp_path: Path) -> None:
    for number, saver_class in enumerate(CLASSES):
        path = tmp_path / f"{number}.db"
        saver: Any = saver_class(path)
        if saver_class is AsyncRustSqliteSaver:
            asyncio.run(saver.setup())
        else:
            saver.setup()
        asyncio.run(saver.asetup())
        saver.close()
        assert query(path, "SELECT count(*) FROM checkpoints") == [(0,)]


def test_savers_have_no_length_truth_or_equality(path: Path) -> None:
    for saver_class in CLASSES:
        assert not {"__len__", "__bool__", "__eq__"} & {
            name for base in saver_class.__mro__[:-1] for name in vars(base)
        }
        assert bool(saver_class(path))


def test_the_aliases_are_the_classes() -> None:
    assert package.SqliteSaver is RustSqliteSaver
    assert package.AsyncSqliteSaver is AsyncRustSqliteSaver


def test_repr_says_path_format_and_level(path: Path, tested_format: str) -> None:
    asked = "auto" if tested_format == "compact" else "interop"
    expected = f"RustSqliteSaver({str(path)!r}, format={asked!r}, synchronous='FULL')"
    assert repr(RustSqliteSaver(path, synchronous="FULL")) == expected


def test_the_first_opening_is_logged_in_one_line(
    path: Path, caplog: pytest.LogCaptureFixture, tested_format: str
) -> None:
    with caplog.at_level(logging.INFO, "langgraph_checkpoint_rust"), RustSqliteSaver(path) as saver:
        put_chain(saver, 3)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"created {path}: format {tested_format}")


def test_a_saver_that_is_dropped_open_warns_of_nothing_and_loses_nothing(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        saver = RustSqliteSaver(path)
        put_chain(saver, 2)
        del saver
    assert query(path, "SELECT count(*) FROM checkpoints") == [(2,)]
