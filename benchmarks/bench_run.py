"""A container that runs ``true``: from the command line against podman, in the library against a runtime by hand.

``PYTHONPATH=tests/helpers python benchmarks/bench_run.py [--rounds N] [--directory DIR] [--json]``, as root, with
busybox-static, crun, runc and podman, for as many of the latter as are installed. Medians of turns that follow each
other, so that the ratios of one run can be compared with those of another machine's.

``overlaykit run`` and ``podman run`` are whole processes, from their start to their end, with an image that both have.
A runtime by hand is ``crun run`` in a bundle that lies ready: ``crun spec``'s own configuration over a plain directory,
without a terminal; and the same with the seccomp profile that overlaykit's containers have, of which libseccomp makes a
program each time. crun 1.8 takes no machine with both versions of cgroups: it is started where the second is not.
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
from typing import TYPE_CHECKING

from testkit.bases import make_busybox_root
from testkit.images import make_image, write_layout

from overlaykit import open_store
from overlaykit.runtime._capabilities import DEFAULT
from overlaykit.runtime._seccomp import default_profile

if TYPE_CHECKING:
    from collections.abc import Callable

COMMAND_LINE, LIBRARY = 0.5, 1.5
"""What is aimed at: of podman's time, and of the runtime's own."""

_UNIFIED = "/sys/fs/cgroup/unified"


class ByHand:
    """A runtime with its own command line and a bundle that lies ready.

    :param name: ``"crun"`` or ``"runc"``.
    :param filtered: with the default seccomp profile.
    """

    def __init__(self, name: str, place: Path, stack: ExitStack, *, filtered: bool) -> None:
        self.name = name
        self.bundle = place / f"bundle-{name}-{filtered}"
        make_busybox_root(self.bundle / "rootfs")
        subprocess.run([name, "spec"], check=True, cwd=self.bundle)
        config = json.loads((self.bundle / "config.json").read_text())
        config["process"].update(terminal=False, args=["/bin/true"])
        if filtered:
            config["linux"]["seccomp"] = default_profile(DEFAULT, os.uname().machine)
        (self.bundle / "config.json").write_text(json.dumps(config))
        script = f"if mountpoint -q {_UNIFIED}; then umount {_UNIFIED}; fi; " if name == "crun" else ""
        self.child = subprocess.Popen(
            [
                *("unshare", "--mount", "--propagation=private", "sh", "-c", f'{script}exec "$@"', "sh"),
                *(sys.executable, "-P", __file__, "--child", name, str(self.bundle)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(self.end)

    def end(self) -> None:
        """End the process that starts it."""
        self.child.communicate(timeout=30)

    def measure(self) -> float:
        """Return the seconds of one run."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write("go\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} by hand fails")
        return float(line)


def child(name: str, bundle: str) -> None:
    """Run a bundle each time that a line comes, and say how long it took."""
    for number, _ in enumerate(sys.stdin):
        start = time.perf_counter()
        subprocess.run([name, "run", "--bundle", bundle, f"bench-{os.getpid()}-{number}"], check=True, cwd=bundle)
        print(time.perf_counter() - start, flush=True)


def podman(place: Path, archive: Path, runtime: str, stack: ExitStack) -> Callable[[], float]:
    """Return what measures ``podman run``."""
    run = Path(tempfile.mkdtemp(prefix="ok-", dir="/run"))
    stack.callback(shutil.rmtree, run, ignore_errors=True)
    settings = place / f"containers-{runtime}.conf"
    settings.write_text(
        '[containers]\nnetns = "none"\n'
        f'[engine]\ncgroup_manager = "cgroupfs"\nruntime = "{runtime}"\nevents_logger = "none"\n'
    )
    words = ["podman", "--root", f"{place}/podman", "--runroot", str(run), "--storage-driver", "overlay"]
    environment = {**os.environ, "CONTAINERS_CONF": str(settings)}
    subprocess.run([*words, "import", "--quiet", archive, "bench:1"], check=True, env=environment, capture_output=True)

    def unmount() -> None:
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            points = [line.split()[4] for line in file]
        for point in reversed(points):
            if point.startswith((f"{place}/", f"{run}/")):
                subprocess.run(["umount", point], check=False, stderr=subprocess.DEVNULL)

    stack.callback(unmount)
    # By default it asks for more than every root may set.
    limits = ["--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"]
    command = [*words, "run", "--rm", "--network", "none", *limits, "localhost/bench:1", "/bin/true"]
    return lambda: timed(command, environment)


