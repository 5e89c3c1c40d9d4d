"""The benches run, and their results become a report. No figure is judged."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

COMPARE = Path(__file__).resolve().parents[1] / "benches" / "compare"


def run(script: str, *arguments: str) -> None:
    subprocess.run([sys.executable, str(COMPARE / f"{script}.py"), *arguments], check=True)


def found(directory: Path, workload: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((directory / f"{workload}.json").read_text(encoding="utf-8"))
    return result


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("benches")
    run("serializer", "--quick", "--only", "20 messages", "--output", str(directory))
    run("savers", "--quick", "--sizes", "2", "--output", str(directory))
    return directory


def test_a_workload_says_what_it_measured_and_where(output: Path) -> None:
    serializer, savers = found(output, "serializer"), found(output, "savers")
    assert {each["table"] for each in serializer["measurements"]} == {"dumps", "loads"}
    assert set(savers["references"].values()) == {"SqliteSaver NORMAL", "SqliteSaver FULL"}
    measured = {each["contender"] for each in savers["measurements"]}
    assert {*savers["references"], *savers["references"].values()} <= measured
    assert savers["environment"]["versions"]["langgraph-checkpoint-sqlite"][0].isdigit()
    assert savers["quick"]


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="plots need matplotlib")
def test_results_become_pages_and_plots(output: Path, tmp_path: Path) -> None:
    run("report", str(output), str(tmp_path))
    assert "no figures to cite" in (tmp_path / "savers.md").read_text(encoding="utf-8")
    assert (tmp_path / "README.md").exists()
