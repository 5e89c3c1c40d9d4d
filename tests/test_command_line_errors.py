"""`lgcheckpoint` on bad input: one clear line, the right exit code, and nothing changed."""

from __future__ import annotations

import errno
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import DONE, PAUSED, contents, make_file, run
from helpers import Lock, checkpoint_of, config_of, put_chain, query, start_python

from langgraph_checkpoint_rust import RustSqliteSaver, errors
from langgraph_checkpoint_rust.cli import page as web_page
from langgraph_checkpoint_rust.cli.app import app
from langgraph_checkpoint_rust.cli.exits import ExitCode, code_of

OUT, EXPORTED, BACKUP = "{out}", "{exported}", "{backup}"
READING: dict[str, list[str]] = {
    "info": [],
    "threads": [],
    "show": [DONE],
    "diff": [DONE],
    "stats": [],
    "types": [],
    "verify": [],
    "doctor": [],
    "export": [DONE, OUT],
    "backup": [OUT],
}
WRITING: dict[str, list[str]] = {
    "archive": [DONE],
    "unarchive": [DONE],
    "pin": [DONE],
    "unpin": [DONE],
    "copy": [DONE, "bob-2"],
    "import": [EXPORTED, "--as", "guest"],
    "prune": ["--all", "--yes"],
    "retention": ["--keep-last", "1", "--yes"],
    "delete": [DONE, "--yes"],
    "erase": [DONE, "--yes"],
    "restore": [BACKUP, "--yes"],
    "repair": ["--yes"],
    "compact": [],
    "optimize": [],
    "upgrade": ["--yes"],
    "downgrade": ["--yes"],
}
COMMANDS = {**READING, **WRITING, "recover": [OUT], "ui": ["--no-open"]}


