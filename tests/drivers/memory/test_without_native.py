"""The driver and the framework where there is no native module: another platform, or no compiler."""

from __future__ import annotations

import subprocess
import sys

import pytest

BLOCK = """
import os, sys
sys.modules["overlaykit._native"] = None
for module in (os,):
    for name in MISSING:
        if hasattr(module, name):
            delattr(module, name)
"""

STORY = """
import overlaykit, overlaykit.driver, overlaykit.errors, overlaykit.plugin, overlaykit.tree
from overlaykit.driver import DriverConfig
from overlaykit.plugin import load_plugins
spec = load_plugins().drivers["memory"].spec
from overlaykit_memory import MemoryDriver
driver = MemoryDriver(DriverConfig(None))
driver.prepare("a", None)
with driver.tree("a", readonly=False) as tree:
    tree.makedirs("d/e")
    tree.write_text("d/e/f", "hello")
    tree.symlink("/d/e", "l")
    tree.setxattr("d", "user.a", b"1", 1)
    with tree.open("l/f", "r+b") as file:
        file.seek(0, 2)
        file.write(b" world")
    (tree / "d" / "motd").write_text("x")
    tree.statvfs()
print([change.path for change in driver.changes("a", None)])
driver.commit("a", "b")
driver.prepare("c", "b")
with driver.tree("c", readonly=False) as tree:
    tree.write_text("d/e/f", "changed")
    tree.rmtree("l") if tree.is_dir("l", follow_symlinks=False) else tree.unlink("l")
print([(change.kind.value, change.path) for change in driver.changes("c", "b")])
print(driver.tree("b", readonly=True).read_text("d/e/f"))
assert "overlaykit._native" not in sys.modules or sys.modules["overlaykit._native"] is None
"""

LINUX_ONLY = ["O_TMPFILE", "O_PATH", "XATTR_CREATE", "XATTR_REPLACE", "SEEK_DATA", "SEEK_HOLE", "memfd_create"]
LINUX_ONLY += ["getxattr", "setxattr", "listxattr", "removexattr", "copy_file_range"]
POSIX_ONLY = [
    "O_NOFOLLOW",
    "O_DIRECTORY",
    "geteuid",
    "getegid",
    "statvfs",
    "statvfs_result",
    "mkfifo",
    "mknod",
    "chown",
]


@pytest.mark.parametrize(
    "missing", [[], LINUX_ONLY, LINUX_ONLY + POSIX_ONLY], ids=["no-native", "as-on-macos", "as-on-windows"]
)
def test_everything_works(missing: list[str]) -> None:
    code = f"MISSING = {missing!r}\n{BLOCK}\n{STORY}"
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [
        "['d', 'd/e', 'd/e/f', 'd/motd', 'l']",
        "[('modified', '.'), ('modified', 'd/e/f'), ('deleted', 'l')]",
        "hello world",
    ]
