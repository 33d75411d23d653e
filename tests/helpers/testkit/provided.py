"""Run a command with what only root can provide: ``python tests/provided.py [--btrfs] [--fuse] -- COMMAND ...``.

Both are there in a mount namespace of the command alone, and gone with it. With ``--btrfs`` each word ``@`` of the
command becomes a directory that everybody may write to, on a new Btrfs in a file. With ``--fuse`` everybody may open
/dev/fuse, as on most machines, whatever the mode of this machine's.
"""

from __future__ import annotations

import argparse
import os
import stat
import subprocess
import tempfile
from pathlib import Path

from testkit import syscalls
from testkit.loops import filesystems

__all__ = ["main", "open_fuse"]

_FUSE = Path("/dev/fuse")


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="provided.py", description="Run a command with what root can provide.")
    parser.add_argument("--btrfs", action="store_true", help="make a Btrfs, and put its path for @")
    parser.add_argument("--options", default="", help="the options it is mounted with")
    parser.add_argument("--fuse", action="store_true", help="open /dev/fuse to everybody")
    parser.add_argument("command", nargs="+")
    parsed = parser.parse_args(arguments)
    syscalls.private_mount_namespace()
    with tempfile.TemporaryDirectory(prefix="overlaykit-provided-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        if parsed.fuse:
            open_fuse(directory)
        if not parsed.btrfs:
            code = subprocess.run(parsed.command).returncode
        else:
            with filesystems(directory) as make:
                point = make("btrfs", "1G", parsed.options)
                point.chmod(0o1777)
                words = [str(point) if word == "@" else word for word in parsed.command]
                code = subprocess.run(words).returncode
        if parsed.fuse:
            subprocess.run(["umount", _FUSE], check=True)
    return code if code >= 0 else 128 - code


def open_fuse(directory: Path) -> None:
    """Put a node that everybody may open over /dev/fuse, in this process's own mount namespace."""
    node = directory / "fuse"
    os.mknod(node, stat.S_IFCHR | 0o666, _FUSE.stat().st_rdev)
    node.chmod(0o666)
    subprocess.run(["mount", "--bind", node, _FUSE], check=True)
