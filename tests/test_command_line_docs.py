"""docs/command-line.md: its tables match the commands, its session is what the commands print."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import DONE, make_file, run
from test_docs import table

from langgraph_checkpoint_rust.cli.app import app
from langgraph_checkpoint_rust.cli.exits import ExitCode

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/command-line.md").read_text(encoding="utf-8")
NAMES = {str(command.name) for command in app.registered_commands}
KEYS = {row[0].strip("`"): re.findall(r"`(\w+)`", row[1]) for row in table(PAGE, "JSON")}
ARGUMENTS = {
    "show": ["bob"],
    "diff": ["bob"],
    "archive": ["bob"],
    "unarchive": ["bob"],
    "pin": ["bob"],
    "unpin": ["bob"],
    "copy": ["bob", "bob-2"],
    "export": ["bob", "{directory}/bob.db"],
    "import": ["{directory}/exported.db", "--as", "guest"],
    "prune": ["--all"],
    "retention": ["--keep-last", "1"],
    "delete": ["bob"],
    "erase": ["bob"],
    "backup": ["{directory}/copy.db"],
    "restore": ["{directory}/other.db"],
    "recover": ["{directory}/saved.db"],
}


def named(heading: str, column: int) -> set[str]:
    return {name for row in table(PAGE, heading) for name in re.findall(r"`([a-z]+)`", row[column])}


def test_every_command_is_described_once() -> None:
    groups = ("Look", "Threads", "Delete", "The file")
    assert "`lgcheckpoint ui`" in PAGE
    described = [name for heading in groups for name in named(heading, 0)]
    assert sorted(described) == sorted(NAMES - {"ui"})


def test_every_example_is_a_command_line_that_is_understood() -> None:
    examples = re.findall(r"`lgcheckpoint ([a-z]+)([^`>]*)", PAGE)
    assert len(examples) > 20
    for name, rest in examples:
        assert name in NAMES or name == "COMMAND"
        options = set(re.findall(r" (--[a-z-]+|-d)\b", rest))
        shown = run(None, name, "--help").out if name in NAMES else "--help"
        assert all(re.search(rf"{option}\b", shown) for option in options), (name, options)


def test_every_exit_code_is_described() -> None:
    assert [int(row[0]) for row in table(PAGE, "Exit codes")] == [int(code) for code in ExitCode]


def test_the_keys_of_every_command_are_listed() -> None:
    assert {name.split()[0] for name in KEYS} == NAMES - {"ui"}


@pytest.mark.parametrize("line", KEYS)
def test_json_has_the_keys_that_are_listed(line: str, tmp_path: Path) -> None:
    name, *options = line.split()
    path = make_file(tmp_path / "shop.db")
    if name == "restore":
        make_file(tmp_path / "other.db")
    if name == "import":
        assert run(path, "export", DONE, tmp_path / "exported.db").code == 0
    arguments = [word.format(directory=tmp_path) for word in ARGUMENTS.get(name, [])]
    found = run(path, name, *arguments, *options, "--json")
    assert found.code == 0, found.err
    assert list(found.json) == KEYS[line]


def outline(session: str) -> list[str]:
    """Without what differs from run to run: ids, times, sizes, and where a line is folded."""
    commands = re.split(r"^\$ ", session, flags=re.MULTILINE)
    ids = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
    return [" ".join(re.sub(r"\d+|─+", "0", ids.sub("ID", command)).split()) for command in commands]


@pytest.mark.timeout(300)  # a dozen processes, on a machine that may be busy
@pytest.mark.skipif(os.name != "posix", reason="the session is one of bash")
def test_the_session_is_what_the_commands_print() -> None:
    command = [sys.executable, str(ROOT / "docs/make_transcript.py"), "--print"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    (committed,) = re.findall(r"<!-- transcript: begin -->\n```text\n(.*?)```\n", PAGE, re.DOTALL)
    assert outline(done.stdout) == outline(committed)
    assert committed.count("$ lgcheckpoint") >= 10
