"""Builds from a Dockerfile of six steps with 2,000 files, against ``buildah bud --layers``, in one run.

``PYTHONPATH=tests/helpers python benchmarks/bench_build.py [--rounds N] [--directory DIR] [--python PYTHON] [--json]``,
as root, with busybox-static and buildah. All are whole processes, from their start to their end, over the same context,
by turns: *cached* is a build in which nothing has changed, *one line* one in which one file of the context has.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from testkit.bases import make_busybox_root, mirror_conf
from testkit.images import make_image, write_layout
from testkit.registries import run_registry

DOCKERFILE = """FROM docker.io/library/bench:1
ENV NAME=value
WORKDIR /app
RUN echo prepared > /prepared
COPY . /app
CMD ["/bin/true"]
"""
FILES = 2_000
CACHED, ONE_LINE = 1 / 5, 1 / 3
"""What is aimed at: of buildah's time."""


def make_context(context: Path) -> None:
    """Make 2,000 files of 2 KB in 50 directories, and the Dockerfile."""
    for number in range(FILES):
        path = context / f"d{number % 50}" / f"file{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"line {number}\n" * 200)
    (context / "Dockerfile").write_text(DOCKERFILE)


class Bench:
    """Two builders, with a store each, over one context."""

    def __init__(self, place: Path, stack: ExitStack, python: str) -> None:
        self.context = place / "context"
        make_context(self.context)
        make_busybox_root(place / "root")
        with tarfile.open(place / "root.tar", "w") as tar:
            tar.add(place / "root", ".")
        image = make_image([(place / "root.tar").read_bytes()])
        layout = write_layout(place / "layout", {"docker.io/library/bench:1": image})
        host = stack.enter_context(run_registry(place / "registry"))
        there = f"docker://{host}/library/bench:1"
        copy = ["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false"]
        subprocess.run([*copy, f"oci:{layout}:docker.io/library/bench:1", there], check=True)
        run = Path(tempfile.mkdtemp(prefix="ok-", dir="/run"))
        stack.callback(shutil.rmtree, run, ignore_errors=True)
        stack.callback(_unmount, [f"{place}/", f"{run}/"])
        conf = str(mirror_conf(place / "registries.conf", host))
        (place / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        self.environment = {
            **os.environ,
            "CONTAINERS_REGISTRIES_CONF": conf,
            "OVERLAYKIT_REGISTRIES_CONF": conf,
            # Installed packages are compiled, whatever the environment says of what is imported.
            "PYTHONPYCACHEPREFIX": f"{place}/pycache",
        }
        for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH"):
            self.environment.pop(name, None)
        self.commands = {
            "overlaykit build": [
                *(python, "-P", "-m", "overlaykit", "build", "--store", f"{place}/store"),
                *("--tag", "made:1", str(self.context)),
            ],
            "buildah bud --layers": [
                *("buildah", "--root", f"{place}/buildah", "--runroot", str(run), "--storage-driver", "overlay"),
                *("bud", "--layers", "--isolation", "chroot", "--signature-policy", f"{place}/policy.json"),
                *("--tag", "made:1", str(self.context)),
            ],
        }
        self.number = 0

    def build(self, name: str) -> float:
        """Build, and return the seconds."""
        start = time.perf_counter()
        done = subprocess.run(
            self.commands[name], stdin=subprocess.DEVNULL, capture_output=True, env=self.environment, check=False
        )
        seconds = time.perf_counter() - start
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr.decode(errors='replace')[-2000:]}")
        return seconds

    def change(self) -> None:
        """Change one line of one file."""
        self.number += 1
        (self.context / "d7/file7.txt").write_text(f"line 7, version {self.number}\n" * 200)

    def measure(self, rounds: int) -> dict[str, float]:
        """Measure by turns, and return medians in seconds."""
        times: dict[str, list[float]] = {}
        for name in self.commands:
            times[f"first, {name}"] = [self.build(name)]
        for _ in range(rounds):
            for name in self.commands:
                times.setdefault(f"cached, {name}", []).append(self.build(name))
            self.change()
            for name in self.commands:
                times.setdefault(f"one line, {name}", []).append(self.build(name))
        return {name: statistics.median(values) for name, values in times.items()}


def _unmount(places: list[str]) -> None:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        points = [line.split()[4] for line in file]
    for point in reversed(points):
        if point.startswith(tuple(places)):
            subprocess.run(["umount", point], check=False, stderr=subprocess.DEVNULL)


def report(medians: dict[str, float]) -> None:
    """Print medians and what is aimed at."""
    for name, value in medians.items():
        print(f"{name:32} {value * 1000:8.1f} ms")
    for what, aim in (("cached", CACHED), ("one line", ONE_LINE)):
        faster = medians[f"{what}, buildah bud --layers"] / medians[f"{what}, overlaykit build"]
        print(f"{what}: {faster:.1f} times faster (at least {1 / aim:.0f}: {'yes' if faster * aim >= 1 else 'NO'})")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--directory", help="where to work")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has the overlaykit to measure")
    parser.add_argument("--json", action="store_true", help="print JSON at the end")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as name, ExitStack() as stack:
        medians = Bench(Path(name), stack, options.python).measure(options.rounds)
    report(medians)
    if options.json:
        print(json.dumps(medians, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