def timed(command: list[str], environment: dict[str, str] | None = None) -> float:
    """Return the seconds that a command takes."""
    start = time.perf_counter()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=environment, check=False)
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.decode(errors='replace')[-2000:]}")
    return seconds


def measure(place: Path, rounds: int) -> dict[str, float]:
    """Measure all of it by turns, and return medians in seconds."""
    make_busybox_root(place / "root")
    archive = place / "root.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(place / "root", ".")
    runtimes = [name for name in ("crun", "runc") if shutil.which(name)]
    what: dict[str, Callable[[], float]] = {}
    with ExitStack() as stack:
        store = stack.enter_context(open_store(place / "store"))
        image = _image(place, archive)
        store.load(image)
        name = store.images()[0].references[0]
        # Installed packages are compiled, whatever the environment says of what is imported.
        compiled = {**os.environ, "PYTHONPYCACHEPREFIX": f"{place}/pycache"}
        compiled.pop("PYTHONDONTWRITEBYTECODE", None)
        words = [sys.executable, "-P", "-m", "overlaykit", "run", "--store", str(place / "store")]
        for runtime in (*runtimes, "own"):
            command = [*words, "--rm", "--network", "none", "--runtime", runtime, name, "/bin/true"]
            what[f"overlaykit run, {runtime}"] = lambda command=command: timed(command, compiled)  # type: ignore[misc]
        if shutil.which("podman") and "runc" in runtimes:
            what["podman run, runc"] = podman(place, archive, "runc", stack)
        for runtime in (*runtimes, "own"):
            box = stack.enter_context(store.container(name))

            def run(box=box, runtime=runtime) -> float:  # type: ignore[no-untyped-def]
                start = time.perf_counter()
                box.run(["/bin/true"], runtime=runtime, network="none", check=True)
                return time.perf_counter() - start

            what[f"box.run, {runtime}"] = run
        for runtime in runtimes:
            what[f"{runtime} by hand"] = ByHand(runtime, place, stack, filtered=False).measure
            what[f"{runtime} by hand, seccomp"] = ByHand(runtime, place, stack, filtered=True).measure
        times: dict[str, list[float]] = {name: [] for name in what}
        for turn in range(rounds + 1):
            for name, one in what.items():
                seconds = one()
                if turn:  # the first is for the caches
                    times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}


def _image(place: Path, archive: Path) -> Path:
    """Write the OCI layout of an image whose only layer is an archive."""
    return write_layout(place / "layout", {"docker.io/library/bench:1": make_image([archive.read_bytes()])})


def report(medians: dict[str, float]) -> None:
    """Print medians and what is aimed at."""
    for name, value in medians.items():
        print(f"{name:24} {value * 1000:8.1f} ms")
    pairs = [(f"overlaykit run, {one}", "podman run, runc", COMMAND_LINE) for one in ("crun", "runc", "own")]
    for profile in ("", ", seccomp"):
        pairs += [(f"box.run, {one}", f"{one} by hand{profile}", LIBRARY) for one in ("crun", "runc")]
        pairs.append(("box.run, own", f"crun by hand{profile}", LIBRARY))
    for ours, theirs, aim in pairs:
        if ours in medians and theirs in medians:
            ratio = medians[ours] / medians[theirs]
            print(f"{ours} takes {ratio:.2f} of {theirs} (at most {aim}: {'yes' if ratio <= aim else 'NO'})")


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--directory", help="where to work")
    parser.add_argument("--json", action="store_true", help="print JSON at the end")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        medians = measure(Path(name), options.rounds)
    report(medians)
    if options.json:
        print(json.dumps(medians, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
