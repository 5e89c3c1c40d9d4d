"""What all workloads share: the environment, interleaved rounds, results as JSON and as Markdown.

A result is a list of measurements: medians with quartiles. `reference` says beside which contender another is
judged; both run in the same rounds, so that a slow moment of the machine meets both.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import importlib.metadata
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from langgraph_checkpoint_rust import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "target" / "benchmarks"
PACKAGES = (
    "langgraph-checkpoint-rust",
    "langgraph-checkpoint",
    "langgraph-checkpoint-sqlite",
    "langgraph",
    "langchain",
    "langchain-core",
    "pydantic",
    "ormsgpack",
    "aiosqlite",
    "uvloop",
    "fastapi",
    "uvicorn",
    "langgraph-checkpoint-lmdb",
    "lmdb",
    "swarmstate",
    "fast-langgraph",
    "langgraph-checkpoint-postgres",
)
SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")

Item = TypeVar("Item")


# --- measuring ---


def interleaved(contenders: Sequence[Item], rounds: int, block: int = 1) -> Iterator[tuple[int, Item]]:
    """Every contender in every round, `block` rounds at a time, in an order that rotates."""
    for start in range(0, rounds, block):
        first = start // block % len(contenders)
        for contender in (*contenders[first:], *contenders[:first]):
            for number in range(start, min(start + block, rounds)):
                yield number, contender


def microseconds(call: Callable[[], Item]) -> tuple[float, Item]:
    """How long a call takes, and what it returns."""
    started = time.perf_counter_ns()
    result = call()
    return (time.perf_counter_ns() - started) / 1000, result


def quantile(values: Iterable[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


# --- results ---


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One cell of a table."""

    table: str
    unit: str
    case: str
    contender: str
    median: float
    low: float
    high: float
    count: int
    x: float | None = None
    more_is_better: bool = False


@dataclasses.dataclass
class Results:
    """What one run of one workload found."""

    workload: str
    about: str
    quick: bool = False
    environment: dict[str, Any] = dataclasses.field(default_factory=dict)
    references: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    measurements: list[Measurement] = dataclasses.field(default_factory=list)

    def add(
        self,
        table: str,
        unit: str,
        case: str,
        contender: str,
        values: Sequence[float],
        *,
        x: float | None = None,
        more_is_better: bool = False,
    ) -> None:
        low, high = (quantile(values, part) for part in (0.25, 0.75))
        median = statistics.median(values)
        self.measurements.append(
            Measurement(table, unit, case, contender, median, low, high, len(values), x, more_is_better)
        )

    def write(self, directory: Path) -> Path:
        """Writes the JSON file."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.workload}.json"
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n", encoding="utf-8")
        return path


def read(path: Path) -> Results:
    """What `Results.write` wrote."""
    fields = json.loads(path.read_text(encoding="utf-8"))
    fields["measurements"] = [Measurement(**each) for each in fields["measurements"]]
    return Results(**fields)


# --- Markdown ---


def number(value: float) -> str:
    """Three digits that count, or all digits before the point."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2g}" if abs(value) < 1 else f"{value:.2f}"


def unique(values: Iterable[Item]) -> list[Item]:
    return list(dict.fromkeys(values))


def markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def cell(found: Measurement | None) -> str:
    if found is None:
        return ""
    spread = (found.high - found.low) / 2
    return number(found.median) if found.count < 3 else f"{number(found.median)} ±{number(spread)}"


def ratio(ours: Measurement, theirs: Measurement) -> float:
    """How many times better ours is; infinite beside nothing."""
    above, below = (ours.median, theirs.median) if ours.more_is_better else (theirs.median, ours.median)
    return above / below if below else float("inf")


def times_better(ours: Measurement, theirs: Measurement) -> str:
    times = ratio(ours, theirs)
    if times == float("inf"):
        return ""
    return f"{times:,.0f}x" if times >= 10 else f"{times:.1f}x" if times >= 1 else f"{times:.2f}x"


