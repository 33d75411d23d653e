"""Images to and from a registry by the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from testkit.images import digest, layer, make_image, write_layout
from testkit.registries import free_port, run_registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Cli

IMAGE = make_image([layer({"etc": None, "etc/motd": b"hello"}), layer({"app": b"1"})])


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """An empty registry."""
    with run_registry(tmp_path / "registry") as host:
        yield host


def test_an_image_goes_and_comes(cli: Cli, registry: str, tmp_path: Path) -> None:
    cli.run("load", str(write_layout(tmp_path / "made", {"app:1": IMAGE})), "--quiet")
    name = f"{registry}/team/app:1"
    wanted = digest(IMAGE.manifest)
    (line,) = cli.lines("push", "app:1", name)
    assert line.startswith(f"{wanted}  ")
    assert line.endswith("went, 0 B were there")
    again = cli.json("push", "app:1", name)
    assert again == {"digest": wanted, "moved": 0, "shared": again["shared"]}
    assert again["shared"] > 0
    cli.run("rmi", "app:1")
    ran = cli.run("pull", name)
    assert "came" in ran.stdout
    assert "downloading" in ran.stderr
    ran = cli.run("pull", name, "--quiet")
    assert (ran.stdout, ran.stderr) == (f"{wanted}\n", "")
    (one,) = cli.json("pull", name, "--all-platforms")
    assert (one["digest"], one["references"], one["moved"], one["platform"]) == (wanted, [name], 0, "linux/amd64")
    assert "no image" in cli.error("pull", f"{registry}/team/app:2", code=3)


def test_an_image_from_a_mirror(cli: Cli, registry: str, tmp_path: Path) -> None:
    cli.run("load", str(write_layout(tmp_path / "made", {"app:1": IMAGE})), "--quiet")
    cli.run("push", "app:1", f"{registry}/library/ubuntu:20.04")
    cli.run("rmi", "app:1")
    nobody = f"docker.io=127.0.0.1:{free_port()}"
    (line,) = cli.lines("pull", "--mirror", nobody, "--mirror", f"docker.io={registry}", "ubuntu:20.04")
    assert line.endswith(f"were here, from {registry}/library/ubuntu")
    cli.environment["OVERLAYKIT_MIRRORS"] = f"docker.io={registry}"
    (one,) = cli.json("pull", "ubuntu:20.04")
    assert (one["source"], one["references"]) == (f"{registry}/library/ubuntu", ["docker.io/library/ubuntu:20.04"])
    assert "no mirror: write PREFIX=LOCATION" in cli.error("pull", "--mirror", "docker.io", "ubuntu", code=7)
    cli.environment["OVERLAYKIT_REGISTRIES_CONF"] = str(tmp_path / "none")
    assert "there is no" in cli.error("pull", "ubuntu:20.04", code=7)


def test_what_fails_is_one_line(cli: Cli, registry: str) -> None:
    assert "no reference" in cli.error("pull", "UPPER CASE", code=7)
    assert "leave one out" in cli.error("pull", "--platform", "linux/arm64", "--all-platforms", "app", code=2)
    assert "no image" in cli.error("push", "nothing", f"{registry}/nothing:1", code=3)
    assert "refused" in cli.error("pull", f"127.0.0.1:{free_port()}/app", code=11)
