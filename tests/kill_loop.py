"""Processes that write until they are killed. Run as a script it prints what it did as JSON.

It imports the package once and forks, before anything is open: a fresh interpreter for each kill
would take a second.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import select
import signal
import sys
import threading
import time
import traceback
from typing import Any

from helpers import TASK, checkpoint_of, config_of
from oracle import WRITES, acknowledge, digest

from langgraph_checkpoint_rust import RustSqliteSaver

LONGEST_LIFE = 0.05


def values_of(
    thread_id: str, number: int, random_: random.Random
) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    """A state and the writes that go with it, of any size from tiny to several pages, and a log that shares
    most of its bytes with the one before."""
    text = random_.randbytes(random_.choice([10, 300, 3000])).hex()
    writes = [(f"channel-{index}", f"{thread_id}/{number}/{index}/{text[:200]}") for index in range(WRITES)]
    log = [f"{thread_id}/{entry} " * 25 for entry in range(max(0, number - 60), number)]
    return {"value": text, "number": number, "log": log}, writes


async def write_on(saver: Any, thread_id: str, seed: int, early: bool, colour: str) -> None:
    """Puts and puts writes until the process is killed. `early` acknowledges before the call."""
    random_ = random.Random(f"{seed}/{thread_id}")
    number = 0
    while True:
        number += 1
        values, writes = values_of(thread_id, number, random_)
        checkpoint = checkpoint_of(number, values)
        lines = [
            ("checkpoint", thread_id, checkpoint["id"], digest(values)),
            ("writes", thread_id, checkpoint["id"], digest([value for _, value in writes])),
        ]
        if early:
            acknowledge(*lines[0])
        config = config_of(thread_id)
        if colour == "async":
            config = await saver.aput(config, checkpoint, {"step": number}, {})
        else:
            config = saver.put(config, checkpoint, {"step": number}, {})
        if not early:
            acknowledge(*lines[0])
        if colour == "async":
            await saver.aput_writes(config, writes, TASK)
        else:
            saver.put_writes(config, writes, TASK)
        acknowledge(*lines[1])


def live(path: str, name: str, seed: int, early: bool, options: dict[str, Any]) -> None:
    """A writer process: one thread, four threads, or four tasks."""
    saver = RustSqliteSaver(path, **options)
    shape = random.Random(seed).choice(["one", "threads", "async"])
    if shape == "one":
        asyncio.run(write_on(saver, name, seed, early, "sync"))
    elif shape == "threads":
        threads = [
            threading.Thread(
                target=asyncio.run,
                args=[write_on(saver, f"{name}-{index}", seed, early, "sync")],
                daemon=True,
            )
            for index in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    else:

        async def main() -> None:
            await asyncio.gather(
                *(write_on(saver, f"{name}-{index}", seed, early, "async") for index in range(4))
            )

        asyncio.run(main())


def start(path: str, name: str, seed: int, early: bool, options: dict[str, Any]) -> tuple[int, int]:
    """Forks a writer; its process and what it acknowledges through."""
    receiver, sender = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(receiver)
        os.dup2(sender, 1)
        try:
            live(path, name, seed, early, options)
        except BaseException:
            traceback.print_exc()
        # Reached only by an error, which must not pass as a kill.
        os._exit(1)
    os.close(sender)
    return process, receiver


def main() -> None:
    arguments = json.loads(sys.argv[1])
    path, kills, writers, seed = (arguments[name] for name in ("path", "kills", "writers", "seed"))
    random_ = random.Random(seed)
    living: list[tuple[int, int]] = []
    lines: dict[int, bytes] = {}
    started = killed = failed = 0

    def drain(timeout: float) -> None:
        """Reads what was acknowledged: a full pipe would stop its writer."""
        until = time.monotonic() + timeout
        while True:
            ready, _, _ = select.select(
                [receiver for _, receiver in living], [], [], max(0, until - time.monotonic())
            )
            for receiver in ready:
                lines[receiver] = lines.get(receiver, b"") + os.read(receiver, 1 << 20)
            if time.monotonic() >= until:
                return

    words: list[list[str]] = []

    def end(index: int) -> None:
        """Kills a writer and reads the last of what it acknowledged."""
        nonlocal killed, failed
        process, receiver = living.pop(index)
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        killed += os.WIFSIGNALED(status)
        failed += not os.WIFSIGNALED(status)
        rest = lines.pop(receiver, b"")
        while more := os.read(receiver, 1 << 20):
            rest += more
        os.close(receiver)
        words.extend(line.split() for line in rest.decode().splitlines())

    while killed + failed + len(living) < kills:
        while len(living) < writers:
            started += 1
            options = {"synchronous": arguments["synchronous"] or random_.choice(["NORMAL", "FULL"])}
            living.append(start(path, f"t{started}", random_.getrandbits(32), arguments["early"], options))
        drain(random_.uniform(0, LONGEST_LIFE))
        end(random_.randrange(len(living)))
    while living:
        end(0)
    json.dump({"kills": killed, "failed": failed, "started": started, "lines": words}, sys.stdout)


if __name__ == "__main__":
    main()
