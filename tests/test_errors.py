"""Each error class, provoked for real."""

from __future__ import annotations

import os
import pickle
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from helpers import TASK, Lock, checkpoint_of, config_of, put_chain, query, run_python

from langgraph_checkpoint_rust import RustSqliteSaver, errors
from langgraph_checkpoint_rust.errors import (
    CheckpointError,
    DatabaseBusyError,
    DatabaseCorruptError,
    DatabaseError,
    DatabaseOpenError,
    PoolTimeoutError,
    ReadOnlyError,
    SaverClosedError,
    SerializationError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def unserializable() -> Any:
    return checkpoint_of(1, {"lock": threading.Lock()})


def test_another_processs_write_lock_is_busy_after_busy_timeout(path: Path) -> None:
    with RustSqliteSaver(path, busy_timeout=0.05) as saver:
        (config,) = put_chain(saver, 1)
        with Lock(path, "BEGIN IMMEDIATE"):
            for write in (
                lambda: saver.put(config_of(), checkpoint_of(2), {}, {}),
                lambda: saver.put_writes(config, [("a", 1)], TASK),
                lambda: saver.delete_thread("1"),
                lambda: saver.copy_thread("1", "2"),
                lambda: saver.prune(["1"]),
                lambda: saver.delete_for_runs(["r"]),
            ):
                with pytest.raises(
                    DatabaseBusyError, match=r"waited [0-9.]+ms for the writer in process \d+"
                ):
                    write()
            assert saver.get_tuple(config_of()) is not None
        saver.put(config_of(), checkpoint_of(2), {}, {})
        assert len(list(saver.list(None))) == 2


def test_a_lock_released_in_time_is_waited_for(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        put_chain(saver, 1)
        with Lock(path, "BEGIN IMMEDIATE") as lock:
            put = threading.Thread(target=put_chain, args=(saver, 1, "2"))
            put.start()
            lock.release()
            put.join(30)
        assert saver.get_tuple(config_of("2")) is not None


def test_a_lock_that_stops_the_opening_is_busy(path: Path) -> None:
    query(path, "CREATE TABLE mine (x)")
    with RustSqliteSaver(path, busy_timeout=0.05) as saver:
        with Lock(path, "BEGIN EXCLUSIVE"), pytest.raises(DatabaseBusyError):
            saver.setup()
        saver.setup()


def test_no_free_reader_is_a_pool_timeout(path: Path) -> None:
    """Without WAL an exclusive lock keeps a reader waiting, and with it the only one of the pool."""
    with RustSqliteSaver(path, journal_mode="DELETE", pool_size=1, pool_timeout=0.05) as saver:
        put_chain(saver, 1)
        assert saver.get_tuple(config_of()) is not None
        found: list[Any] = []
        failed: list[Exception] = []
        one_failed = threading.Event()

        def read() -> None:
            try:
                found.append(saver.get_tuple(config_of()))
            except Exception as error:
                failed.append(error)
                one_failed.set()

        with Lock(path, "BEGIN EXCLUSIVE"):
            readers = [threading.Thread(target=read) for _ in range(2)]
            for reader in readers:
                reader.start()
            assert one_failed.wait(30)
        for reader in readers:
            reader.join(30)
        (error,) = failed
        assert isinstance(error, PoolTimeoutError)
        assert isinstance(error, TimeoutError)
        assert "all 1 readers were busy" in str(error)
        assert found == [saver.get_tuple(config_of())]


def test_a_closed_saver_says_so_in_every_verb(path: Path) -> None:
    saver = RustSqliteSaver(path)
    (config,) = put_chain(saver, 1)
    saver.close()
    for use in (
        lambda: saver.get_tuple(config_of()),
        lambda: list(saver.list(None)),
        lambda: saver.put(config_of(), checkpoint_of(2), {}, {}),
        lambda: saver.put_writes(config, [("a", 1)], TASK),
        lambda: saver.delete_thread("1"),
        lambda: saver.copy_thread("1", "2"),
        lambda: saver.prune(["1"]),
        lambda: saver.delete_for_runs(["r"]),
        lambda: saver.get_delta_channel_history(config=config_of(), channels=["a"]),
    ):
        with pytest.raises(SaverClosedError, match="is closed; make a new one"):
            use()


@pytest.mark.parametrize(
    "content", [b"hello world, I am no database" * 100, b"xy", b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_a_file_of_another_kind_is_refused_and_left_as_it_is(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with RustSqliteSaver(path) as saver, pytest.raises(DatabaseCorruptError, match="damaged"):
        saver.setup()
    assert path.read_bytes() == content


def test_a_damaged_page_is_an_error_and_never_wrong_data(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        for number in range(200):
            saver.put(config_of(), checkpoint_of(number, {"blob": "x" * 500}), {}, {})
    query(path, "PRAGMA journal_mode = DELETE")
    content = bytearray(path.read_bytes())
    for start in range(4 * 4096, len(content), 4096):
        content[start : start + 16] = b"\xaa" * 16
    path.write_bytes(content)
    with RustSqliteSaver(path) as saver:
        for read in (lambda: list(saver.list(None)), lambda: saver.delete_for_runs(["r"])):
            with pytest.raises(DatabaseCorruptError, match="restore a backup") as caught:
                read()
            assert isinstance(caught.value, sqlite3.DatabaseError)


def test_a_truncated_file_is_an_error(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        for number in range(50):
            saver.put(config_of(), checkpoint_of(number, {"blob": "x" * 2000}), {}, {})
    os.truncate(path, 5 * 4096)
    with RustSqliteSaver(path) as saver, pytest.raises(DatabaseCorruptError):
        list(saver.list(None))


@pytest.mark.parametrize("name", [".", "file/below.db"])
def test_a_path_that_cannot_be_a_file_is_an_open_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        RustSqliteSaver(tmp_path / name) as saver,
        pytest.raises(DatabaseOpenError, match="cannot be opened"),
    ):
        saver.setup()


def test_a_missing_file_is_not_made_by_a_read_only_saver(path: Path) -> None:
    with RustSqliteSaver(path, read_only=True) as saver, pytest.raises(DatabaseOpenError):
        saver.get_tuple(config_of())
    assert not path.exists()


def test_a_read_only_saver_refuses_every_write(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        (config,) = put_chain(saver, 1)
    with RustSqliteSaver(path, read_only=True) as saver:
        for write in (
            lambda: saver.put(config_of(), checkpoint_of(2), {}, {}),
            lambda: saver.put_writes(config, [("a", 1)], TASK),
            lambda: saver.delete_thread("1"),
            lambda: saver.copy_thread("1", "2"),
            lambda: saver.prune(["1"]),
            lambda: saver.delete_for_runs(["r"]),
        ):
            with pytest.raises(ReadOnlyError, match="`read_only` is set"):
                write()
        assert len(list(saver.list(None))) == 1


UNPRIVILEGED = """
import os, sys
from helpers import checkpoint_of, config_of
from langgraph_checkpoint_rust import RustSqliteSaver, errors

if os.getuid() == 0:
    os.setuid(65534)
with RustSqliteSaver(sys.argv[1]) as saver:
    for verb in (
        lambda: len(list(saver.list(None))),
        lambda: bool(saver.put(config_of(), checkpoint_of(), {}, {})),
    ):
        try:
            print(verb())
        except errors.CheckpointError as error:
            print(type(error).__name__)
"""


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """A directory that another user can reach: pytest's own are their owner's only."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)  # noqa: S103
        (Path(directory) / "inner").mkdir()
        yield Path(directory) / "inner"


@pytest.mark.parametrize(
    ("journal_mode", "directory_mode", "file_mode", "expected"),
    [
        ("WAL", 0o777, 0o666, ["2", "True"]),
        ("DELETE", 0o777, 0o666, ["2", "True"]),
        ("WAL", 0o777, 0o444, ["2", "ReadOnlyError"]),
        ("DELETE", 0o777, 0o444, ["2", "ReadOnlyError"]),
        ("DELETE", 0o555, 0o444, ["2", "ReadOnlyError"]),
        # As with upstream: WAL needs to make its files beside the database.
        ("WAL", 0o555, 0o444, ["ReadOnlyError", "ReadOnlyError"]),
        ("WAL", 0o555, 0o666, ["ReadOnlyError", "ReadOnlyError"]),
        ("WAL", 0o555, None, ["ReadOnlyError", "ReadOnlyError"]),
        ("WAL", 0o777, 0o000, ["DatabaseOpenError", "DatabaseOpenError"]),
    ],
)
def test_a_file_or_directory_that_may_not_be_written_is_read_or_refused(
    public_directory: Path, journal_mode: Any, directory_mode: int, file_mode: int | None, expected: list[str]
) -> None:
    path = public_directory / "a.db"
    if file_mode is not None:
        with RustSqliteSaver(path, journal_mode=journal_mode) as saver:
            put_chain(saver, 2)
        path.chmod(file_mode)
    public_directory.chmod(directory_mode)
    printed = run_python(UNPRIVILEGED, path)
    public_directory.chmod(0o777)
    assert printed.split() == expected


DISK_FULL = """
import os, sys
from helpers import OTHER_TASK, TASK, checkpoint_of, config_of, query
from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.errors import DiskFullError

def full(call):
    try:
        call()
    except DiskFullError as error:
        assert "no space left" in str(error)
        return True
    return False

filler, path = sys.argv[1] + "/filler", sys.argv[1] + "/a.db"
with open(filler, "wb") as file:
    file.write(bytes(200_000))
with RustSqliteSaver(path, **eval(sys.argv[2])) as saver:
    stored = 0
    while not full(lambda: saver.put(config_of(), checkpoint_of(stored, {"blob": os.urandom(5000)}), {}, {})):
        stored += 1
    assert stored > 10
    found = list(saver.list(None))
    assert len(found) == stored, (len(found), stored)
    writes = [("a", os.urandom(3000)) for _ in range(20)]
    assert full(lambda: saver.put_writes(found[0].config, writes, TASK))
    assert saver.get_tuple(config_of()).pending_writes == []
    os.remove(filler)
    saver.put_writes(found[0].config, writes, OTHER_TASK)
    assert len(saver.get_tuple(config_of()).pending_writes) == 20
    assert len(list(saver.list(None))) == stored
assert query(path, "PRAGMA integrity_check") == [("ok",)]
assert query(path, "SELECT count(*) FROM checkpoints") == [(stored,)]
"""


@pytest.mark.parametrize(
    "options", [{}, {"journal_mode": "DELETE"}, {"wal_autocheckpoint": 10}, {"cache_size": 0}]
)
def test_a_full_disk_loses_nothing_acknowledged_and_stores_no_part(tmp_path: Path, options: Any) -> None:
    mount = f"mount -t tmpfs -o size=1m tmpfs '{tmp_path}'"
    enter = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    try:
        subprocess.run([*enter, "sh", "-c", mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system of limited size can be mounted here: {error}")
    command = [*enter, "sh", "-c", f'{mount} && exec "$0" "$@"', sys.executable, "-c", DISK_FULL]
    done = subprocess.run(
        [*command, str(tmp_path), repr(options)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=os.path.dirname(os.path.abspath(__file__)),
    )
    assert done.returncode == 0, done.stderr


def test_a_forked_child_gets_its_own_connections_to_a_file_and_none_to_memory(path: Path) -> None:
    printed = run_python(
        """
        import os, sys, warnings
        from helpers import checkpoint_of, config_of
        from langgraph_checkpoint_rust import RustSqliteSaver
        from langgraph_checkpoint_rust.errors import ForkedDatabaseError

        warnings.simplefilter("ignore", DeprecationWarning)
        file, memory = RustSqliteSaver(sys.argv[1]), RustSqliteSaver(":memory:")
        for saver in (file, memory):
            saver.put(config_of("parent"), checkpoint_of(1), {}, {})
        child = os.fork()
        if child == 0:
            file.put(config_of("child"), checkpoint_of(1), {}, {})
            try:
                memory.get_tuple(config_of("parent"))
            except ForkedDatabaseError as error:
                print("forked:", error, flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print(len(list(file.list(None))), len(list(memory.list(None))))
        """,
        path,
    )
    assert printed.startswith("forked:")
    assert printed.split()[-2:] == ["2", "1"]


def test_state_that_cannot_be_serialized_names_its_place(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        with pytest.raises(SerializationError, match=r"the checkpoint cannot be serialized: .*lock"):
            saver.put(config_of(), unserializable(), {}, {})


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_picklable_derives_from_the_base_and_shows_its_message(name: str) -> None:
    error_class = getattr(errors, name)
    error = error_class("what, how much, what next")
    restored = pickle.loads(pickle.dumps(error))
    assert type(restored) is error_class
    assert str(restored) == str(error) == "what, how much, what next"
    assert isinstance(error, CheckpointError)
    assert error_class.__doc__


def test_sqlites_code_survives_pickling() -> None:
    restored = pickle.loads(pickle.dumps(DatabaseError("message", 266)))
    assert (str(restored), restored.sqlite_errorcode) == ("message", 266)


def test_a_raised_error_is_picklable(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)
    with RustSqliteSaver(path) as saver, pytest.raises(DatabaseCorruptError) as caught:
        saver.setup()
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    "error_class",
    [
        DatabaseBusyError,
        PoolTimeoutError,
        SaverClosedError,
        DatabaseCorruptError,
        DatabaseOpenError,
        ReadOnlyError,
        DatabaseError,
        errors.DiskFullError,
    ],
)
def test_what_sqlite_raises_is_caught_as_upstreams_users_do(error_class: Any) -> None:
    assert issubclass(error_class, sqlite3.Error)
