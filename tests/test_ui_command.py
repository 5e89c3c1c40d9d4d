"""`lgcheckpoint ui`, and what the page says of files that cannot be read."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from helpers import Lock, checkpoint_of, config_of, id_of, put_chain, query
from ui_support import TOKEN, browser, fill

from langgraph_checkpoint_rust import RustSqliteSaver
from langgraph_checkpoint_rust.errors import DatabaseOpenError
from langgraph_checkpoint_rust.ui import _app, _database, serve

if TYPE_CHECKING:
    from pathlib import Path


# --- a file that cannot be read ---


def test_a_file_that_is_no_database_is_told(path: Path) -> None:
    path.write_text("no database " * 1000, encoding="utf-8")
    with browser(path) as page:
        assert "The file is damaged" in page.get(status=500).text
        # A sound one at the same path is read.
        path.unlink()
        fill(path)
        assert "rome" in page.get().text


def test_a_file_that_is_not_there_is_told(path: Path) -> None:
    with browser(path) as page:
        assert "The file cannot be opened" in page.get(status=500).text
    assert not path.exists()


def test_a_file_of_a_later_version_is_told(path: Path) -> None:
    fill(path)
    query(path, "UPDATE checkpoint_meta SET value = '2' WHERE key = 'min_reader'")
    with browser(path) as page:
        shown = page.get(status=500).text
        assert "The file is of a later version" in shown
        assert "Update langgraph-checkpoint-rust" in shown


def test_a_damaged_row_is_told_where_it_is_needed(path: Path) -> None:
    with RustSqliteSaver(path) as saver:
        saver.put(config_of(), checkpoint_of(1, {"x": os.urandom(9000).hex()}), {"source": "loop"}, {})
    query(path, "DELETE FROM checkpoint_chunks")
    with browser(path) as page:
        assert page.get().links("thread") == ["thread?thread=1"]
        assert "lgcheckpoint verify" in page.get(f"checkpoint?thread=1&id={id_of(1)}", 500).text


def test_a_busy_file_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_database, "_BUSY_TIMEOUT", 0.1)
    with RustSqliteSaver(path, journal_mode="DELETE") as saver:
        put_chain(saver, 1)
    with browser(path) as page:
        with Lock(path, "BEGIN EXCLUSIVE"):
            assert "The file is busy" in page.get(status=503).text
        assert page.get().links("thread") == ["thread?thread=1"]


def test_a_file_that_was_replaced_is_opened_anew(path: Path, tmp_path: Path) -> None:
    fill(path)
    with RustSqliteSaver(tmp_path / "other.db") as saver:
        put_chain(saver, 1, "of-the-other")
    with browser(path) as page:
        assert "rome" in page.get().text
        path.unlink()
        shutil.copy(tmp_path / "other.db", path)
        # The engine looks at what is at the path four times a second.
        until = time.monotonic() + 20
        while (answer := page.client.get(f"/{TOKEN}/")).status_code == 200 and time.monotonic() < until:
            time.sleep(0.05)
        assert answer.status_code == 503
        assert "The file was replaced" in answer.text
        assert page.get().links("thread") == ["thread?thread=of-the-other"]


# --- the command ---


def start(path: Path, *arguments: object) -> subprocess.Popen[str]:
    options = ["-d", str(path), "--no-open", *map(str, arguments)]
    command = [sys.executable, "-m", "langgraph_checkpoint_rust", "ui", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_command_serves_this_machine_until_ctrl_c(path: Path) -> None:
    fill(path)
    process = start(path)
    try:
        assert process.stdout is not None
        found = re.search(r"^http://127\.0\.0\.1:(\d+)/([\w-]{32})/$", process.stdout.readline())
        assert found is not None
        port, token = int(found[1]), found[2]
        for address, status in ((f"/{token}/", 200), ("/", 403)):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request("GET", address)
            assert connection.getresponse().status == status
            connection.close()
        # Another address of this machine leads nowhere.
        with socket.socket() as other, pytest.raises(OSError):
            other.connect(("127.0.0.2", port))
        second = start(path, "--port", port)
        output, errors = second.communicate(timeout=30)
        assert (second.returncode, output) == (7, "")
        assert errors.startswith("lgcheckpoint: ")
        assert "in use" in errors
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert errors == "Ctrl-C ends it\n"


def test_the_command_tells_programs_where_it_is(path: Path) -> None:
    fill(path)
    process = start(path, "--json", "--no-redact")
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        url = json.loads("".join(lines))["url"]
        address = urlsplit(url)
        connection = http.client.HTTPConnection(address.netloc, timeout=20)
        connection.request("GET", address.path)
        assert "Secrets are shown" in connection.getresponse().read().decode()
        connection.close()
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_a_file_is_looked_at_before_a_port_is_taken(path: Path) -> None:
    announced: list[str] = []
    with pytest.raises(DatabaseOpenError):
        serve(path, announce=announced.append)
    assert announced == []
    assert not path.exists()


def test_the_browser_is_opened_if_that_is_asked_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path)
    opened: list[str] = []
    announced: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr(_app, "run", lambda *_: None)
    serve(path, announce=announced.append)
    assert (len(announced), opened) == (1, [])
    serve(path, open_browser=True, announce=announced.append)
    assert opened == announced[1:]
    # Each start has a token of its own.
    assert len({url.split("/")[3] for url in announced}) == 2


@pytest.mark.parametrize("package", ["jinja2", "starlette", "uvicorn"])
def test_a_missing_extra_is_named(path: Path, package: str) -> None:
    fill(path)
    code = f"""
import sys
sys.modules[{package!r}] = None
from langgraph_checkpoint_rust.ui import create_app
try:
    create_app("x.db", token="x" * 16)
except ImportError as error:
    print(error)
from langgraph_checkpoint_rust.cli import main
sys.argv = ["lgcheckpoint", "ui", "-d", {str(path)!r}]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    told = f"the page needs {package}: pip install 'langgraph-checkpoint-rust[ui]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (7, told, f"lgcheckpoint: {told}")
