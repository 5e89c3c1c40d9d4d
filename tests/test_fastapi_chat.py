"""`examples/fastapi_chat`, asked over HTTP, in real uvicorn processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from helpers import Lock, query

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.compact
APP = Path(__file__).resolve().parents[1] / "examples/fastapi_chat"
LONG = " ".join(f"word{number}" for number in range(100))
"""Takes 2 seconds to answer."""


class Server:
    """uvicorn with the app, on a file."""

    def __init__(self, path: Path, workers: int = 1) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = path.with_suffix(f".{port}.log")
        command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port), "--workers", str(workers)]
        environment = os.environ | {"CHECKPOINTS_DB_PATH": str(path), "PYTHONWARNINGS": ""}
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                command, cwd=APP, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self._wait(60)

    def _wait(self, patience: float) -> None:
        until = time.monotonic() + patience
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/healthz", timeout=10).status_code == 200:
                    return
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.05)

    @property
    def pid(self) -> int:
        """The process that answers, if there is one worker."""
        return self._process.pid

    def kill(self) -> None:
        """kill -9 to all of its processes."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(20)

    def stop(self) -> None:
        """SIGTERM, as at a deployment."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        finally:
            if self._process.poll() is None:
                self.kill()
        assert "Traceback" not in self.log.read_text(), self.log.read_text()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process.poll() is None:
            self.stop()

    def chat(self, thread: str, **turn: Any) -> list[tuple[str, Any]]:
        """All events of a turn."""
        with self.stream(thread, **turn) as answer:
            return list(events(answer.iter_lines()))

    def stream(self, thread: str, place: str = "/chat", **turn: Any) -> Any:
        """The response to a turn."""
        return httpx.stream(
            "POST", f"{self.url}{place}", json=turn, headers={"X-Thread-Id": thread}, timeout=30
        )

    def get(self, place: str, thread: str = "none") -> Any:
        """What a place answers."""
        answer = httpx.get(f"{self.url}{place}", headers={"X-Thread-Id": thread}, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def status(self, thread: str) -> str:
        """How a thread stands."""
        return str(self.get(f"/threads/{thread}")["status"])


def events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    """The events of a stream."""
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def text_of(found: list[tuple[str, Any]]) -> str:
    assert [name for name, _ in found if name == "error"] == []
    return "".join(data for name, data in found if name == "token")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Four workers on one file."""
    with Server(tmp_path_factory.mktemp("chat") / "chat.db", workers=4) as server:
        yield server


def test_an_answer_is_streamed_word_by_word(server: Server) -> None:
    with server.stream("streamed", text="Hello there, parrot") as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["X-Thread-Id"] == "streamed"
        found = list(events(answer.iter_lines()))
    assert [name for name, _ in found] == ["token"] * 4 + ["end"]
    assert [data for _, data in found[:4]] == ["1:", " Hello", " there,", " parrot"]
    assert server.get("/chat", "streamed") == ["human: Hello there, parrot", "ai: 1: Hello there, parrot"]
    assert server.status("streamed") == "done"


def test_parallel_users_of_four_workers_share_one_file(server: Server) -> None:
    workers: set[int] = set()

    async def talk(user: str) -> None:
        for turn in range(3):
            # A connection each, so that the workers take turns.
            async with httpx.AsyncClient(timeout=30) as client:
                headers = {"X-Thread-Id": user}
                answer = await client.post(
                    f"{server.url}/chat", json={"text": f"turn{turn}"}, headers=headers
                )
            found = list(events(iter(answer.text.splitlines())))
            assert text_of(found) == f"{2 * turn + 1}: turn{turn}"
            workers.add(found[-1][1]["worker"])

    async def everybody() -> None:
        await asyncio.gather(*(talk(f"user{number}") for number in range(16)))

    asyncio.run(everybody())
    assert len(workers) > 1
    for number in range(16):
        said = server.get("/chat", f"user{number}")
        expected = [(f"human: turn{turn}", f"ai: {2 * turn + 1}: turn{turn}") for turn in range(3)]
        assert said == [line for pair in expected for line in pair]
    listed = server.get("/threads?limit=200")["threads"]
    assert {thread["thread_id"] for thread in listed} >= {f"user{number}" for number in range(16)}


