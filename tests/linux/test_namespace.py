"""Mounts of a thread's own: seen by it and what it starts, and gone with them."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from testkit.unprivileged import command

pytestmark = pytest.mark.native

PROGRAM = """
import os, subprocess, sys
from pathlib import Path
from overlaykit import linux

place = Path(sys.argv[1])
linux.own_mounts()
linux.mount_memory(place, 0o751)
status = place.stat()
assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o751, os.geteuid(), os.getegid())
(place / "file").write_text("seen")
assert subprocess.run(["cat", place / "file"], capture_output=True, text=True, check=True).stdout == "seen"
with open(place / "file") as file:
    linux.detach(place)
    assert not list(place.iterdir())
    assert file.read() == "seen"
try:
    linux.detach(place)
except OSError as error:
    print(error.errno, error.filename)
for call in linux.mount_memory, linux.detach:
    try:
        call(place / "missing")
    except FileNotFoundError as error:
        print(error.filename)
linux.mount_memory(place)
(place / "file").write_text("nobody else's")
"""


def test_what_is_mounted_is_this_process_own(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    words = [sys.executable, "-P", "-c", PROGRAM, str(place)]
    if os.geteuid() != 0:
        words[:0] = ["unshare", "--map-root-user"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr == ""
    assert done.stdout.split() == [str(errno.EINVAL), str(place), f"{place}/missing", f"{place}/missing"]
    assert list(place.iterdir()) == []
    assert str(place) not in Path("/proc/self/mountinfo").read_text()


def test_who_may_not_mount_is_told(tmp_path: Path) -> None:
    program = """
import sys
from overlaykit import linux
for call in (linux.own_mounts, lambda: linux.mount_memory("/"), lambda: linux.detach("/")):
    try:
        call()
    except PermissionError as error:
        print(error.filename)
"""
    words = command(sys.executable, "-P", "-c", program, need=(tmp_path,))
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split() == ["None", "/", "/"], done.stderr
