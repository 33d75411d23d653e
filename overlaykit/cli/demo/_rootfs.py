"""A small made-up root file system, and what the layers above it put into it."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ...tree import Tree

__all__ = ["APP", "PYTHON", "grow", "make_root"]

#: A time long before the demo, to the second: what a later chapter touches has another.
_LONG_AGO = 1_700_000_000 * 10**9

_PROGRAMS = ("bash", "cat", "cp", "date", "grep", "ls", "mkdir", "mv", "rm", "sed", "sh", "sort", "tar", "uname")
_DOCUMENTS = ("bash", "coreutils", "grep", "sed", "tar")

PYTHON: Mapping[str, bytes] = {
    "usr/bin/python3": random.Random("python3").randbytes(400_000),  # noqa: S311
    **{
        f"usr/lib/python3/{name}.py": f'"""The module {name}."""\n'.encode() * 40
        for name in ("abc", "ast", "base64", "io", "json", "os", "pathlib", "re", "socket", "ssl")
    },
}
"""The second layer: path to content."""

APP: Mapping[str, bytes] = {
    "etc/app.conf": b"port = 8080\ndebug = no\n",
    "srv/app/main.py": b"import web\n\nweb.serve('/etc/app.conf')\n",
    "srv/app/web.py": b"def serve(configuration): ...\n" * 30,
    "srv/app/templates/index.html": b"<h1>Welcome</h1>\n",
    "srv/app/templates/error.html": b"<h1>Sorry</h1>\n",
}
"""The third layer: path to content."""


def make_root(top: Path) -> None:
    """Make the root file system in an empty directory: programs, a configuration, documents; about 2 MB."""
    files: dict[str, bytes] = {
        "etc/hostname": b"box\n",
        "etc/motd": b"Welcome to a system that does not exist.\n",
        "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n",
        "var/log/boot.log": b"it booted\n",
        "var/cache/packages/index": random.Random("index").randbytes(60_000),  # noqa: S311
    }
    files |= {f"usr/bin/{name}": random.Random(name).randbytes(120_000) for name in _PROGRAMS}  # noqa: S311
    files |= {f"usr/share/doc/{name}/README": f"About {name}.\n".encode() * 50 for name in _DOCUMENTS}
    for path, content in files.items():
        target = top / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        if path.startswith("usr/bin/"):
            target.chmod(0o755)
    (top / "tmp").mkdir(mode=0o777)
    (top / "bin").symlink_to("usr/bin")
    for directory, _, names in os.walk(top, topdown=False):
        for name in names:
            os.utime(os.path.join(directory, name), ns=(_LONG_AGO, _LONG_AGO), follow_symlinks=False)
        os.utime(directory, ns=(_LONG_AGO, _LONG_AGO))


def grow(tree: Tree, files: Mapping[str, bytes]) -> None:
    """Write files into a tree, with the directories they need, all from long ago.

    A directory that changes within a tick of the clock after it was made would not differ by its time.
    """
    touched: set[str] = set()
    for path, content in files.items():
        directory = os.path.dirname(path)
        tree.makedirs(directory, exist_ok=True)
        tree.write_bytes(path, content)
        touched.add(path)
        while directory:
            touched.add(directory)
            directory = os.path.dirname(directory)
    settle(tree, touched)


def settle(tree: Tree, paths: set[str]) -> None:
    """Set the times of paths back to long ago."""
    for path in paths:
        tree.utime(path, ns=(_LONG_AGO, _LONG_AGO), follow_symlinks=False)