def test_a_client_that_goes_away_leaves_nothing_in_part_and_nothing_locked(server: Server) -> None:
    with server.stream("gone", text=LONG) as answer:
        found = events(answer.iter_lines())
        assert [next(found) for _ in range(3)] == [("token", "1:"), ("token", " word0"), ("token", " word1")]
    # All workers write to the file, and so does another process.
    for number in range(8):
        assert server.get("/healthz") == {"status": "ok"}
        assert text_of(server.chat(f"beside{number}", text="Hello")) == "1: Hello"
    path = server.log.with_name("chat.db")
    with Lock(path, "BEGIN IMMEDIATE"):
        pass
    assert server.status("gone") == "pending"
    assert server.get("/chat", "gone") == [f"human: {LONG}"]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    # Whichever worker it comes to, the thread goes on.
    assert text_of(server.chat("gone", text="Are you there?")) == "2: Are you there?"
    assert server.get("/chat", "gone")[1:] == ["human: Are you there?", "ai: 2: Are you there?"]


@pytest.mark.parametrize("goes_away", [False, True])
def test_a_thread_that_is_for_one_request_ends_with_it(server: Server, goes_away: bool) -> None:
    thread = f"once-{goes_away}"
    with server.stream(thread, "/ask", text=LONG) as answer:
        found = events(answer.iter_lines())
        assert next(found) == ("token", "1:")
        assert server.status(thread) == "pending"
        if not goes_away:
            assert [name for name, _ in found][-1] == "end"
    until = time.monotonic() + 20
    while httpx.get(f"{server.url}/threads/{thread}", timeout=30).status_code != 404:
        assert time.monotonic() < until
    path = server.log.with_name("chat.db")
    for table in ("checkpoints", "writes"):
        assert query(path, f"SELECT count(*) FROM {table} WHERE thread_id = ?", (thread,)) == [(0,)]
    assert server.get("/healthz") == {"status": "ok"}


def test_two_requests_at_once_in_one_thread_do_not_mix(server: Server) -> None:
    async def ask(text: str) -> list[tuple[str, Any]]:
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.post(
                f"{server.url}/chat", json={"text": text}, headers={"X-Thread-Id": "both"}
            )
        return list(events(iter(answer.text.splitlines())))

    async def both() -> tuple[list[tuple[str, Any]], list[tuple[str, Any]]]:
        return await asyncio.gather(ask("one " * 20), ask("two " * 20))

    ends = sorted(found[-1][0] for found in asyncio.run(both()))
    said = server.get("/chat", "both")
    if ends == ["end", "end"]:
        # One was done before the other began.
        assert len(said) == 4
    else:
        assert ends == ["end", "error"]
        assert server.status("both") == "done"
    assert said[-1].startswith("ai: ")


@pytest.mark.skipif(sys.platform != "linux", reason="changes the limits of another process")
def test_what_was_asked_is_answered_after_a_restart_by_another_worker(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    with Server(path) as server:
        assert server.chat("ada-1", text="Hello")[-1] == ("end", {"worker": server.pid})
        asked = server.chat("ada-1", text="book a table")
        assert asked[0] == ("question", "Shall I book it?")
        assert server.status("ada-1") == "interrupted"
        with server.stream("cut-off", text=LONG) as answer:
            assert next(events(answer.iter_lines())) == ("token", "1:")
            server.kill()
    with Server(path) as server:
        assert server.status("ada-1") == "interrupted"
        resumed = server.chat("ada-1", resume="yes")
        assert text_of(resumed) == "3: book a table"
        assert resumed[-1] == ("end", {"worker": server.pid})
        assert server.get("/chat", "ada-1") == [
            "human: Hello",
            "ai: 1: Hello",
            "human: book a table",
            "ai: 3: book a table",
        ]
        assert server.status("cut-off") == "pending"

        # The process may write to no file any more, also as root.
        limits = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (0, limits[1]))
        answer = httpx.get(f"{server.url}/healthz", timeout=30)
        assert answer.status_code == 503
        assert answer.json()["status"] == "unavailable"
        assert answer.json()["error"] == "DatabaseError"
        assert server.status("ada-1") == "done"
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, limits)
        assert server.get("/healthz") == {"status": "ok"}

        # It goes on at the node that was cut off.
        assert text_of(server.chat("cut-off")) == f"1: {LONG}"
