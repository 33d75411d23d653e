"""The tests need Btrfs: a directory on it as ``--overlaykit-root``; else root gets one in a loop-mounted file."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

import pytest

_CLONE_NEWNS, _MS_REC, _MS_PRIVATE = 0x20000, 0x4000, 1 << 18


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.option.overlaykit_root is not None:
        return
    if os.geteuid() != 0:
        raise pytest.UsageError("give --overlaykit-root DIR, a directory on Btrfs; only root can make one here")
    factory = pytest.TempPathFactory.from_config(config, _ispytest=True)
    config.option.overlaykit_root = str(_mount(factory.mktemp("btrfs"), "user_subvol_rm_allowed"))


def _mount(directory: Path, options: str) -> Path:
    """Make a Btrfs and mount it where only this process sees it: it is gone with the process, however that ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) or libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    image, point = directory / "image", directory / "mounted"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(1 << 30)
    subprocess.run(["mkfs.btrfs", "-q", image], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["mount", "-o", f"loop,{options}", image, point], check=True)
    return point


@pytest.fixture
def btrfs(request: pytest.FixtureRequest) -> Path:
    """The directory on Btrfs."""
    return Path(request.config.option.overlaykit_root)
