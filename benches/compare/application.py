"""A FastAPI app under load by a second process on loopback: 100 users, each with a conversation of its own.

Each user sends the next request when the answer is there; each answer says how many messages the conversation
has, which is checked. The app is `application_server.py`; this process is the users.

    python benches/compare/application.py [--quick] [--only SAVER]
"""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from common import Results, interleaved, main, quantile
from contenders import LEVELS, field
from shapes import TEXT

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from contenders import Contender

USERS = 100
SERVER = Path(__file__).with_name("application_server.py")


@contextmanager
def server(contender: Contender, path: Path) -> Iterator[int]:
    """The app's port."""
    arguments = [contender.name, contender.synchronous, contender.format, str(path)]
    process = subprocess.Popen([sys.executable, str(SERVER), *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


class User:
    """One connection that stays open. A client library would take more time than the app."""

    def __init__(self, number: int, port: int) -> None:
        self.path = f"/chat/user-{number}?{urlencode({'text': TEXT})}"
        self.port = port
        self.turns = 0

    async def connect(self) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self) -> float:
        """Milliseconds that the answer took; the conversation grows by a question and an answer."""
        started = time.perf_counter()
        self.turns += 1
        self.writer.write(f"POST {self.path} HTTP/1.1\r\nHost: app\r\nContent-Length: 0\r\n\r\n".encode())
        status, *headers = (await self.reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        (length,) = (int(each.split(b":")[1]) for each in headers if each.startswith(b"content-length"))
        body = await self.reader.readexactly(length)
        assert b" 200 " in status, (status, body)
        assert int(body) == 2 * self.turns
        return (time.perf_counter() - started) * 1000


async def load(port: int, count: int, requests: int) -> tuple[float, list[float]]:
    """Requests per second, and milliseconds of each request."""
    users = [User(number, port) for number in range(count)]

    async def visit(user: User) -> list[float]:
        return [await user.ask() for _ in range(requests)]

    for user in users:
        await user.connect()
    await asyncio.gather(*(user.ask() for user in users))
    started = time.perf_counter()
    taken = await asyncio.gather(*(visit(user) for user in users))
    seconds = time.perf_counter() - started
    for user in users:
        user.writer.close()
    return count * requests / seconds, list(itertools.chain(*taken))


def run(options: argparse.Namespace, results: Results) -> None:
    users, requests, rounds = (10, 3, 1) if options.quick else (USERS, 8, 3)
    everybody = field(results, levels=LEVELS[:1] if options.quick else LEVELS)
    contenders = [each for each in everybody if options.only in each.label]
    found: dict[Contender, list[tuple[float, list[float]]]] = {each: [] for each in contenders}
    for _, each in interleaved(contenders, rounds):
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            with server(each, Path(directory) / "app.db") as port:
                found[each].append(asyncio.run(load(port, users, requests)))
    case = f"{users} users"
    for each, runs in found.items():
        rates = [rate for rate, _ in runs]
        results.add("throughput", "requests/s", case, each.label, rates, more_is_better=True)
        for name, part in (("p50", 0.5), ("p99", 0.99)):
            figures = [quantile(taken, part) for _, taken in runs]
            results.add(f"request, {name}", "ms", case, each.label, figures)


if __name__ == "__main__":
    main("application", __doc__, run)
