"""File systems in loop-mounted files, for root."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testkit import syscalls

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MakeFilesystem", "filesystems", "fill", "need_root", "need_tool"]

MakeFilesystem = Callable[..., Path]
"""``make(kind, size="400M", options="")``: a new, empty, mounted ``ext4``, ``xfs``, ``btrfs`` or ``tmpfs``."""

_FORMAT = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
    "btrfs": ["mkfs.btrfs", "-q", "-f"],
}
_SMALLEST = {"ext4": "16M", "xfs": "320M", "btrfs": "128M", "tmpfs": "1M"}


def fill(path: Path, free: int) -> None:
    """Take all room of a file system, by a file, but some bytes."""
    with open(path, "wb", buffering=0) as file:
        for step in (1 << 20, 64 << 10, 4096, 1):
            while True:
                try:
                    file.write(b"\xa5" * step)
                except OSError:
                    break
        file.truncate(max(0, file.tell() - free))
        os.fsync(file.fileno())


def need_tool(name: str) -> str:
    """Return the path of a program, or skip the test that needs it.

    With ``OVERLAYKIT_REQUIRE_TOOLS=1``, as continuous integration has it, a missing program is a failure.
    """
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found is None:
        _lack(f"needs the program {name}")
    assert found is not None
    return found


def need_root() -> None:
    """Skip the test unless root runs it."""
    if os.geteuid() != 0:
        pytest.skip("needs root")


def _lack(reason: str) -> None:
    if os.environ.get("OVERLAYKIT_REQUIRE_TOOLS") == "1":
        pytest.fail(f"{reason}, and OVERLAYKIT_REQUIRE_TOOLS=1 says that it is there", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def mount_namespace() -> None:
    """Move the test process to a mount namespace of its own, so that no mount outlives it, however it dies."""
    need_root()
    syscalls.private_mount_namespace()


@pytest.fixture(scope="session")
def session_filesystem(mount_namespace: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeFilesystem]:
    """Make file systems that live as long as the test session."""
    yield from _maker(tmp_path_factory.mktemp("filesystems"))


@pytest.fixture
def make_filesystem(mount_namespace: None, tmp_path: Path) -> Iterator[MakeFilesystem]:
    """Make file systems that live as long as the test."""
    yield from _maker(tmp_path)


@pytest.fixture
def ext4(make_filesystem: MakeFilesystem) -> Path:
    """A small ext4 file system."""
    return make_filesystem("ext4")


@pytest.fixture
def xfs(make_filesystem: MakeFilesystem) -> Path:
    """A small XFS file system, with reflinks."""
    return make_filesystem("xfs")


@pytest.fixture
def btrfs(make_filesystem: MakeFilesystem) -> Path:
    """A small Btrfs file system."""
    return make_filesystem("btrfs")


def _maker(directory: Path) -> Iterator[MakeFilesystem]:
    with filesystems(directory) as make:
        yield make


@contextlib.contextmanager
def filesystems(directory: Path) -> Iterator[MakeFilesystem]:
    """Make file systems below a directory, unmounted at the end; in a mount namespace of the caller's own."""
    mounted: list[Path] = []

    def make(kind: str, size: str | None = None, options: str = "") -> Path:
        point = directory / f"{kind}-{len(mounted)}"
        point.mkdir()
        size = size or _SMALLEST[kind]
        if kind == "tmpfs":
            words = ["-t", "tmpfs", "-o", ",".join(filter(None, [f"size={size}", options])), "overlaykit-test"]
        else:
            image = point.with_suffix(".image")
            program = need_tool(_FORMAT[kind][0])
            image.touch()
            os.truncate(image, _bytes(size))
            subprocess.run([program, *_FORMAT[kind][1:], image], check=True, stdout=subprocess.DEVNULL)
            words = ["-t", kind, "-o", ",".join(filter(None, ["loop", options])), os.fspath(image)]
        subprocess.run([need_tool("mount"), *words, point], check=True)
        mounted.append(point)
        return point

    yield make
    for point in reversed(mounted):
        # No lazy unmount: a file system that is busy here is a leak of the test.
        subprocess.run([need_tool("umount"), point], check=True)
        point.rmdir()
        point.with_suffix(".image").unlink(missing_ok=True)


def _bytes(size: str) -> int:
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    return int(size[:-1]) * units[size[-1]] if size[-1] in units else int(size)
