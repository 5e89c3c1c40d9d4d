"""Makes the golden file of a version of the compact format. Run once, when the version is new:

    python tests/golden/make_compact.py tests/golden/compact-1.db

The tests take from here what must be in it.
"""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage

from langgraph_checkpoint_rust import RustSqliteSaver

LENGTH = 8
TASK = "00000000-0000-0000-0000-00000000000a"
SIZES = {"small": 1, "chat": 6, "large": 120}
"""Threads, and how many messages each of their checkpoints adds."""


def id_of(number: int) -> str:
    """A checkpoint id; greater numbers sort later."""
    return f"1ef00000-0000-6000-8000-{number:012x}"


def noise(length: int) -> bytes:
    """Bytes that no compression makes shorter."""
    return b"".join(sha256(bytes([place % 256])).digest() for place in range(length // 32))


def checkpoint_of(thread_id: str, number: int) -> dict[str, Any]:
    """A checkpoint whose state grows with its number."""
    messages: list[Any] = []
    for turn in range(number * SIZES[thread_id]):
        words = " ".join(str(turn * turn % (place + 7)) for place in range(60))
        made = HumanMessage if turn % 2 else AIMessage
        messages.append(made(f"{turn} ✓ {words}", id=f"m{turn}"))
    values = {"messages": messages, "count": number, "raw": noise(256 * SIZES[thread_id])}
    return {
        "v": 4,
        "ts": f"2026-01-01T00:00:{number:02}+00:00",
        "id": id_of(number),
        "channel_values": values,
        "channel_versions": dict.fromkeys(values, f"{number + 1:032}.5"),
        "versions_seen": {"agent": {"messages": f"{number:032}.5"}},
        "updated_channels": None,
    }


def metadata_of(number: int) -> dict[str, Any]:
    """The metadata of a checkpoint."""
    return {"source": "loop", "step": number, "parents": {}, "run_id": f"run-{number // 4}"}


def write_of(thread_id: str, number: int) -> tuple[str, Any]:
    """The write at a checkpoint."""
    return "messages", checkpoint_of(thread_id, number + 1)["channel_values"]["messages"][-20:]


def fill(saver: Any) -> None:
    """Puts everything."""
    for thread_id in SIZES:
        config: Any = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
        for number in range(LENGTH):
            config = saver.put(config, checkpoint_of(thread_id, number), metadata_of(number), {})
            saver.put_writes(config, [write_of(thread_id, number)], TASK, "~0")
    saver.set_thread("chat", title="A title", metadata={"customer": 7})


def main() -> None:
    """Writes the file: chunks as they are, and as zstd frames."""
    path = Path(sys.argv[1])
    path.unlink(missing_ok=True)
    with RustSqliteSaver(path, journal_mode="DELETE", compression="zstd") as saver:
        fill(saver)
        saver.compact(full=True)


if __name__ == "__main__":
    main()
