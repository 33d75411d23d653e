"""Images in and out, against the tools that are installed: ratios of medians of one run.

``python benchmarks/bench_images.py IMAGES [--rounds N] [--directory DIR] [--json] [--only WORD]``, as root, after
``make_images.py IMAGES``. Every figure is that of whole processes, started anew, on a warm cache;
overlaykit's are those of a new store with blobs kept. ``--only`` measures what has the word in its name.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from overlaykit.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from overlaykit.tree import Tree

MIB = 1 << 20

_DIFF = """
import sys
from overlaykit.store import open_store

with open_store(f"{sys.argv[1]}/store") as store, open(f"{sys.argv[1]}/diff", "wb") as out:
    print(store.diff("work", out))
"""
"""A program that writes a snapshot's changes as a layer; of its own, so that nothing else of this one is imported."""

_IN_MEMORY = """
import sys
from overlaykit import open_store

with open_store(driver="memory") as store:
    store.load(sys.argv[1])
"""

_AGAIN = 3
"""How often a diff is measured a round: it is much shorter than what has to be done before it."""


def layers(layout: Path) -> list[Path]:
    """Return the layers' blobs."""
    manifest = json.loads(_blob(layout, json.loads((layout / "index.json").read_text())["manifests"][0]).read_text())
    return [_blob(layout, layer) for layer in manifest["layers"]]


def _blob(layout: Path, descriptor: dict[str, str]) -> Path:
    return layout / "blobs/sha256" / descriptor["digest"].removeprefix("sha256:")


# -- what child processes do ------------------------------------------------------------------------------------------


def child_whiteouts(driver: str, directory: str) -> None:
    """Apply 3,000 whiteouts over 20,000 files; print both times."""
    with open_store(Path(directory) / "store", driver=driver, durability="none") as store:
        below = _archive(f"d{number % 200}/file{number}" for number in range(20_000))
        above = _archive(f"d{number % 200}/.wh.file{number}" for number in range(3000))
        times = []
        for data, parent, name in ((below, None, "below"), (above, "below", "above")):
            start = time.perf_counter()
            store.apply(io.BytesIO(data), parent, name)
            times.append(time.perf_counter() - start)
        print(json.dumps(times))


def _archive(names: Iterator[str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name))
    return out.getvalue()


# -- measuring --------------------------------------------------------------------------------------------------------


