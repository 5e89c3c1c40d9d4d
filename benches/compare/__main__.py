"""All workloads, one after the other, each in a process of its own; then the report of what they found.

python benches/compare [--quick] [--output DIRECTORY]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

WORKLOADS = (
    "serializer",
    "savers",
    "listing",
    "graphs",
    "turn",
    "bridge",
    "concurrency",
    "processes",
    "growth",
    "scale",
    "memory",
    "application",
)
HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, for a smoke test: no figures to cite"
    )
    parser.add_argument("--output", type=Path, default=HERE.parents[1] / "target" / "benchmarks")
    options = parser.parse_args()
    quick = ["--quick"] if options.quick else []
    took = {}
    for workload in WORKLOADS:
        print(f"\n=== {workload}", flush=True)
        started = time.monotonic()
        command = [sys.executable, str(HERE / f"{workload}.py"), *quick, "--output", str(options.output)]
        subprocess.run(command, check=True)
        took[workload] = time.monotonic() - started
    report = [str(HERE / "report.py"), str(options.output), str(options.output / "report")]
    subprocess.run([sys.executable, *report], check=True)
    print("\n" + ", ".join(f"{workload} {seconds:.0f} s" for workload, seconds in took.items()))
    print(f"{sum(took.values()):.0f} s in all")


if __name__ == "__main__":
    main()
