"""The speed targets of the design, and where a run stands against them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from common import Measurement, Results, markdown_row, ratio

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS, UPSTREAM, MEMORY = "RustSqliteSaver", "SqliteSaver", "InMemorySaver"
SERIALIZER = ("RustSerializer", "JsonPlusSerializer")


class Target(NamedTuple):
    """`ours` at `level` is to be so many times better than the reference, in one cell of one table."""

    workload: str
    table: str
    case: str
    times: float
    level: str = ""
    names: tuple[str, str] = (OURS, UPSTREAM)


def by_size(table: str, level: str, times: dict[str, float]) -> list[Target]:
    return [Target("savers", table, f"{size} messages", wanted, level) for size, wanted in times.items()]


TARGETS = (
    *by_size("put + put_writes", "NORMAL", {"2": 1.7, "200": 6, "1,000": 8}),
    *by_size("put + put_writes", "FULL", {"2": 1.1, "200": 2.3, "1,000": 4.5}),
    *by_size("get_tuple", "NORMAL", {"2": 3, "200": 6, "1,000": 5}),
    Target("serializer", "dumps", "1000 messages", 8, names=SERIALIZER),
    Target("serializer", "loads", "1000 messages", 5, names=SERIALIZER),
    Target("concurrency", "throughput, tasks", "64 tasks", 6, "NORMAL"),
    Target("concurrency", "throughput, tasks", "64 tasks", 10, "FULL"),
    Target("listing", "list and history", "list, 50 newest", 5, "NORMAL"),
    Target("growth", "files after closing", "chat, 300 turns", 50, "NORMAL"),
    Target("graphs", "chat of 300 turns", "whole run", 1, "NORMAL", (OURS, MEMORY)),
)


def stands(target: Target, results: Results) -> Iterator[tuple[Measurement, Measurement]]:
    """Ours, in each format that was measured, and the reference."""
    found = [
        each
        for each in results.measurements
        if each.table == target.table
        and (each.case == target.case or each.case.startswith(f"{target.case} ("))
    ]
    ours, reference = target.names
    theirs = [each for each in found if each.contender in {reference, f"{reference} {target.level}"}]
    for each in found:
        if each.contender.startswith(ours) and each.contender.endswith(target.level) and theirs:
            yield each, theirs[0]


def table(runs: list[Results]) -> str:
    """A row a target that a run has measured."""
    lines = [markdown_row(("What", "Ours", "Beside", "Target", "Measured", "")), "|---" * 6 + "|"]
    by_workload = {results.workload: results for results in runs}
    for target in TARGETS:
        if target.workload not in by_workload:
            continue
        for ours, theirs in stands(target, by_workload[target.workload]):
            times = ratio(ours, theirs)
            lines.append(
                markdown_row(
                    (
                        f"{target.table}: {ours.case}",
                        ours.contender,
                        theirs.contender,
                        f"{target.times:g}x",
                        f"{times:.2f}x" if times < 10 else f"{times:.0f}x",
                        "met" if times >= target.times else "**missed**",
                    )
                )
            )
    return "\n".join(lines)
