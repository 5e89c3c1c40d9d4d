"""Makes the golden files. Run by the Python of an environment that holds the version to record.

    python -m venv old && old/bin/pip install langgraph-checkpoint-sqlite==3.0.3
    old/bin/python tests/golden/make.py tests/golden

writes `tests/golden/langgraph-checkpoint-sqlite-3.0.3.db`. The tests take from here what must be in it.
"""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.sqlite import SqliteSaver

TASKS = ("00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b")
THREADS = ("chat", "7", "ünïcode 'quoted'")
NAMESPACES = ("", "child:00000000-0000-0000-0000-00000000000c")
LENGTH = 4


def id_of(number: int) -> str:
    """A checkpoint id; greater numbers sort later."""
    return f"1ef00000-0000-6000-8000-{number:012x}"


def checkpoint_of(number: int, checkpoint_version: int) -> dict[str, Any]:
    """A checkpoint whose state grows with its number."""
    messages: list[Any] = []
    for turn in range(number):
        call = {"name": "book", "args": {"day": turn}, "id": f"call-{turn}", "type": "tool_call"}
        messages += [
            HumanMessage(f"question {turn}", id=f"h{turn}"),
            AIMessage("", id=f"a{turn}", tool_calls=[call]),
            ToolMessage(f"answer {turn} ✓", tool_call_id=f"call-{turn}", id=f"t{turn}"),
        ]
    values = {
        "messages": messages,
        "count": number,
        "mixed": {
            "when": datetime(2026, 1, 2, tzinfo=timezone.utc),
            "id": UUID(int=number),
            "raw": b"\x00\xff",
        },
    }
    return {
        "v": checkpoint_version,
        "ts": f"2026-01-01T00:00:{number:02}+00:00",
        "id": id_of(number),
        "channel_values": values,
        "channel_versions": dict.fromkeys(values, f"{number + 1:032}.5"),
        "versions_seen": {"agent": {"messages": f"{number:032}.5"}},
        "pending_sends": [],
    }


def metadata_of(number: int) -> dict[str, Any]:
    """The metadata of a checkpoint."""
    return {"source": "loop" if number else "input", "step": number - 1, "parents": {}, "who": "ü"}


def writes_of(number: int) -> list[tuple[str, list[tuple[str, Any]], str]]:
    """Calls of `put_writes`: `(task id, writes, task path)`. Paths sort as ids do, for old tables lack them."""
    calls: list[tuple[str, list[tuple[str, Any]], str]] = [
        (TASKS[0], [("messages", HumanMessage(f"next {number}", id="n")), ("count", number + 1)], "~0"),
        (
            TASKS[1],
            [
                ("__error__", "first"),
            ],
            "~1",
        ),
        (TASKS[1], [("__error__", "second")], "~1"),
    ]
    return calls[: number % 4]


def fill(saver: Any, checkpoint_version: int) -> None:
    """Puts everything."""
    for thread_id in THREADS:
        for checkpoint_ns in NAMESPACES:
            config = {"configurable": {"thread_id": thread_id, "checkpoint_ns": checkpoint_ns}}
            for number in range(LENGTH):
                checkpoint = checkpoint_of(number, checkpoint_version)
                config = saver.put(config, checkpoint, metadata_of(number), checkpoint["channel_versions"])
                for task_id, writes, task_path in writes_of(number):
                    saver.put_writes(config, writes, task_id, task_path)


def main() -> None:
    """Writes one file, named by the installed version."""
    installed = version("langgraph-checkpoint-sqlite")
    path = Path(sys.argv[1]) / f"langgraph-checkpoint-sqlite-{installed}.db"
    path.unlink(missing_ok=True)
    with SqliteSaver.from_conn_string(str(path)) as saver:
        fill(saver, 3 if installed.startswith("2.") else 4)
        # Smaller, and nothing lies beside the file.
        saver.conn.execute("PRAGMA journal_mode = DELETE")
        saver.conn.execute("VACUUM")


if __name__ == "__main__":
    main()
