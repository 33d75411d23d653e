"""The fixture ``overlay_tree`` against ``shutil.copytree`` into ``tmp_path``.

``python benchmarks/bench_pytest.py [--json] [--files N] [--rounds N] [--content BYTES]``. Each figure is what a test
takes with a directory of its own, from before its setup to after its teardown, in one pytest run in which the kinds of
tests take turns; a test reads one file, rewrites one and adds one. What copytree made is left to pytest,
and not counted. Every ratio is one of medians of that run. Root gets overlayfs; anyone else gets it in a user namespace
(``unshare --map-root-user``); both get kept copies besides.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = """
import shutil
from pathlib import Path
import pytest

SOURCE = Path({source!r})


@pytest.fixture
def copied(tmp_path):
    path = tmp_path / "site"
    shutil.copytree(SOURCE, path, symlinks=True)
    return path


def work(path):
    (path / "d1" / "f1").read_bytes()
    (path / "d1" / "f2").write_bytes(b"other")
    (path / "d2" / "new").write_bytes(b"new")


@pytest.mark.parametrize("round", range({rounds}))
def test_copytree(copied, round):
    work(copied)


@pytest.mark.overlay_tree(SOURCE)
@pytest.mark.parametrize("round", range({rounds}))
def test_overlay(overlay_tree, round):
    assert not (overlay_tree / "d2" / "new").exists()
    work(overlay_tree)
"""

CONFTEST = """
import json, os, time
from pathlib import Path
import pytest

TIMES = {}


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.callspec.params["round"])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    begun = time.perf_counter()
    result = yield
    TIMES.setdefault(item.originalname, []).append(time.perf_counter() - begun)
    return result


def pytest_unconfigure():
    Path(os.environ["BENCH_TIMES"]).write_text(json.dumps(TIMES))
"""


def make_source(directory: Path, files: int, content: int) -> None:
    """Make a directory of files, a hundred in each directory."""
    for at in range(files):
        parent = directory / f"d{at // 100}"
        if at % 100 == 0:
            parent.mkdir(parents=True)
        (parent / f"f{at % 100}").write_bytes(os.urandom(8) * (content // 8))


def run(place: Path, driver: str, prefix: list[str]) -> dict[str, float]:
    """Run the tests and return medians in seconds."""
    times = place / "times.json"
    words = [*prefix, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    words += [
        "-p",
        "overlaykit.pytest_plugin",
        "-c",
        os.devnull,
        "--rootdir",
        str(place),
        "--overlay-driver",
        driver,
        str(place / "test_bench.py"),
    ]
    done = subprocess.run(
        words, cwd=place, env={**os.environ, "BENCH_TIMES": str(times)}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(words)}\n{done.stdout}{done.stderr}")
    return {name: statistics.median(found) for name, found in json.loads(times.read_text()).items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--content", type=int, default=1024, help="bytes in each file")
    arguments = parser.parse_args()
    ways: dict[str, tuple[str, list[str]]] = {"directory": ("directory", [])}
    if os.geteuid() == 0:
        ways["overlayfs"] = ("overlayfs", [])
    elif shutil.which("unshare"):
        ways["overlayfs in a user namespace"] = ("overlayfs", ["unshare", "--map-root-user"])
    results = {}
    with tempfile.TemporaryDirectory(prefix="overlaykit-bench-") as directory:
        place = Path(directory)
        make_source(place / "site", arguments.files, arguments.content)
        (place / "conftest.py").write_text(CONFTEST)
        (place / "test_bench.py").write_text(TESTS.format(source=str(place / "site"), rounds=arguments.rounds))
        for name, (driver, prefix) in ways.items():
            medians = run(place, driver, prefix)
            results[name] = {
                "copytree_ms": medians["test_copytree"] * 1e3,
                "overlay_tree_ms": medians["test_overlay"] * 1e3,
                "times_faster": medians["test_copytree"] / medians["test_overlay"],
            }
    if arguments.json:
        print(json.dumps(results, indent=2))
        return
    print(f"a directory of {arguments.files} files for each test, medians of {arguments.rounds} in turns")
    for name, row in results.items():
        print(
            f"  {name}: copytree {row['copytree_ms']:.0f} ms, overlay_tree {row['overlay_tree_ms']:.1f} ms: "
            f"{row['times_faster']:.0f} times faster"
        )


main()