@pytest.fixture(autouse=True)
def nothing_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ui` ends where it would begin to serve: tests/test_ui_command.py has the rest."""
    monkeypatch.setattr(web_page, "serve", lambda *_, **__: None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file, in a directory of its own."""
    (tmp_path / "app").mkdir()
    return make_file(tmp_path / "app" / "shop.db")


def words_of(command: str, tmp_path: Path) -> list[str]:
    """The arguments, with the files that they name made."""
    shop = tmp_path / "backup.db"
    if BACKUP in COMMANDS[command] or EXPORTED in COMMANDS[command]:
        make_file(shop)
    if EXPORTED in COMMANDS[command]:
        assert run(shop, "export", DONE, tmp_path / "bob.db").code == 0
    names = {OUT: tmp_path / "out.db", EXPORTED: tmp_path / "bob.db", BACKUP: shop}
    return [command, *(str(names.get(word, word)) for word in COMMANDS[command])]


def ends(path: Path, words: list[str], code: ExitCode, saying: str) -> None:
    """The command ends so, with one line, and leaves all files of the directory as they are."""
    before = contents(path.parent)
    found = run(path, *words)
    assert (found.code, found.out) == (code, ""), found.err
    assert found.err.startswith("lgcheckpoint: ")
    assert found.err.count("\n") == 1
    assert saying in found.err
    assert contents(path.parent) == before
    assert not Path(str(path.parent.parent / "out.db")).exists()


@pytest.mark.compact
def test_every_command_is_here() -> None:
    assert {command.name for command in app.registered_commands} == COMMANDS.keys()


@pytest.mark.compact
@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_file(command: str, path: Path, tmp_path: Path) -> None:
    words = words_of(command, tmp_path)
    ends(path.with_name("nothing.db"), words, ExitCode.MISSING, "there is no file")


@pytest.mark.compact
@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_is_no_database(command: str, path: Path, tmp_path: Path) -> None:
    words = words_of(command, tmp_path)
    path.write_bytes(b"not a database, but a text of some length. " * 200)
    ends(path, words, ExitCode.DAMAGED, "file is not a database")


@pytest.mark.compact
@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "recover"])
def test_a_database_of_another_app(command: str, path: Path, tmp_path: Path) -> None:
    words = words_of(command, tmp_path)
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE accounts (name TEXT)")
    connection.close()
    ends(path, words, ExitCode.DAMAGED, "is a database without checkpoints")


@pytest.mark.compact
@pytest.mark.parametrize("command", COMMANDS)
def test_a_newer_schema(command: str, path: Path, tmp_path: Path) -> None:
    words = words_of(command, tmp_path)
    query(path, "UPDATE checkpoint_meta SET value = '99' WHERE key IN ('min_reader', 'min_writer')")
    ends(path, words, ExitCode.NEWER, "99")


@pytest.mark.compact
@pytest.mark.parametrize(
    "words",
    [
        ["show", "nobody"],
        ["diff", "nobody"],
        ["stats", "--thread", "nobody"],
        ["archive", DONE, "nobody"],
        ["unarchive", "nobody"],
        ["pin", "nobody"],
        ["unpin", "nobody"],
        ["copy", "nobody", "x"],
        ["export", "nobody", "{out}"],
        ["prune", DONE, "nobody", "--yes"],
        ["delete", DONE, "nobody", "--yes"],
        ["erase", DONE, "nobody", "--yes"],
    ],
    ids=lambda words: words[0],
)
def test_no_such_thread(words: list[str], path: Path, tmp_path: Path) -> None:
    words = [word.format(out=tmp_path / "out.db") for word in words]
    ends(path, words, ExitCode.MISSING, "thread 'nobody' does not exist")


def test_a_directory_is_no_file(path: Path) -> None:
    found = run(path.parent, "threads")
    assert (found.code, "is no file" in found.err) == (ExitCode.MISSING, True)


@pytest.mark.parametrize("command", WRITING)
def test_a_file_that_another_process_writes(command: str, path: Path, tmp_path: Path) -> None:
    words = [*words_of(command, tmp_path), "--timeout", "0.1"]
    if command in ("upgrade", "downgrade"):
        path.unlink()
        with RustSqliteSaver(path, format="interop" if command == "upgrade" else "auto") as saver:
            put_chain(saver, 30, DONE)
    with Lock(path, "BEGIN IMMEDIATE"):
        before = contents(path.parent)
        found = run(path, *words)
        assert found.code == ExitCode.BUSY, found.err
        assert found.err.count("\n") == 1
        assert contents(path.parent) == before


@pytest.mark.compact
@pytest.mark.parametrize("command", READING)
def test_reading_beside_a_writer(command: str, path: Path, tmp_path: Path) -> None:
    words = words_of(command, tmp_path)
    with Lock(path, "BEGIN IMMEDIATE"):
        assert run(path, *words).code == ExitCode.OK


@pytest.mark.compact
def test_a_file_that_is_locked_against_readers(path: Path) -> None:
    query(path, "PRAGMA journal_mode=DELETE")
    with Lock(path, "BEGIN EXCLUSIVE"):
        ends(path, ["threads"], ExitCode.BUSY, "locked")


def test_a_file_in_rollback_mode_stays_so(path: Path) -> None:
    query(path, "PRAGMA journal_mode=DELETE")
    assert run(path, "delete", DONE, "--yes").code == ExitCode.OK
    assert query(path, "PRAGMA journal_mode") == [("delete",)]
    assert run(path, "info", "--json").json["journal_mode"] == "delete"


# --- damage ---


def damage(path: Path, first: int = 6) -> None:
    """Flips two bits of every third page from one on: its kind, and a cell."""
    blob = bytearray(path.read_bytes())
    for page in range(first * 4096, len(blob), 3 * 4096):
        blob[page] ^= 0x10
        blob[page + 3000] ^= 0x10
    path.write_bytes(blob)


def test_a_damaged_file_is_found_and_what_is_left_is_saved(path: Path, tmp_path: Path) -> None:
    path.unlink()
    with RustSqliteSaver(path) as saver:
        for number in range(40):
            values = {"text": random.Random(number).randbytes(3000)}
            saver.put(config_of(str(number)), checkpoint_of(1, values), {"step": 1}, {})
    # In the second half there are rows only.
    damage(path, path.stat().st_size // 4096 // 2)
    before = path.read_bytes()
    found = run(path, "verify")
    document = run(path, "verify", "--json")
    assert found.code == document.code == ExitCode.FOUND
    assert "cannot be read" in found.out
    assert document.json["ok"] is False
    assert run(path, "doctor").code == ExitCode.FOUND
    saved = run(path, "recover", tmp_path / "saved.db", "--json")
    assert saved.code == ExitCode.FOUND
    assert saved.json["lost"] or saved.json["gaps"]
    assert run(tmp_path / "saved.db", "verify").code == ExitCode.OK
    assert path.read_bytes() == before


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_fails_with_a_traceback_on_a_damaged_file(
    command: str, path: Path, tmp_path: Path
) -> None:
    words = words_of(command, tmp_path)
    damage(path)
    found = run(path, *words)
    assert found.code in (ExitCode.OK, ExitCode.FOUND, ExitCode.DAMAGED, ExitCode.REFUSED)
    assert "Traceback" not in found.err
    if found.code not in (ExitCode.OK, ExitCode.FOUND):
        assert found.err.startswith("lgcheckpoint: ")


@pytest.mark.compact
def test_a_file_that_is_cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: 4096 * 2])
    found = run(path, "threads")
    assert found.code == ExitCode.DAMAGED
    assert "damaged" in found.err or "malformed" in found.err


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root writes everything")
def test_a_file_that_cannot_be_written(path: Path) -> None:
    path.chmod(0o400)
    ends(path, ["delete", DONE, "--yes"], ExitCode.REFUSED, "cannot be written")


def test_a_target_that_exists_is_left_alone(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.db"
    target.write_bytes(b"mine")
    for words in (["backup"], ["export", DONE], ["recover"]):
        assert run(path, *words, target).code == ExitCode.REFUSED
    assert run(path, "upgrade", "--backup", target, "--yes").code == ExitCode.REFUSED
    assert target.read_bytes() == b"mine"


def test_a_backup_that_is_none(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    other.write_bytes(b"text" * 3000)
    ends(path, ["restore", str(other), "--yes"], ExitCode.DAMAGED, "not a database")
    ends(path, ["import", str(other)], ExitCode.DAMAGED, "not a database")
    ends(path, ["restore", str(tmp_path / "nothing.db"), "--yes"], ExitCode.MISSING, "there is no file")


def test_a_restore_while_the_app_runs(path: Path, tmp_path: Path) -> None:
    backup = make_file(tmp_path / "backup.db")
    code = """
        import sys
        from langgraph_checkpoint_rust import RustSqliteSaver
        with RustSqliteSaver(sys.argv[1], format="auto") as saver:
            saver.setup()
            print("open", flush=True)
            sys.stdin.read()
        """
    app_process = start_python(code, path)
    assert app_process.stdout is not None
    assert app_process.stdout.readline() == "open\n"
    ends(path, ["restore", str(backup), "--yes"], ExitCode.BUSY, "in use")
    app_process.communicate(timeout=60)


# --- codes ---


@pytest.mark.compact
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SchemaVersionError("x"), 6),
        (errors.DatabaseCorruptError("x"), 4),
        (errors.PoolTimeoutError("x"), 5),
        (errors.DatabaseInUseError("x"), 5),
        (errors.LeaseHeldError("x"), 5),
        (errors.DiskFullError("x"), 7),
        (errors.ReadOnlyError("x"), 7),
        (errors.UnsupportedFilesystemError("x"), 7),
        (errors.InternalError("x"), 70),
        (PermissionError(errno.EACCES, "x"), 7),
        (FileExistsError("x"), 7),
        (sqlite3.OperationalError("x"), 7),
        (ValueError("x"), 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_code_for_each_error(error: Exception, code: int) -> None:
    assert code_of(error) == code


# --- the process ---


def start(path: Path, *words: str, **options: Any) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "CHECKPOINTS_DB_PATH": str(path)}
    command = [sys.executable, "-m", "langgraph_checkpoint_rust", *words]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(command, env=env, text=True, **options)


@pytest.mark.skipif(os.name != "posix", reason="SIGINT is POSIX'")
@pytest.mark.compact
@pytest.mark.parametrize("delay", [0, 0.1, 0.3])
@pytest.mark.parametrize("there", ["upgrade", "downgrade"])
def test_ctrl_c_leaves_a_consistent_file(there: str, delay: float, tmp_path: Path) -> None:
    path = tmp_path / "large.db"
    with RustSqliteSaver(path, format="interop" if there == "upgrade" else "auto") as saver:
        for number in range(60):
            put_chain(saver, 50, f"thread-{number}")
    process = start(path, there, "--backup", str(tmp_path / "copy.db"), "--yes", "--timeout", "60")
    deadline = time.monotonic() + 60
    while not (tmp_path / "copy.db").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    if not out:  # else it was done
        assert process.returncode == 130
        assert err == "lgcheckpoint: interrupted; the file is as good as before\n"
    assert run(path, "verify").code == ExitCode.OK
    assert run(path, "threads", "--json").json["total"] == 60
    assert run(path, there, "--yes").code == ExitCode.OK
    assert run(path, "verify", "--json").json["checkpoints"] == 3000


@pytest.mark.compact
@pytest.mark.skipif(os.name != "posix", reason="pipes are POSIX'")
def test_a_reader_that_has_seen_enough_is_no_error(path: Path, tmp_path: Path) -> None:
    path = tmp_path / "many.db"
    with RustSqliteSaver(path) as saver:
        for number in range(2500):
            saver.set_thread(f"thread-{number}", title="x")
    process = start(path, "threads", "--json", "--limit", "2500")
    assert process.stdout is not None
    assert process.stdout.readline() == "{\n"
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) == 0


@pytest.mark.compact
def test_a_bar_is_for_terminals_only(path: Path) -> None:
    done = start(path, "types")
    _, err = done.communicate(timeout=60)
    assert (done.returncode, err) == (0, "")


@pytest.mark.compact
def test_paused_threads_may_be_deleted_too(path: Path) -> None:
    assert run(path, "delete", PAUSED, "--yes", "--json").json["threads"][0]["status"] == "interrupted"


@pytest.mark.compact
@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX'")
def test_a_bar_on_a_terminal_has_rate_and_time_left(path: Path) -> None:
    terminal, side = os.openpty()
    process = start(path, "verify", "--json", stderr=side)
    os.close(side)
    out, _ = process.communicate(timeout=60)
    shown = os.read(terminal, 100_000).decode()
    os.close(terminal)
    assert '"ok": true' in out
    assert "18/18" in shown
    assert re.search(r"checkpoints .*\d:\d\d:\d\d", shown)