class Bench:
    """Runs of commands, each in a directory of its own."""

    def __init__(self, images: Path, directory: Path, rounds: int, only: str, *, ext4: bool) -> None:
        self.images = images
        self.directory = directory
        self.rounds = rounds
        self.only = only
        self.ext4 = ext4
        self.results: dict[str, float] = {}

    def run(self, command: list[str], environment: dict[str, str] | None = None) -> tuple[float, int, bytes]:
        """Run a command and return seconds, its peak memory in bytes, and its output."""
        with tempfile.TemporaryFile() as out:
            start = time.perf_counter()
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
            )
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            text = out.read()
            if process.returncode:
                sys.exit(f"{' '.join(command)}: {text.decode(errors='replace')[-2000:]}")
        return seconds, usage.ru_maxrss * 1024, text

    def load(self, layout: Path, place: Path, driver: str) -> tuple[float, int, bytes]:
        """Load an image into a new store, by the command line; into memory by a program, for it ends with that."""
        if driver == "memory":
            return self.run([sys.executable, "-P", "-c", _IN_MEMORY, str(layout)])
        words = ["--store", str(place / "store"), "--driver", driver, "--durability", "none", "--quiet"]
        return self.run([sys.executable, "-P", "-m", "overlaykit", "load", str(layout), *words])

    def child(self, *words: str) -> list[str]:
        """Return the command of a child of this script."""
        return [sys.executable, "-P", __file__, "--child", *words]

    def turns(self, what: dict[str, Callable[[Path], float]]) -> dict[str, float]:
        """Measure by turns and return medians."""
        times: dict[str, list[float]] = {name: [] for name in what}
        for _ in range(self.rounds):
            for name, measure in what.items():
                with _scratch(self.directory, ext4=self.ext4) as place:
                    times[name].append(measure(place))
        return {name: statistics.median(values) for name, values in times.items()}

    def report(self, title: str, seconds: dict[str, float], ours: str) -> None:
        """Print how we compare with each of the others."""
        print(f"\n{title}", flush=True)
        for name, value in seconds.items():
            self.results[f"{title}: {name}"] = value
            ratio = "" if name == ours else f"   overlaykit takes {seconds[ours] / value:.2f} of it"
            print(f"  {name:40} {value:8.2f} s{ratio}", flush=True)

    # -- what is measured ----------------------------------------------------------------------------------------------

    def loads(self, image: str, compression: str) -> None:
        """Load into overlayfs, against everybody."""
        layout = self.images / f"{image}-{compression}"
        peaks: list[int] = []

        def ours(driver: str) -> Callable[[Path], float]:
            def measure(place: Path) -> float:
                seconds, peak, _ = self.load(layout, place, driver)
                if driver != "memory":
                    peaks.append(peak)
                return seconds

            return measure

        what: dict[str, Callable[[Path], float]] = {"overlaykit": ours("overlayfs")}
        what["overlaykit, memory"] = ours("memory")
        what["overlaykit, directory"] = ours("directory")
        program = "igzip" if compression == "gzip" else "zstd"
        blobs = layers(layout)
        lines = [f"mkdir {i} && {program} -dc {blob} | tar -x -C {i}" for i, blob in enumerate(blobs)]
        if compression == "gzip":
            lines.append(f"sha256sum {' '.join(map(str, blobs))} >/dev/null")
        if shutil.which(program):
            script = f"cd $0 && {' && '.join(lines)}"
            what[f"{program} | tar -x"] = lambda place: self.run(["sh", "-c", script, str(place)])[0]
        if compression == "gzip":
            what |= self.peers(layout)
        self.report(f"load {image}, {compression}", self.turns(what), "overlaykit")
        self.results[f"load {image}, {compression}: peak MB"] = max(peaks) / 1e6
        print(f"  peak memory (overlayfs, directory): {max(peaks) / 1e6:.0f} MB")

    def peers(self, layout: Path) -> dict[str, Callable[[Path], float]]:
        """Return how the others that are installed load an image."""
        archive = self.directory / f"{layout.name}.tar"
        if not archive.exists():
            subprocess.run(["tar", "-cf", archive, "-C", layout, "."], check=True)
        source = f"oci:{layout}:latest"
        what: dict[str, Callable[[Path], float]] = {}
        if shutil.which("umoci"):
            words = ["umoci", "raw", "unpack", "--image", f"{layout}:latest"]
            what["umoci raw unpack"] = lambda place: self.run([*words, str(place / "out")])[0]
        if shutil.which("skopeo"):
            what["skopeo copy"] = lambda place: self.run(
                ["skopeo", "--insecure-policy", "copy", "-q", source, _storage(place)]
            )[0]
        if shutil.which("podman"):
            what["podman load"] = lambda place: self.run(
                ["podman", *_engine(place), "load", "-q", "-i", str(archive)], _settings(place)
            )[0]
        if shutil.which("ctr") and shutil.which("containerd"):
            what["ctr image import"] = lambda place: self._containerd(place, archive)
        return what

    def _containerd(self, place: Path, archive: Path) -> float:
        socket = place / "socket"
        config = place / "config.toml"
        config.write_text(
            f'version = 2\nroot = "{place}/root"\nstate = "{place}/state"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\naddress = "{socket}"\n'
        )
        process = subprocess.Popen(["containerd", "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(200):
                if socket.exists():
                    break
                time.sleep(0.05)
            base = "bench.invalid/image"
            command = ["ctr", "-a", str(socket), "image", "import", "--base-name", base, str(archive)]
            return self.run(command)[0]
        finally:
            process.terminate()
            process.wait(30)

    def diff(self, image: str) -> None:
        """Make a layer of 350 changes and one large file, and an image of it.

        All work on the same file system, over the same image, with the same kinds of changes made beforehand. *diff*
        writes the layer, compressed with gzip, to a file. *commit* makes an image whose topmost layer can be used: blob
        and unpacked layer. buildah and podman write their new layer into their storage uncompressed, which is their
        default; overlaykit compresses it. By default overlaykit waits until all of it is on the disk, which those two
        do not do: ``none`` does not either.
        """
        layout = self.images / f"{image}-gzip"
        program = [sys.executable, "-P", "-m", "overlaykit"]

        def ours(place: Path) -> Callable[[], float]:
            self.load(layout, place, "overlayfs")
            with open_store(place / "store") as store:
                store.prepare("work", store.image("latest").top)
                with store.tree("work") as tree:
                    _change(tree)

            def measure() -> float:
                # To write to a file that was cut off makes ext4 wait for the disk.
                (place / "diff").unlink(missing_ok=True)
                return self.run([sys.executable, "-P", "-c", _DIFF, str(place)])[0]

            return measure

        def commit(place: Path, durability: str) -> Callable[[], float]:
            words = ["--store", str(place / "store"), "--durability", durability]
            self.run([*program, "load", str(layout), *words, "--quiet"])
            self.run([*program, "create", "latest", "box", *words])
            with open_store(place / "store") as store, store.tree("box") as tree:
                _change(tree)

            def measure() -> float:
                seconds = self.run([*program, "commit", "box", "new:latest", *words])[0]
                self.run([*program, "rmi", "new:latest", *words])
                return seconds

            return measure

        def peer(place: Path, name: str, make: str) -> Callable[[], float]:
            self.run(["skopeo", "--insecure-policy", "copy", "-q", f"oci:{layout}:latest", _storage(place)])
            words, settings = [name, *_engine(place)], _settings(place)
            self.run([*words, make, "--name", "box", "localhost/image:latest"], settings)
            root = self.run([*words, "mount", "box"], settings)[2].decode().split()[-1]
            _change_host(Path(root))
            self.run([*words, "umount", "box"], settings)

            def measure() -> float:
                seconds = self.run([*words, "commit", "-q", "box", "localhost/new:latest"], settings)[0]
                self.run([*words, "rmi", "localhost/new:latest"], settings)
                return seconds

            return measure

        with contextlib.ExitStack() as stack:
            places = [stack.enter_context(_scratch(self.directory)) for _ in range(5)]
            what: dict[str, Callable[[], float]] = {
                "overlaykit diff": ours(places.pop()),
                "overlaykit commit": commit(places.pop(), "commit"),
                "overlaykit commit, durability none": commit(places.pop(), "none"),
            }
            for name, make in (("buildah", "from"), ("podman", "create")):
                if shutil.which(name) and shutil.which("skopeo"):
                    what[f"{name} commit"] = peer(places.pop(), name, make)
            times: dict[str, list[float]] = {name: [] for name in what}
            for _ in range(self.rounds * _AGAIN):
                for name, measure in what.items():
                    os.sync()  # what others wrote is not waited for here
                    times[name].append(measure())
        medians = {name: statistics.median(values) for name, values in times.items()}
        for ours_name in ("overlaykit diff", "overlaykit commit"):
            self.report(f"{ours_name.removeprefix('overlaykit ')} over {image}", medians, ours_name)

    def whiteouts(self) -> None:
        """Apply many whiteouts."""
        for driver in ("overlayfs", "directory"):
            with _scratch(self.directory) as place:
                below, above = json.loads(self.run(self.child("whiteouts", driver, str(place)))[2])
            self.results[f"3,000 whiteouts, {driver}"] = above
            print(f"\n{driver}: 20,000 files {below:.2f} s, 3,000 whiteouts over them {above:.2f} s", flush=True)

    def all(self) -> None:
        """Measure everything that was asked for."""
        for image in ("five", "one"):
            for compression in ("gzip", "zstd"):
                if self.only in f"load {image} {compression}":
                    self.loads(image, compression)
        if self.only in "diff":
            self.diff("one")
        if self.only in "whiteouts":
            self.whiteouts()


def _names(root: Path) -> list[Path]:
    found = (Path(place, name) for place, _, names in os.walk(root / "usr") for name in sorted(names))
    files = (path for path in found if path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1)
    return [path for path, _ in zip(files, range(150), strict=False)]


def _change_host(root: Path) -> None:
    """Change 100 files, delete 50, add 200, one of them of 100 MB."""
    names = _names(root)
    for path in names[:100]:
        with open(path, "ab") as file:
            file.write(b"changed")
    for path in names[100:]:
        path.unlink()
    for number in range(199):
        (root / f"new{number}").write_text(f"new {number}")
    half = os.urandom(MIB // 2) + b"0123456789abcdef" * (MIB // 32)
    (root / "large").write_bytes(half * 100)


def _change(tree: Tree) -> None:
    _change_host(Path(tree.host_path))


def _run(place: Path) -> Path:
    # podman takes 50 characters at most.
    return Path("/run", f"ok-{place.name}")


def _storage(place: Path) -> str:
    return f"containers-storage:[overlay@{place}/root+{_run(place)}]localhost/image:latest"


def _engine(place: Path) -> list[str]:
    return ["--root", f"{place}/root", "--runroot", str(_run(place)), "--storage-driver", "overlay"]


def _settings(place: Path) -> dict[str, str]:
    path = place / "containers.conf"
    path.write_text('[containers]\nnetns = "none"\n[engine]\ncgroup_manager = "cgroupfs"\nruntime = "runc"\n')
    return {"CONTAINERS_CONF": str(path), "BUILDAH_ISOLATION": "chroot", "TMPDIR": str(place)}


@contextlib.contextmanager
def _scratch(directory: Path, *, ext4: bool = False) -> Iterator[Path]:
    """Give an empty directory.

    :param ext4: on a file system of its own. ext4 passes over inodes that were deleted less than a minute ago, one by
        one: where trees were just deleted, making files takes ten times as long as elsewhere, whoever makes them.
    """
    place = Path(tempfile.mkdtemp(dir=directory))
    image = Path(f"{place}.ext4")
    try:
        if ext4:
            with image.open("wb") as file:
                file.truncate(8 << 30)
            options = "lazy_itable_init=0,lazy_journal_init=0,nodiscard"
            subprocess.run(["mkfs.ext4", "-q", "-E", options, image], check=True)
            subprocess.run(["mount", "-o", "loop", image, place], check=True)
        yield place
    finally:
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            points = [line.split()[4] for line in file]
        for point in reversed(points):
            if point.startswith((f"{place}/", f"{_run(place)}/")):
                subprocess.run(["umount", point], check=False, stderr=subprocess.DEVNULL)
        if ext4:
            subprocess.run(["umount", place], check=False)
            image.unlink(missing_ok=True)
        shutil.rmtree(place)
        shutil.rmtree(_run(place), ignore_errors=True)


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        child_whiteouts(*sys.argv[3:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, help="where make_images.py has made them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", help="where to work; its file system is what is measured")
    parser.add_argument("--ext4", action="store_true", help="work on a new ext4 in a file there for each load")
    parser.add_argument("--json", action="store_true", help="print JSON at the end")
    parser.add_argument("--only", default="", help="measure only what has this in its name")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        bench = Bench(options.images, Path(name), options.rounds, options.only, ext4=options.ext4)
        bench.all()
    if options.json:
        print(json.dumps(bench.results, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