def markdown_tables(results: Results) -> Iterator[tuple[str, str]]:
    """By table its heading and its text: a row a case, a column a contender, then the ratios."""
    for name in unique(each.table for each in results.measurements):
        rows = [each for each in results.measurements if each.table == name]
        contenders = unique(each.contender for each in rows)
        pairs = {
            ours: theirs for ours, theirs in results.references.items() if {ours, theirs} <= {*contenders}
        }
        heads = ["", *contenders, *(f"{ours} / {theirs}" for ours, theirs in pairs.items())]
        lines = [markdown_row(heads), "|---" * len(heads) + "|"]
        for case in unique(each.case for each in rows):
            found = {each.contender: each for each in rows if each.case == case}
            cells = [cell(found.get(contender)) for contender in contenders]
            for ours, theirs in pairs.items():
                both = ours in found and theirs in found
                cells.append(times_better(found[ours], found[theirs]) if both else "")
            lines.append(markdown_row([case, *cells]))
        better = "more is better" if rows[0].more_is_better else "less is better"
        yield f"{name}, {rows[0].unit}, {better}", "\n".join(lines)


def show(results: Results) -> None:
    """Prints the tables: medians, ± half the distance of the quartiles, and how many times better ours is."""
    for heading, text in markdown_tables(results):
        print(f"\n{heading}\n\n{text}")
    for note in results.notes:
        print(f"\n{note}")


# --- environment ---


def file_system(path: Path) -> str:
    """The type of the file system, on Linux: `synchronous` means nothing on tmpfs."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return "unknown"
    inside = [(len(mount[1]), mount[2]) for mount in mounts if path.resolve().is_relative_to(mount[1])]
    return max(inside)[1]


def processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    names = [line.partition(": ")[2] for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def commit() -> str:
    try:
        command = ["git", "describe", "--always", "--dirty"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def environment(directory: Path) -> dict[str, Any]:
    """Where the run happens. Ends the process of a debug build."""
    debug, version, _ = _core.build_info()
    if debug:
        raise SystemExit("this is a debug build; its figures mean nothing")
    return {
        "date": dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": f"{os.cpu_count()} x {processor()}, {platform.system()} {platform.release()}",
        "file system": file_system(directory),
        "Python": f"{platform.python_implementation()} {platform.python_version()} {platform.machine()}",
        "SQLite": f"{version // 1_000_000}.{version // 1000 % 1000}.{version % 1000} (ours), "
        f"{sqlite3.sqlite_version} (Python's)",
        "load average before": round(os.getloadavg()[0], 1),
        "versions": {package: version_of(package) for package in PACKAGES},
    }


def environment_lines(found: dict[str, Any]) -> list[str]:
    lines = [f"{name}: {value}" for name, value in found.items() if name != "versions"]
    return [*lines, ", ".join(f"{name} {version}" for name, version in found["versions"].items())]


# --- a workload's command line ---


def main(
    workload: str,
    about: str | None,
    run: Callable[[argparse.Namespace, Results], None],
    arguments: Callable[[argparse.ArgumentParser], object] = lambda _: None,
) -> None:
    """Runs a workload: prints the environment and the tables, and writes the JSON file."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, for a smoke test: no figures to cite"
    )
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="directory of the JSON file")
    arguments(parser)
    options = parser.parse_args()
    results = Results(workload, (about or "").strip(), options.quick)
    options.output.mkdir(parents=True, exist_ok=True)
    results.environment = environment(options.output)
    print(*environment_lines(results.environment), sep="\n", flush=True)
    started = time.perf_counter()
    run(options, results)
    results.environment["seconds"] = round(time.perf_counter() - started, 1)
    results.environment["load average after"] = round(os.getloadavg()[0], 1)
    show(results)
    print(f"\n{results.environment['seconds']} s; {results.write(options.output).name}", flush=True)
