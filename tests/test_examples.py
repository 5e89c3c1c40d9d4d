"""The examples run, from the first line to the last, and do what they print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from langchain_core.runnables import RunnableConfig

from langgraph_checkpoint_rust import RustSqliteSaver

THREAD: RunnableConfig = {"configurable": {"thread_id": "ada-1"}}
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def lines(text: str) -> list[str]:
    """Without numbers and padding, which differ, and without order: two tools run at once."""
    return sorted(" ".join(re.sub(r"\d+", "0", line).split()) for line in text.strip().splitlines())


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": ""},
    )


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX'")
def test_the_support_agent_survives_its_process(tmp_path: Path) -> None:
    path = tmp_path / "support.db"
    done = run(str(EXAMPLES / "support_agent.py"), str(path))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    story = done.stdout
    events = [
        "ended with -9, in the middle of find_slots",
        "look_up_customer was done",
        "paused  Book Tuesday 09:00",
        "See you on Tuesday, Ada.",
        "(waits for a human)",
        "no, call me first",
        "I have not booked anything yet.",
        "the first branch is still there: 'See you on Tuesday, Ada.'",
        "integrity_check: ok",
    ]
    places = [story.find(event) for event in events]
    assert -1 not in places, story
    assert places == sorted(places), story
    assert story.count("look_up_customer('ada@example.com')") == 1
    assert story.count("find_slots('Tuesday')") == 2
    assert story.count("book_appointment('Tuesday 09:00')") == 1

    page = (EXAMPLES.parent / "docs/demo.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert lines(shown) == lines(story)

    with RustSqliteSaver(path) as saver:
        states = [found.checkpoint["channel_values"] for found in saver.list(THREAD)]
    ends = [state["messages"][-1].text for state in states if "messages" in state]
    assert ends[0] == "I have not booked anything yet."
    assert "See you on Tuesday, Ada." in ends


def test_the_support_agent_keeps_its_hands_off_an_existing_file(tmp_path: Path) -> None:
    path = tmp_path / "support.db"
    path.write_bytes(b"mine")
    done = run(str(EXAMPLES / "support_agent.py"), str(path))
    assert done.returncode == 1
    assert "exists; name a new file" in done.stderr
    assert path.read_bytes() == b"mine"


def test_every_example_is_tested() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.name != "__pycache__"} == {
        "support_agent.py",
        "fastapi_chat",
    }
    assert (EXAMPLES.parent / "tests/test_fastapi_chat.py").exists()
