"""Builds that are ended at any moment, and builds beside others: what was finished counts, and nothing else is left."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from testkit.waits import PATIENCE, until

import overlaykit

from .conftest import HOST_DRIVERS, Builder, make_builder
from .test_full import held

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXT = """\
FROM base AS one
COPY files /files
RUN busybox tar -c -f /one.tar /files
FROM base AS two
ADD archive.tar /unpacked
RUN busybox md5sum /unpacked/* > /two
RUN --mount=type=cache,target=/c busybox date +%s%N >> /c/log; echo done > /three
FROM base
COPY --from=one /one.tar /
COPY --link --from=two /two /two
COPY <<here /here
text
here
RUN echo last > /last
"""


@pytest.fixture(params=HOST_DRIVERS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Builder]:
    """A store with the base, and a context."""
    import tarfile

    with overlaykit.open_store(tmp_path / "store", driver=request.param, durability="none") as store:
        builder = make_builder(store, tmp_path / "context")
        dice = random.Random(3)
        for number in range(40):
            builder.put(f"files/f{number}").write_bytes(dice.randbytes(20_000))
        with tarfile.open(builder.context / "archive.tar", "w") as archive:
            archive.add(builder.context / "files", ".")
        builder.put("Dockerfile", TEXT)
        yield builder


def begin(builder: Builder, *words: str, **more: str) -> subprocess.Popen[str]:
    """Start a build in a process of its own, which tells of each step in JSON."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "overlaykit", "build", str(builder.context), "--progress=json", *words],
        env={**os.environ, "OVERLAYKIT_STORE": str(builder.store.path), **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def events(said: str) -> list[dict[str, object]]:
    """Return the events among what was written; the last line may be cut."""
    found = []
    for line in said.splitlines():
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if "build" in event:
                found.append(event["build"])
    return found


def finished(said: str) -> list[str]:
    """Return the names of the steps of the Dockerfile that were done or cached."""
    steps = [one for one in events(said) if one["kind"] in ("done", "cached")]
    return [str(one["name"]) for one in steps if str(one["name"]).startswith("[") and "] FROM " not in str(one["name"])]


def containers(root: Path) -> list[str]:
    """Return the processes that have to do with a store."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
                if os.fsencode(root) in file.read():
                    found.append(name)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda one: one.name)
def test_an_end_at_any_moment(place: Builder, number: signal.Signals) -> None:
    store = place.store
    assert store.path is not None
    store.prune(build_cache=True)
    store.cleanup()
    known = held(store)
    dice = random.Random(number)
    ended = 0
    for count in itertools.count():
        if count >= 3 and ended:
            break
        # After some step's beginning or end, whichever comes: however slow the machine is, each moment may be it.
        process = begin(place)
        said = ""
        assert process.stderr is not None
        for _ in range(dice.randrange(1, 30)):
            line = process.stderr.readline()
            said += line
            if not line:
                break
        time.sleep(dice.random() * 0.02)
        process.send_signal(number)
        rest = process.communicate(timeout=PATIENCE)[1]
        said += rest
        code = process.returncode
        assert code in (0, 130, -number), (code, said)
        if number == signal.SIGINT and code:
            assert said.splitlines()[-1] in ("overlaykit: interrupted", ""), said
        ended += code != 0
        until(lambda: not containers(store.path))
        store.cleanup()
        now = held(store)
        assert [key for key in now["snapshots"] if not key.startswith("sha256:")] == []
        assert [info.key for info in store.walk(kind="active")] == []
        assert now["ingest"] == now["names"] == []
        done = [name for name in finished(said) if not name.startswith("[internal]")]
        # The next build finds what was done, and says so.
        with begin(place) as again:
            told = again.communicate(timeout=120)[1]
        assert again.returncode == 0, told
        cached = {str(one["name"]) for one in events(told) if one["kind"] == "cached"}
        assert cached >= set(done), (count, cached, done)
        assert held(store)["scratch"] == []
        store.prune(build_cache=True)
        store.cleanup()
        assert held(store) == known


def test_builds_at_once_in_several_processes(place: Builder) -> None:
    builds = [begin(place, "-t", f"app:{number}") for number in range(3)]
    ended = [build.communicate(timeout=200) for build in builds]
    assert [build.returncode for build in builds] == [0, 0, 0], ended
    assert len({out for out, _ in ended}) == 1
    done = [name for _, said in ended for name in (str(one["name"]) for one in events(said) if one["kind"] == "done")]
    steps = [name for name in done if name.startswith("[") and "] FROM " not in name and "internal" not in name]
    assert len(steps) == len(set(steps)) == 9, "each step is done by one of them"
    image = place.store.image("app:0")
    with place.store.tree(image.top or "") as tree:
        assert tree.read_text("last") == "last\n"
    assert {tag for one in place.store.images() for tag in one.references} >= {
        f"docker.io/library/app:{number}" for number in range(3)
    }


def test_builds_beside_those_who_collect(place: Builder) -> None:
    store = place.store
    script = (
        "import sys, overlaykit\n"
        "from overlaykit import errors\n"
        "with overlaykit.open_store(sys.argv[1], durability='none') as store:\n"
        "    print('begun', flush=True)\n"
        "    while not sys.stdin.closed:\n"
        "        store.prune(build_cache=True)\n"
        "        for image in store.images():\n"
        "            for name in image.references:\n"
        "                if 'app' in name:\n"
        "                    try: store.remove_image(name)\n"
        "                    except errors.NotFoundError: pass\n"
        "        import select\n"
        "        if select.select([sys.stdin], [], [], 0)[0]: break\n"
    )
    with subprocess.Popen(
        [sys.executable, "-P", "-c", script, str(store.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "begun\n"
        try:
            for number in range(2):
                builds = [begin(place, "-t", f"app:{number}-{which}") for which in range(2)]
                ended = [build.communicate(timeout=200) for build in builds]
                assert [build.returncode for build in builds] == [0, 0], ended
        finally:
            _, said = other.communicate("end\n", timeout=200)
        assert other.returncode == 0, said
    store.cleanup()
    assert [info.key for info in store.walk(kind="active")] == []
    result = store.build(place.context)
    with store.tree(result.image.top or "") as tree:
        assert tree.read_text("two").count("\n") == 40
