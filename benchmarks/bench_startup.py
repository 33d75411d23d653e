"""How long the command line takes to start, against the interpreter's own start in the same run.

Run it with the interpreter of an environment that overlaykit is installed in: ``python benchmarks/bench_startup.py``.
An editable installation looks for C sources to rebuild at every start; install a wheel for figures.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time

RUNS = 40

STORE = "<store>"
"""Stands for the directory of a store with one snapshot."""

#: What is started: a name, the words, and the most that it may take as a multiple of the floor; None: no promise.
SUBJECTS: tuple[tuple[str, list[str], float | None], ...] = (
    ("overlaykit --version", ["--version"], 3.0),
    ("overlaykit --help", ["--help"], None),
    ("overlaykit snapshots --help", ["snapshots", "--help"], None),
    ("overlaykit drivers --json", ["drivers", "--json"], None),
    ("overlaykit images", ["images", "--store", STORE], None),
    ("overlaykit ps", ["ps", "--store", STORE], None),
)


def start(words: list[str]) -> float:
    """Start a program, wait for its end, and return the seconds that took."""
    begin = time.perf_counter()
    subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def script() -> str:
    """Return the path of the installed console script."""
    return os.path.join(sysconfig.get_path("scripts"), "overlaykit")


def main() -> int:
    """Measure in turns, so that a busy moment falls on all alike, and write medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as store:
        start([script(), "prepare", "one", "--store", store])
        subjects = {"python3 -c pass": [sys.executable, "-c", "pass"]}
        for name, words, _ in SUBJECTS:
            subjects[name] = [script(), *(store if word == STORE else word for word in words)]
        times: dict[str, list[float]] = {name: [] for name in subjects}
        for _ in range(arguments.runs):
            for name, words in subjects.items():
                times[name].append(start(words))
    # The least is what the work takes; everything above it is what else the machine was doing.
    floor = min(times["python3 -c pass"])
    limits = {name: limit for name, _, limit in SUBJECTS}
    figures = [
        {
            "what": name,
            "best_ms": min(taken) * 1000,
            "median_ms": statistics.median(taken) * 1000,
            "ratio": min(taken) / floor,
            "limit": limits.get(name),
        }
        for name, taken in times.items()
    ]
    if arguments.json:
        print(json.dumps(figures, indent=2))
    else:
        print(f"{'':<30}{'best':>10}{'median':>10}{'ratio':>8}{'limit':>8}")
        for row in figures:
            limit = f"{row['limit']:.1f}" if row["limit"] else ""
            print(
                f"{row['what']:<30}{row['best_ms']:>7.1f} ms{row['median_ms']:>7.1f} ms{row['ratio']:>8.2f}{limit:>8}"
            )
    return int(any(row["limit"] and row["ratio"] > row["limit"] for row in figures))


if __name__ == "__main__":
    sys.exit(main())
