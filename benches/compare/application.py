"""A FastAPI app under load by a second process on loopback: 100 users, each with a conversation of its own.

Each user sends the next request when the answer is there; each answer says how many messages the conversation
has, which is checked. The app is `application_server.py`; this process is the users.

    python benches/compare/application.py [--quick]
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
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
def server(contender: Contender, path: Path) -> Iterator[str]:
    """The app's address."""
    arguments = [contender.name, contender.synchronous, contender.format, str(path)]
    process = subprocess.Popen([sys.executable, str(SERVER), *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()


async def load(address: str, users: int, requests: int) -> tuple[float, list[float]]:
    """Requests per second, and milliseconds of each request."""
    taken: list[float] = []
    limits = httpx.Limits(max_connections=users, max_keepalive_connections=users)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=60) as client:

        async def ask(user: int, turn: int) -> None:
            response = await client.post(f"/chat/user-{user}", params={"text": TEXT})
            assert response.json() == 2 * turn, response.text

        async def visit(user: int) -> None:
            for turn in range(2, requests + 2):
                started = time.perf_counter()
                await ask(user, turn)
                taken.append((time.perf_counter() - started) * 1000)

        await asyncio.gather(*(ask(user, 1) for user in range(users)))  # connections are open
        started = time.perf_counter()
        await asyncio.gather(*(visit(user) for user in range(users)))
        return users * requests / (time.perf_counter() - started), taken


def run(options: argparse.Namespace, results: Results) -> None:
    users, requests, rounds = (10, 3, 1) if options.quick else (USERS, 8, 3)
    contenders = field(results, levels=LEVELS[:1] if options.quick else LEVELS)
    found: dict[Contender, list[tuple[float, list[float]]]] = {each: [] for each in contenders}
    for _, each in interleaved(contenders, rounds):
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            with server(each, Path(directory) / "app.db") as address:
                found[each].append(asyncio.run(load(address, users, requests)))
    case = f"{users} users"
    for each, runs in found.items():
        rates = [rate for rate, _ in runs]
        results.add("throughput", "requests/s", case, each.label, rates, more_is_better=True)
        for name, part in (("p50", 0.5), ("p99", 0.99)):
            figures = [quantile(taken, part) for _, taken in runs]
            results.add(f"request, {name}", "ms", case, each.label, figures)


if __name__ == "__main__":
    main("application", __doc__, run)
