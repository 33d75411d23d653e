"""The memory driver against itself on trees of three sizes, and against other file systems in memory.

Run ``python benchmarks/bench_memory.py``. pyfakefs, PyFilesystem (fs) and fsspec are compared where they can be
imported. Every figure is a median of rounds that take turns in one process; what counts are the ratios.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

from overlaykit_memory import MemoryDriver

from overlaykit.driver import DriverConfig, SnapshotId

Action = Callable[[], object]
DATA = b"x" * 1000
DEPTH = "usr/share/doc"
NAMES = [f"{DEPTH}/file{number}" for number in range(200)]
ROUNDS = 31


def seconds(actions: dict[str, Action], loops: int) -> dict[str, float]:
    """Return the median seconds of processor time of each action; they take turns.

    Nothing here waits for anything but the processor, and what other programs take of it is not counted.
    """
    taken: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(ROUNDS):
        for name, action in actions.items():
            start = time.thread_time()
            for _ in range(loops):
                action()
            taken[name].append((time.thread_time() - start) / loops)
    return {name: statistics.median(times) for name, times in taken.items()}


def bench_lifecycle() -> None:
    print("storage work, microseconds (target: below 20, the same for every size)")
    print(f"{'files':>10} {'prepare':>10} {'commit':>10} {'remove':>10} {'fork + write + discard':>24}")
    for files in (1, 1_000, 100_000):
        driver = MemoryDriver(DriverConfig(None))
        driver.prepare(SnapshotId("w"), None)
        tree = driver.tree(SnapshotId("w"), readonly=False)
        for number in range(files):
            if number % 100 == 0:
                tree.mkdir(f"d{number // 100}")
            tree.write_bytes(f"d{number // 100}/f{number}", DATA)
        tree.close()
        base = SnapshotId("base")
        driver.commit(SnapshotId("w"), base)
        numbers = itertools.count()
        taken: dict[str, list[float]] = {"prepare": [], "commit": [], "remove": [], "fork": []}
        for _ in range(2_000):
            active, done = SnapshotId(f"a{next(numbers)}"), SnapshotId(f"c{next(numbers)}")
            marks = [time.perf_counter()]
            driver.prepare(active, base)
            marks.append(time.perf_counter())
            driver.commit(active, done)
            marks.append(time.perf_counter())
            driver.remove(done)
            marks.append(time.perf_counter())
            for name, (start, end) in zip(taken, itertools.pairwise(marks), strict=False):
                taken[name].append(end - start)
            start = time.perf_counter()
            driver.prepare(active, base)
            with driver.tree(active, readonly=False) as tree:
                tree.write_bytes("d0/f0", b"changed")
            driver.remove(active)
            taken["fork"].append(time.perf_counter() - start)
        row = [statistics.median(times) * 1e6 for times in taken.values()]
        print(f"{files:>10} {row[0]:>10.2f} {row[1]:>10.2f} {row[2]:>10.2f} {row[3]:>24.2f}")
        del tree
        # A large snapshot of its own: removing it must not take the time that freeing it takes.
        start = time.perf_counter()
        driver.remove(base)
        removed = time.perf_counter()
        driver.cleanup()
        print(
            f"{'':>10} remove of the base itself {(removed - start) * 1e6:.1f}, "
            f"its cleanup {(time.perf_counter() - removed) * 1e6:.0f}"
        )


def ours() -> dict[str, Action]:
    driver = MemoryDriver(DriverConfig(None))
    driver.prepare(SnapshotId("w"), None)
    tree = driver.tree(SnapshotId("w"), readonly=False)
    tree.makedirs(DEPTH)
    for name in NAMES:
        tree.write_bytes(name, DATA)
    driver.commit(SnapshotId("w"), SnapshotId("base"))
    driver.prepare(SnapshotId("x"), SnapshotId("base"))
    tree = driver.tree(SnapshotId("x"), readonly=False)
    names = itertools.cycle(NAMES)

    def read() -> None:
        with tree.open(next(names), "rb") as file:
            file.read()

    def write() -> None:
        with tree.open(next(names), "wb") as file:
            file.write(DATA)

    def read_text() -> None:
        with tree.open(next(names), encoding="utf-8") as file:
            file.read()

    return {
        "read": read,
        "write": write,
        "read text": read_text,
        "read at once": lambda: tree.read_bytes(next(names)),
        "write at once": lambda: tree.write_bytes(next(names), DATA),
        "stat": lambda: tree.stat(next(names)),
        "exists": lambda: tree.exists(next(names)),
        "list": lambda: tree.listdir(DEPTH),
    }


def pyfakefs() -> dict[str, Action]:
    from pyfakefs.fake_filesystem import FakeFilesystem
    from pyfakefs.fake_open import FakeFileOpen
    from pyfakefs.fake_os import FakeOsModule

    system = FakeFilesystem()
    fake_open, fake_os = FakeFileOpen(system), FakeOsModule(system)
    for name in NAMES:
        system.create_file("/" + name, contents=DATA)
    names = itertools.cycle(["/" + name for name in NAMES])

    def read(mode: str = "rb", encoding: str | None = None) -> None:
        with fake_open(next(names), mode, encoding=encoding) as file:
            file.read()

    def write() -> None:
        with fake_open(next(names), "wb") as file:
            file.write(DATA)

    return {
        "read": read,
        "write": write,
        "read text": lambda: read("r", "utf-8"),
        "read at once": read,
        "write at once": write,
        "stat": lambda: fake_os.stat(next(names)),
        "exists": lambda: fake_os.path.exists(next(names)),
        "list": lambda: fake_os.listdir("/" + DEPTH),
    }


def pyfilesystem() -> dict[str, Action]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own making: it imports pkg_resources
        from fs.memoryfs import MemoryFS
    system = MemoryFS()
    system.makedirs(DEPTH)
    for name in NAMES:
        system.writebytes(name, DATA)
    names = itertools.cycle(NAMES)

    def read(mode: str = "rb", **options: Any) -> None:
        with system.open(next(names), mode, **options) as file:
            file.read()

    def write() -> None:
        with system.open(next(names), "wb") as file:
            file.write(DATA)

    return {
        "read": read,
        "write": write,
        "read text": lambda: read("r", encoding="utf-8"),
        "read at once": lambda: system.readbytes(next(names)),
        "write at once": lambda: system.writebytes(next(names), DATA),
        "stat": lambda: system.getinfo(next(names), ["details"]),
        "exists": lambda: system.exists(next(names)),
        "list": lambda: system.listdir(DEPTH),
    }


def fsspec() -> dict[str, Action]:
    from fsspec.implementations.memory import MemoryFileSystem

    system = MemoryFileSystem()
    system.makedirs("/" + DEPTH)
    for name in NAMES:
        system.pipe_file("/" + name, DATA)
    names = itertools.cycle(["/" + name for name in NAMES])

    def read() -> None:
        with system.open(next(names), "rb") as file:
            file.read()

    def write() -> None:
        with system.open(next(names), "wb") as file:
            file.write(DATA)

    def read_text() -> None:
        with system.open(next(names), "r", encoding="utf-8") as file:
            file.read()

    return {
        "read": read,
        "write": write,
        "read text": read_text,
        "read at once": lambda: system.cat_file(next(names)),
        "write at once": lambda: system.pipe_file(next(names), DATA),
        "stat": lambda: system.info(next(names)),
        "exists": lambda: system.exists(next(names)),
        "list": lambda: system.ls("/" + DEPTH, detail=False),
    }


def bench_files() -> None:
    found: dict[str, dict[str, Action]] = {"overlaykit": ours()}
    for make in (pyfakefs, pyfilesystem, fsspec):
        with contextlib.suppress(ImportError):
            found[make.__name__] = make()
    others = [name for name in found if name != "overlaykit"]
    print(f"\n{len(NAMES)} files of {len(DATA)} bytes, in a child of a committed layer")
    print("microseconds, and how many times as long the others take (target: pyfakefs 5 or more, the rest 1 or more)")
    print(f"{'':>14} {'overlaykit':>12}" + "".join(f"{name:>24}" for name in others))
    for what in found["overlaykit"]:
        times = seconds({name: actions[what] for name, actions in found.items()}, 200)
        own = times["overlaykit"]
        row = "".join(f"{times[name] * 1e6:>14.2f} {times[name] / own:>8.1f}x" for name in others)
        print(f"{what:>14} {own * 1e6:>12.2f}{row}")


def bench_large() -> None:
    driver = MemoryDriver(DriverConfig(None))
    driver.prepare(SnapshotId("w"), None)
    driver.tree(SnapshotId("w"), readonly=False).write_bytes("large", bytes(100_000_000))
    driver.commit(SnapshotId("w"), SnapshotId("base"))
    numbers = itertools.count()

    def change_one_byte() -> None:
        snapshot = SnapshotId(f"s{next(numbers)}")
        driver.prepare(snapshot, SnapshotId("base"))
        with driver.tree(snapshot, readonly=False) as tree, tree.open_raw("large", 1) as file:
            file.seek(50_000_000, io.SEEK_SET)
            file.write(b"!")
        driver.remove(snapshot)

    floor = bytearray(100_000_000)
    times = seconds({"ours": change_one_byte, "floor": lambda: bytes(floor)}, 1)
    print(
        f"\none byte of a file of 100 MB changed in a new snapshot: {times['ours'] * 1e6:.0f} us, "
        f"1/{times['floor'] / times['ours']:.0f} of copying the file"
    )


if __name__ == "__main__":
    bench_lifecycle()
    bench_files()
    bench_large()
