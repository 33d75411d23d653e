"""Other people's image tools, each with places of its own and nothing of this machine's."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, Any

import pytest

from testkit.loops import need_root, need_tool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "Containerd",
    "Podman",
    "containerd",
    "open_podman",
    "podman",
    "run_containerd",
    "run_tool",
    "skopeo",
    "umoci",
]

_SECONDS = 600
"""No measure of what is slow: only a program that hangs takes as long."""


def run_tool(*words: str | os.PathLike[str], **environment: str) -> str:
    """Run a program and return its output; the test fails with what it says where it fails."""
    command = [need_tool(os.fspath(words[0])), *(os.fspath(word) for word in words[1:])]
    ran = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        env=os.environ | environment,
        check=False,
    )
    assert ran.returncode == 0, (command, ran.stdout, ran.stderr)
    return ran.stdout


def skopeo(*words: str | os.PathLike[str]) -> str:
    """Run skopeo, which trusts what it is given."""
    return run_tool("skopeo", "--insecure-policy", *words)


def umoci(*words: str | os.PathLike[str]) -> str:
    """Run umoci."""
    return run_tool("umoci", *words)


class Podman:
    """podman with storage of its own.

    :param path: for all that it keeps.
    :param run: for what it needs while it runs, of 50 characters at most, which is its own limit.
    :param driver: how it keeps layers. vfs makes no mounts, which could outlive a test that fails, and copies all of an
        image for each layer.
    """

    def __init__(self, path: Path, run: str, driver: str = "vfs") -> None:
        self._path = path
        self._run = run
        self._driver = driver
        self._config = path / "containers.conf"
        self._config.write_text(
            '[containers]\nnetns = "none"\ndefault_ulimits = ["nofile=4096:4096"]\n'
            '[engine]\ncgroup_manager = "cgroupfs"\nruntime = "runc"\nevents_logger = "none"\n'
        )
        (path / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')

    def __call__(self, *words: str | os.PathLike[str]) -> str:
        """Run podman."""
        places = ["--root", str(self._path / "root"), "--runroot", self._run, "--storage-driver", self._driver]
        return run_tool("podman", *places, *words, CONTAINERS_CONF=str(self._config))

    def load(self, archive: Path) -> None:
        """Load an archive."""
        self("load", "--quiet", "--signature-policy", self._path / "policy.json", "--input", archive)

    def inspect(self, name: str) -> dict[str, Any]:
        """Return what it says of an image."""
        [found] = json.loads(self("image", "inspect", name))
        return dict(found)

    def run(self, image: str, *words: str) -> str:
        """Run a container of an image, without a network, and return what it says."""
        limits = ["--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"]
        return self("run", "--rm", "--network", "none", *limits, image, *words)


@contextlib.contextmanager
def open_podman(path: Path, driver: str = "vfs") -> Iterator[Podman]:
    """Give podman a place of its own while the body runs.

    :param path: a directory, made where it is not there.
    """
    need_root()
    need_tool("podman")
    need_tool("runc")
    path.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ok-", dir="/run") as run:
        yield Podman(path, run, driver)


@pytest.fixture
def podman(tmp_path: Path) -> Iterator[Podman]:
    """Podman with storage of the test's own."""
    with open_podman(tmp_path / "podman") as one:
        yield one


class Containerd:
    """containerd's client, for a daemon of the test's own.

    :param socket: where the daemon listens.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def __call__(self, *words: str | os.PathLike[str]) -> str:
        """Run ctr."""
        return run_tool("ctr", "--address", self._socket, "--namespace", "test", *words)

    def digests(self) -> dict[str, str]:
        """Return the digests of its images by their names."""
        lines = [line.split() for line in self("image", "ls").splitlines()[1:]]
        return {words[0]: words[2] for words in lines}

    @contextlib.contextmanager
    def mounted(self, name: str, path: Path) -> Iterator[Path]:
        """Show what overlayfs makes of an image's layers while the body runs.

        :param path: a directory for the mount.
        """
        where = path / "mounted"
        where.mkdir()
        self("image", "mount", "--snapshotter", "overlayfs", name, where)
        try:
            yield where
        finally:
            run_tool("umount", where)
            self("snapshot", "--snapshotter", "overlayfs", "rm", where)


@contextlib.contextmanager
def run_containerd(path: Path) -> Iterator[Containerd]:
    """Run a containerd while the body runs.

    :param path: a directory that is made, for all that it keeps.
    """
    need_root()
    program = need_tool("containerd")
    need_tool("ctr")
    path.mkdir()
    socket = path / "sock"
    config = path / "config.toml"
    config.write_text(
        f'version = 2\nroot = "{path}/root"\nstate = "{path}/state"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\n  address = "{socket}"\n[ttrpc]\n  address = "{socket}.ttrpc"\n'
    )
    with open(path / "log", "wb") as log:
        daemon = subprocess.Popen([program, "--config", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        end = time.monotonic() + _SECONDS
        while not socket.exists():
            assert daemon.poll() is None, (path / "log").read_text()
            assert time.monotonic() < end, (path / "log").read_text()
            time.sleep(0.02)
        yield Containerd(socket)
    finally:
        daemon.terminate()
        daemon.wait(_SECONDS)


@pytest.fixture
def containerd(tmp_path: Path) -> Iterator[Containerd]:
    """A containerd that ends with the test."""
    with run_containerd(tmp_path / "containerd") as one:
        yield one
