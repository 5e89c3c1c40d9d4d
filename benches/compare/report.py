"""Turns JSON runs into Markdown tables and SVG plots: python benches/compare/report.py RUNS [DIRECTORY].

RUNS is the directory that the workloads wrote to. DIRECTORY is docs/benchmarks/<date of the run> if not
named. A quick run becomes no page of the documentation.
"""

from __future__ import annotations

import argparse
import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import targets
from common import ROOT, Measurement, Results, environment_lines, markdown_tables, read, unique

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENTATION = ROOT / "docs" / "benchmarks"
FEWEST_POINTS = 3


class Plot(NamedTuple):
    """A table whose cases lie on an axis."""

    axis: str
    horizontal: str = "log"
    vertical: str = "log"


PLOTS = {
    ("savers", r"put \+ put_writes|get_tuple"): Plot("messages"),
    ("graphs", "time of a turn against turns"): Plot("turns", "linear", "linear"),
    ("concurrency|processes", "throughput, .*"): Plot("workers"),
    ("growth", ".*: (file|WAL)"): Plot("turns", "linear", "log"),
    ("scale", ".*"): Plot("threads in the file"),
    ("memory", "RSS above the start"): Plot("turns", "linear", "linear"),
}


def plot_of(workload: str, table: str) -> Plot | None:
    for (owner, pattern), plot in PLOTS.items():
        if re.fullmatch(owner, workload) and re.fullmatch(pattern, table):
            return plot
    return None


def slug(text: str) -> str:
    return re.sub(r"\W+", "-", text.lower()).strip("-")


def draw(table: str, found: list[Measurement], plot: Plot, path: Path) -> None:
    """One line a contender, with the quartiles as a band; ours are the thick ones."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "benchmarks"  # the same figures give the same file
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for contender in unique(each.contender for each in found):
        line = sorted((each for each in found if each.contender == contender), key=lambda each: each.x or 0)
        across = [each.x for each in line]
        width = 2.5 if contender.startswith("Rust") else 1.2
        (drawn,) = axes.plot(
            across, [each.median for each in line], label=contender, linewidth=width, marker="o", markersize=3
        )
        axes.fill_between(
            across,
            [each.low for each in line],
            [each.high for each in line],
            color=drawn.get_color(),
            alpha=0.15,
            linewidth=0,
        )
    positive = all(each.median > 0 for each in found)
    axes.set_xscale(plot.horizontal)
    axes.set_yscale(plot.vertical if positive else "linear")
    if plot.vertical == "linear" or not positive:
        axes.set_ylim(bottom=0)
    axes.set(xlabel=plot.axis, ylabel=found[0].unit, title=table)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def plots(results: Results, directory: Path) -> Iterator[tuple[str, str]]:
    """Draws what lies on an axis; by table the file's name."""
    for table in unique(each.table for each in results.measurements):
        found = [each for each in results.measurements if each.table == table and each.x is not None]
        plot = plot_of(results.workload, table)
        if plot and len({each.x for each in found}) >= FEWEST_POINTS:
            name = f"{results.workload}-{slug(table)}.svg"
            draw(table, found, plot, directory / name)
            yield table, name


def page(results: Results, drawn: dict[str, str]) -> str:
    lines = [f"# {results.workload}", "", *results.about.splitlines(), ""]
    lines += [f"- {line}" for line in environment_lines(results.environment)]
    lines += [
        "",
        "Medians ± half the distance of the quartiles. The last columns say how many times better ours is.",
    ]
    if results.quick:
        lines += ["", "**A quick run: a smoke test, no figures to cite.**"]
    tables = unique(each.table for each in results.measurements)
    for table, (heading, text) in zip(tables, markdown_tables(results), strict=True):
        lines += ["", f"## {heading}", "", text]
        if table in drawn:
            lines += ["", f"![{table}]({drawn[table]})"]
    if results.notes:
        lines += ["", "## Notes", "", *(f"- {note}" for note in results.notes)]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("directory", type=Path, nargs="?")
    options = parser.parse_args()
    found = [read(path) for path in sorted(options.runs.glob("*.json"))]
    if not found:
        raise SystemExit(f"no JSON files in {options.runs}")
    directory = options.directory or DOCUMENTATION / min(each.environment["date"] for each in found)[:10]
    if directory.resolve().is_relative_to(DOCUMENTATION) and any(each.quick for each in found):
        raise SystemExit("a quick run becomes no page of the documentation")
    directory.mkdir(parents=True, exist_ok=True)
    index = ["# Benchmarks", "", "Made by `make bench` and `benches/compare/report.py`.", ""]
    for results in found:
        text = page(results, dict(plots(results, directory)))
        (directory / f"{results.workload}.md").write_text(text, encoding="utf-8")
        first = results.about.partition("\n")[0].rstrip(":.")
        index.append(f"- [{results.workload}]({results.workload}.md): {first}")
    index += ["", "## Targets of the design", "", targets.table(found)]
    (directory / "README.md").write_text("\n".join(index) + "\n", encoding="utf-8")
    print(f"{len(found)} pages")


if __name__ == "__main__":
    main()
