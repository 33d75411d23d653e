"""The directory driver against ``cp -a``, on file systems with and without reflinks.

``python benchmarks/bench_directory.py [--json] [--tree DIR] [--directory DIR] [--rounds N]``. Root gets ext4, XFS and
Btrfs in loop-mounted files, in a mount namespace of their own; anyone else the file system of ``--directory``. Without
``--tree`` the tree is a minimal Debian made by mmdebstrap where that is installed, else a copy of ``/usr/share``.
Every ratio is one of medians measured in this run, in turns.

"to the disk" times also the syncfs(2) after it: what a copy leaves to be written later is work too.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from overlaykit_directory import DirectoryDriver

from overlaykit import linux
from overlaykit.driver import DriverConfig, Durability, SnapshotId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BASE, WORK, NEXT = SnapshotId("base"), SnapshotId("work"), SnapshotId("next")
CLONE_NEWNS = 0x00020000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
FORMAT = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
    "xfs": ["mkfs.xfs", "-q"],
    "btrfs": ["mkfs.btrfs", "-q"],
}

Results = dict[str, dict[str, float]]


def own_mounts() -> None:
    """Keep the mounts of this run from the rest of the machine; they go with the process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None):
        raise OSError(ctypes.get_errno(), "cannot make a mount namespace")


@contextmanager
def filesystems(directory: Path, size: str) -> Iterator[dict[str, Path]]:
    """Make the file systems to measure on."""
    if os.geteuid() != 0:
        yield {"here": directory}
        return
    own_mounts()
    made: dict[str, Path] = {}
    try:
        for kind, words in FORMAT.items():
            if shutil.which(words[0]) is None:
                print(f"no {words[0]}: {kind} is left out", file=sys.stderr)
                continue
            image, point = directory / f"{kind}.img", directory / kind
            subprocess.run(["truncate", "-s", size, image], check=True)
            subprocess.run([*words, image], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            point.mkdir()
            subprocess.run(["mount", "-o", "loop", image, point], check=True)
            made[kind] = point
        yield made
    finally:
        for point in made.values():
            subprocess.run(["umount", point], check=True)


def make_tree(directory: Path) -> Path:
    tree = directory / "tree"
    if os.geteuid() == 0 and shutil.which("mmdebstrap"):
        subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "bookworm", tree], check=True)
    else:
        subprocess.run(["cp", "-a", "--no-preserve=ownership", "/usr/share", tree], check=True)
    return tree


class Bench:
    """One file system with the tree on it, as a directory and as a committed snapshot."""

    def __init__(self, place: Path, tree: Path) -> None:
        self.place = place
        self.copied = place / "cp"
        self.plain = place / "tree"
        subprocess.run(["cp", "-a", tree, self.plain], check=True)
        root = place / "driver"
        root.mkdir()
        self.driver = DirectoryDriver(DriverConfig(root, Durability.NONE))
        self.driver.prepare(WORK, None)
        with self._open(self.plain) as source, self._open(root / "snapshots/work/tree") as target:
            linux.copy_tree(source, target)
        self.commit_seconds = self._timed(lambda: self.driver.commit(WORK, BASE))
        self.sync()

    @contextmanager
    def _open(self, path: Path) -> Iterator[int]:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)

    @staticmethod
    def _timed(action: Callable[[], object]) -> float:
        start = time.perf_counter()
        action()
        return time.perf_counter() - start

    def sync(self) -> None:
        with self._open(self.place) as fd:
            linux.syncfs(fd)

    def cp(self, *options: str) -> None:
        subprocess.run(["cp", "-a", *options, self.plain, self.copied], check=True)

    def prepare(self) -> None:
        self.driver.prepare(WORK, BASE)

    def clean(self) -> None:
        if WORK in set(self.driver.ids()):
            self.driver.remove(WORK)
        self.driver.cleanup()
        with self._open(self.place) as fd:
            linux.remove_tree(fd, self.copied.name)
        self.sync()

    def copies(self, rounds: int) -> Results:
        """Time copies, in turns, with and without getting them to the disk."""
        actions: dict[str, Callable[[], None]] = {
            "cp -a": self.cp,
            "cp -a --reflink=never": lambda: self.cp("--reflink=never"),
            "prepare": self.prepare,
        }
        taken: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in actions}
        for _ in range(rounds):
            for name, action in actions.items():
                seconds = self._timed(action)
                taken[name][0].append(seconds)
                taken[name][1].append(seconds + self._timed(self.sync))
                self.clean()
        return {
            name: {"seconds": statistics.median(alone), "to the disk": statistics.median(synced)}
            for name, (alone, synced) in taken.items()
        }

    def rest(self, rounds: int) -> dict[str, float]:
        """Time the other operations of the driver, in seconds, over a snapshot with ten changes."""
        self.prepare()
        with self.driver.tree(WORK, readonly=False) as tree:
            for number in range(10):
                tree.write_text(f"new-{number}", "x")
        actions: dict[str, Callable[[], object]] = {
            "tree": lambda: self.driver.tree(WORK, readonly=False).close(),
            "changes": lambda: list(self.driver.changes(WORK, BASE)),
            "usage": lambda: self.driver.usage(WORK),
            "verify": lambda: self.driver.verify(BASE),
            "find, for comparison": lambda: subprocess.run(
                ["find", self.plain, "-printf", "%i %C@ %s"], check=True, stdout=subprocess.DEVNULL
            ),
        }
        taken: dict[str, list[float]] = {name: [] for name in actions}
        for _ in range(rounds):
            for name, action in actions.items():
                taken[name].append(self._timed(action))
        result = {"commit": self.commit_seconds, **{name: statistics.median(times) for name, times in taken.items()}}
        result["remove"] = self._timed(lambda: self.driver.remove(WORK))
        result["cleanup"] = self._timed(self.driver.cleanup)
        return result


def show(kind: str, entries: int, copies: Results, rest: dict[str, float]) -> None:
    print(f"\n{kind}, {entries} entries")
    print(
        f"  {'':<24}{'ms':>8}{'of cp -a':>10}{'of never':>10}   {'to the disk, ms':>16}{'of cp -a':>10}{'of never':>10}"
    )
    for name, row in copies.items():
        print(f"  {name:<24}", end="")
        for column, width in (("seconds", 8), ("to the disk", 19)):
            ratios = [row[column] / copies[other][column] for other in ("cp -a", "cp -a --reflink=never")]
            print(f"{row[column] * 1000:>{width}.1f}{ratios[0]:>10.2f}{ratios[1]:>10.2f}", end="")
        print()
    print("  " + ", ".join(f"{name} {seconds * 1000:.2f} ms" for name, seconds in rest.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description="The directory driver against cp -a.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--tree", type=Path, help="the tree to copy")
    parser.add_argument("--directory", type=Path, help="where to work, by default the temporary directory")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", default="4G", help="of each loop-mounted file")
    options = parser.parse_args()
    report: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="overlaykit-bench-", dir=options.directory) as name:
        directory = Path(name)
        tree = options.tree or make_tree(directory)
        with filesystems(directory, options.size) as places:
            for kind, place in places.items():
                bench = Bench(place, tree)
                copies = bench.copies(options.rounds)
                rest = bench.rest(options.rounds)
                entries = bench.driver.usage(BASE).inodes
                bench.driver.close()
                report[kind] = {"entries": entries, "copies": copies, "seconds": rest}
                if not options.json:
                    show(kind, entries, copies, rest)
        if options.tree is None:
            with bench._open(directory) as fd:
                linux.remove_tree(fd, "tree")
    if options.json:
        print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
