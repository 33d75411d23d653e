"""What is wasted in the real images, and how a container stands on one, against a reading with tarfile."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
from testkit.buildah import layers_of
from testkit.sums import Sums

from overlaykit.explore import analyse

if TYPE_CHECKING:
    from pathlib import Path

    from overlaykit.image import ImageStore

    from .conftest import Built

pytestmark = pytest.mark.real


def sums_of(store: ImageStore, name: str) -> Sums:
    """Read all layers of an image."""
    sums = Sums()
    for index, layer in enumerate(layers_of(store, name)):
        with layer.open() as blob, tarfile.open(fileobj=blob, mode="r|*") as archive:
            sums.layer(index, archive)
    return sums


def test_the_figures_are_those_of_tarfile(store: ImageStore, built: Built) -> None:
    analysis = analyse(store, built.name)
    sums = sums_of(store, built.name)
    assert [layer.stored for layer in analysis.layers] == sums.stored
    assert {(one.path, one.bytes, one.layer) for one in analysis.waste} == sums.wasted
    assert analysis.wasted == sum(size for _, size, _ in sums.wasted)
    assert analysis.efficiency == 1 - analysis.wasted / sum(sums.stored)
    if "same" in built.name:
        assert analysis.wasted > 0


def command(store: ImageStore, *words: str, code: int = 0) -> Any:
    """Run ``overlaykit``, and return what it says as JSON."""
    environment = {**os.environ, "OVERLAYKIT_STORE": str(store.path)}
    line = [sys.executable, "-P", "-m", "overlaykit", *words, "--json"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, (done.stdout, done.stderr)
    return json.loads(done.stdout)


@pytest.mark.parametrize("built", ["same"], indirect=True)
def test_a_container_on_top(store: ImageStore, built: Built, tmp_path: Path) -> None:
    with store.container(built.name, "on-top") as box:
        script = "rm -r /usr/share/doc && printf 12345 > /added && chmod 600 /app/one.txt /app/run.sh"
        box.run(["sh", "-c", script], check=True)
        document = command(store, "tree", "on-top")
        *below, top = document["layers"]
        image = command(store, "tree", built.name)
        hidden = {one["path"]: one["bytes"] for one in command(store, "explore", "on-top")["waste"]}
    assert len(below) == len(image["layers"])
    assert [one["stored"] for one in below] == [one["stored"] for one in image["layers"]]
    assert (document["container"], top["container"]) == ("on-top", True)
    sums = sums_of(store, built.name)
    gone = {path for path in sums.names if path.startswith("usr/share/doc/") and path not in sums.directories}
    # Of the two that were changed, one says again what it had.
    assert (top["added"], top["removed"]) == (1, len(gone))
    assert top["modified"] in (1, 2)
    known = {path for path, _, _ in sums.wasted}
    lost = {sums.files[number][0] for path in gone if (number := sums.names[path]) is not None}
    assert {path for path in hidden if path.startswith("usr/share/doc/")} - known <= lost
    assert hidden["app/run.sh"] == len("#!/bin/sh\n")


@pytest.mark.parametrize("built", ["same"], indirect=True)
def test_a_check_fails_by_its_exit_code(store: ImageStore, built: Built) -> None:
    wasted = command(store, "explore", built.name)["wasted"]
    check = functools.partial(command, store, "explore", built.name, "--ci", "--highest-user-wasted-percent=disabled")
    assert check(f"--highest-wasted-bytes={wasted}")["broken"] == []
    broken = check(f"--highest-wasted-bytes={wasted - 1}", code=1)["broken"]
    assert [one["rule"] for one in broken] == ["highest-wasted-bytes"]
