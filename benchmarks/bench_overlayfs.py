"""The overlayfs driver against the bare system calls, and changes() over trees of different size.

``python benchmarks/bench_overlayfs.py [--json] [--directory DIR] [--rounds N]``. Root measures the floor, the driver
and, in a child process of uid 65534, the driver without privileges; anyone else the last alone. Every ratio is one of
medians measured in this run, in turns.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from overlaykit_overlayfs._driver import OverlayfsDriver

from overlaykit import linux
from overlaykit.driver import DriverConfig, Durability, SnapshotId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from overlaykit.tree import HostTree

NOBODY = 65534
LAYERS = 5


@contextmanager
def driver(root: Path) -> Iterator[OverlayfsDriver]:
    root.mkdir()
    with OverlayfsDriver(DriverConfig(root, Durability.NONE)) as made:
        yield made


def stack(made: OverlayfsDriver) -> SnapshotId:
    """Make five layers with a file each."""
    parent: SnapshotId | None = None
    for number in range(LAYERS):
        made.prepare(SnapshotId("new"), parent)
        with made.tree(SnapshotId("new"), readonly=False) as tree:
            tree.write_text(f"file{number}", "x")
        parent = SnapshotId(f"layer{number}")
        made.commit(SnapshotId("new"), parent)
    assert parent is not None
    return parent


def floor(directory: Path, rounds: int) -> list[int]:
    """Run the bare system calls."""
    return [int(line) for line in subprocess.check_output([directory / "floor", directory, str(rounds)]).split()]


def containers(made: OverlayfsDriver, parent: SnapshotId, rounds: int, cleanup: bool) -> list[int]:
    """Make and remove containers; with ``cleanup`` the files of each are gone too."""
    times = []
    for number in range(rounds):
        name = SnapshotId(f"box{time.monotonic_ns()}x{number}")
        start = time.perf_counter_ns()
        made.prepare(name, parent)
        made.tree(name, readonly=False).close()
        made.remove(name)
        if cleanup:
            made.cleanup()
        times.append(time.perf_counter_ns() - start)
    made.cleanup()
    return times


def store_containers(directory: Path, rounds: int) -> list[int]:
    """Make and discard containers of a store."""
    from overlaykit.store import open_store

    times = []
    with open_store(directory / "store", driver="overlayfs", durability="none") as store:
        key: str | None = None
        for number in range(LAYERS):
            with store.snapshot(key) as working:
                working.tree.write_text(f"file{number}", "x")
                key = working.commit(f"layer{number}").key
        for _ in range(rounds):
            start = time.perf_counter_ns()
            with store.snapshot(key) as working:
                working.tree.lstat("")
            times.append(time.perf_counter_ns() - start)
    return times


def compile_floor(directory: Path) -> None:
    source = Path(__file__).with_name("overlayfs_floor.c")
    subprocess.run(["cc", "-O2", "-o", directory / "floor", source], check=True)
    for number in range(LAYERS):
        layer = directory / f"layer{number}"
        layer.mkdir()
        (layer / f"file{number}").write_text("x")


def as_nobody(action: Callable[[], object]) -> object:
    """Call a function in a process without privileges and return what it returned."""
    if os.geteuid() != 0:
        return action()
    read, write = os.pipe()
    if os.fork() == 0:
        code = 1
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            # As in a process that was started without privileges; see PR_SET_DUMPABLE.
            ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
            os.write(write, json.dumps(action()).encode())
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(write)
    with open(read, "rb") as file:
        data = file.read()
    os.wait()
    return json.loads(data)


def fill(tree: HostTree, files: int) -> None:
    for number in range(files):
        if number % 100 == 0:
            tree.mkdir(f"d{number // 100}")
        tree.write_text(f"d{number // 100}/f{number}", "content")


def change(tree: HostTree) -> None:
    """Make a hundred changes."""
    for number in range(100):
        path = f"d{number % 3}/f{number % 3 * 100 + number // 3}"
        if number % 4 == 0:
            tree.unlink(path)
        elif number % 4 == 1:
            tree.write_text(f"d{number % 3}/new{number}", "x")
        else:
            tree.write_text(path, "changed")


def changes(directory: Path, rounds: int) -> dict[str, float]:
    """Return the median times of changes() over trees of three sizes, in milliseconds, measured in turns."""
    times: dict[int, list[int]] = {300: [], 3_000: [], 30_000: []}
    with ExitStack() as stack:
        drivers = {files: stack.enter_context(driver(directory / f"changes{files}")) for files in times}
        for files, made in drivers.items():
            made.prepare(SnapshotId("base"), None)
            with made.tree(SnapshotId("base"), readonly=False) as tree:
                fill(tree, files)
            made.commit(SnapshotId("base"), SnapshotId("lower"))
            made.prepare(SnapshotId("top"), SnapshotId("lower"))
            with made.tree(SnapshotId("top"), readonly=False) as tree:
                change(tree)
        for _ in range(rounds):
            for files, made in drivers.items():
                start = time.perf_counter_ns()
                found = list(made.changes(SnapshotId("top"), SnapshotId("lower")))
                times[files].append(time.perf_counter_ns() - start)
                assert 100 <= len(found) <= 104, len(found)
    return {f"changes, {files} files": statistics.median(values) / 1e6 for files, values in times.items()}


def measure(directory: Path, rounds: int) -> dict[str, float]:
    compile_floor(directory)
    samples: dict[str, list[int]] = {}

    def add(name: str, values: object) -> None:
        assert isinstance(values, list)
        samples.setdefault(name, []).extend(values)

    nobody = directory / "nobody"
    nobody.mkdir()
    directory.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(nobody, NOBODY, NOBODY)

    def rootless(turn: int, cleanup: bool) -> list[int]:
        with driver(nobody / f"{turn}{cleanup}") as made:
            return containers(made, stack(made), rounds, cleanup)

    with driver(directory / "root") as made:
        parent = stack(made)
        for turn in range(5):
            if linux.is_mount_admin():
                add("floor", floor(directory, rounds))
                add("driver", containers(made, parent, rounds, False))
                add("driver, files removed too", containers(made, parent, rounds, True))
            for cleanup in (False, True):
                add(
                    "rootless driver" + ", files removed too" * cleanup,
                    as_nobody(lambda turn=turn, cleanup=cleanup: rootless(turn, cleanup)),
                )
            (directory / f"store{turn}").mkdir()
            add("store", store_containers(directory / f"store{turn}", rounds))
    result = {name: statistics.median(values) / 1e6 for name, values in samples.items()}
    result |= changes(directory, 40)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--directory", help="where to work; its file system is what is measured")
    parser.add_argument("--rounds", type=int, default=100, help="containers a turn; five turns")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        result = measure(Path(name), options.rounds)
    if options.json:
        print(json.dumps(result, indent=2))
        return 0
    base, smallest = result.get("floor"), result["changes, 300 files"]
    print(f"{'':38} {'median ms':>10} {'ratio':>8}")
    for what, value in result.items():
        against = smallest if what.startswith("changes") else base
        ratio = f"{value / against:8.2f}" if against else ""
        print(f"{what:38} {value:10.3f} {ratio}")
    print("\nratio: to the bare system calls as root; of changes, to the smallest tree")
    return 0


if __name__ == "__main__":
    sys.exit(main())
