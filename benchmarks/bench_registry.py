"""Images to and from a registry on loopback, against curl moving the same bytes and the tools that are installed.

``PYTHONPATH=tests/helpers python benchmarks/bench_registry.py LAYOUT [--rounds N] [--only push|pull] [--directory DIR]
[--json]``, as root, with an OCI layout that ``make_images.py`` has made. Every turn has new
repositories and new stores, on a warm cache.

``whole``: a process from start to end, pulls with unpacking. ``moving``: the call alone, in a process that has imported
everything; a pull of it finds the layers unpacked and the blobs gone. curl writes files, and neither hashes nor syncs;
``+ sha256sum`` is what it takes to know that they are right. Overlaykit's stores are opened with durability ``none``.
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
import time
from pathlib import Path
from typing import Any

from testkit.registries import run_registry

from overlaykit.image import ImageStore, open_store


class Bench:
    """One registry, and what is moved there and back."""

    def __init__(self, layout: Path, host: str, place: Path) -> None:
        self.layout = layout
        self.host = host
        self.place = place
        self.number = 0
        (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
        self.manifest_type = entry["mediaType"]
        self.manifest = self._blob(entry["digest"])
        document = json.loads(self.manifest.read_text())
        self.blobs: list[dict[str, Any]] = [document["config"], *document["layers"]]
        self.store = open_store(place / "store", durability="none")
        self.store.load(layout, references=["bench:1"])
        self.image = self.store.image("bench:1")
        self.store.push("bench:1", f"{host}/there:1")

    def _blob(self, digest: str) -> Path:
        return self.layout / "blobs/sha256" / digest.removeprefix("sha256:")

    def new(self) -> str:
        """Return a name that nobody has used."""
        self.number += 1
        return f"n{self.number}"

    def run(self, *command: str | Path, **environment: str) -> float:
        """Run a command and return its seconds."""
        start = time.perf_counter()
        done = subprocess.run(
            command, capture_output=True, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, check=False
        )
        if done.returncode:
            sys.exit(f"{command}: {done.stderr.decode(errors='replace')[-2000:]}")
        return time.perf_counter() - start

    # -- push ----------------------------------------------------------------------------------------------------------

    def curl_push(self, *, parallel: bool) -> float:
        """Send the blobs, all at once or one after another."""
        url = f"http://{self.host}/v2/{self.new()}/blobs/uploads/"
        lines = []
        for blob in self.blobs:
            begin = f"curl -s -i -X POST {url} | tr -d '\\r' | sed -n 's/^Location: //p'"
            send = f'curl -s -f -T {self._blob(blob["digest"])} "$({begin})&digest={blob["digest"]}"'
            lines.append(f"{send} {'&' if parallel else '|| exit 1'}")
        return self.run("sh", "-c", "\n".join([*lines, "wait"]))

    def push_moving(self) -> float:
        """Send the image out of an open store."""
        start = time.perf_counter()
        self.store.push("bench:1", f"{self.host}/{self.new()}:1")
        return time.perf_counter() - start

    def push_whole(self) -> float:
        """Send it by the command line."""
        return self.run(*self._cli(self.place / "store"), "push", "bench:1", f"{self.host}/{self.new()}:1")

    def skopeo_push(self) -> float:
        """Send it by skopeo."""
        # It remembers which repository of a registry has what, and would have it all mounted from there.
        with run_registry(self.place / self.new()) as host:
            to = f"docker://{host}/app:1"
            return self.run(*_SKOPEO, "--dest-tls-verify=false", f"oci:{self.layout}:latest", to)

    # -- pull ----------------------------------------------------------------------------------------------------------

    def curl_pull(self, *, parallel: bool, check: bool = False) -> float:
        """Fetch the blobs, all at once or one after another."""
        place = self.place / self.new()
        place.mkdir()
        words: list[str | Path] = ["curl", "-s", "-f", *(["-Z"] if parallel else [])]
        for blob in self.blobs:
            words += ["-o", place / blob["digest"][7:], f"http://{self.host}/v2/there/blobs/{blob['digest']}"]
        seconds = self.run(*words)
        if check:
            seconds += self.run("sha256sum", *place.iterdir())
        shutil.rmtree(place)
        return seconds

    def pull_moving(self) -> float:
        """Fetch the blobs of an image whose layers are unpacked."""
        for digest in list(self.store.content.walk()):
            self.store.content.remove(digest)
        start = time.perf_counter()
        fetched = self.store.pull(f"{self.host}/there:1")
        seconds = time.perf_counter() - start
        assert fetched.moved > 0
        assert fetched.image.digest == self.image.digest
        return seconds

    def pull_whole(self) -> float:
        """Pull into a new store by the command line."""
        place = self.place / self.new()
        seconds = self.run(*self._cli(place), "pull", f"{self.host}/there:1")
        with open_store(place) as store:
            _empty(store)
        shutil.rmtree(place)
        return seconds

    def skopeo_pull(self) -> float:
        """Copy it into a layout, which unpacks nothing."""
        place = self.place / self.new()
        seconds = self.run(*_SKOPEO, "--src-tls-verify=false", f"docker://{self.host}/there:1", f"oci:{place}:x")
        shutil.rmtree(place)
        return seconds

    def podman_pull(self) -> float:
        """Pull by podman, which unpacks."""
        place = self.place / self.new()
        run = Path("/run", f"ok-bench-{os.getpid()}")
        place.mkdir()
        settings = place / "containers.conf"
        settings.write_text('[containers]\nnetns = "none"\n[engine]\ncgroup_manager = "cgroupfs"\nruntime = "runc"\n')
        words = ["podman", "--root", f"{place}/root", "--runroot", str(run), "--storage-driver", "overlay"]
        seconds = self.run(
            *words, "pull", "-q", "--tls-verify=false", f"{self.host}/there:1", CONTAINERS_CONF=str(settings)
        )
        subprocess.run(["umount", f"{place}/root/overlay"], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(place)
        shutil.rmtree(run, ignore_errors=True)
        return seconds

    @staticmethod
    def _cli(store: Path) -> list[str | Path]:
        return [sys.executable, "-P", "-m", "overlaykit", "--quiet", "--durability", "none", "--store", store]


_SKOPEO = ("skopeo", "--insecure-policy", "copy", "-q")


def _empty(store: ImageStore) -> None:
    for image in store.images():
        store.remove_image(image.digest, force=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("layout", type=Path, help="an OCI layout with one image")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", choices=("", "push", "pull"), help="measure this alone")
    parser.add_argument("--directory", help="where to work")
    parser.add_argument("--json", action="store_true", help="print JSON at the end")
    options = parser.parse_args()
    results: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory(dir=options.directory) as name,
        run_registry(Path(name, "registry")) as host,
    ):
        bench = Bench(options.layout, host, Path(name))
        tables = {
            "push": {
                "overlaykit, moving": bench.push_moving,
                "overlaykit, whole": bench.push_whole,
                "curl, one by one": lambda: bench.curl_push(parallel=False),
                "curl, all at once": lambda: bench.curl_push(parallel=True),
                "skopeo copy": bench.skopeo_push,
            },
            "pull": {
                "overlaykit, moving": bench.pull_moving,
                "overlaykit, whole": bench.pull_whole,
                "curl, one by one": lambda: bench.curl_pull(parallel=False),
                "curl, all at once": lambda: bench.curl_pull(parallel=True),
                "curl, all at once + sha256sum": lambda: bench.curl_pull(parallel=True, check=True),
                "skopeo copy to a layout": bench.skopeo_pull,
                "podman pull": bench.podman_pull,
            },
        }
        print(f"{sum(blob['size'] for blob in bench.blobs) / 1e6:.0f} MB in {len(bench.blobs)} blobs")
        for title, table in tables.items():
            if options.only not in ("", title):
                continue
            there = {name: one for name, one in table.items() if name.split()[0].strip(",") in _installed()}
            times: dict[str, list[float]] = {name: [] for name in there}
            for _ in range(options.rounds):
                for name, measure in there.items():
                    times[name].append(measure())
            medians = {name: statistics.median(values) for name, values in times.items()}
            moving, whole = medians["overlaykit, moving"], medians["overlaykit, whole"]
            print(f"\n{title}")
            for name, seconds in medians.items():
                results[f"{title}: {name}"] = seconds
                line = f"  {name:32} {seconds:7.3f} s (least {min(times[name]):.3f})"
                if not name.startswith("overlaykit"):
                    line += f"   overlaykit takes {moving / seconds:.2f} of it moving, {whole / seconds:.2f} whole"
                print(line, flush=True)
        bench.store.close()
    if options.json:
        print(json.dumps(results, indent=2))
    return 0


def _installed() -> set[str]:
    return {"overlaykit"} | {name for name in ("curl", "skopeo", "podman") if shutil.which(name)}


if __name__ == "__main__":
    sys.exit(main())
