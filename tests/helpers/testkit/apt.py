"""A package repository of Debian on loopback, for where the real one cannot be reached and for what must not change."""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import http.server
import subprocess
from typing import TYPE_CHECKING

from testkit.loops import need_tool
from testkit.registries import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["PACKAGE", "run_repository"]

PACKAGE = "greeting-of-the-tests"
"""The only package that it has: one program of its name, which says hello."""

_CONTROL = f"""Package: {PACKAGE}
Version: 1.0
Architecture: all
Maintainer: Nobody <nobody@example.invalid>
Description: says hello
"""


class _Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def make_repository(path: Path) -> None:
    """Make a flat repository: packages, ``Packages`` and ``Release`` in one directory."""
    made = path / "made"
    (made / "DEBIAN").mkdir(parents=True)
    (made / "DEBIAN/control").write_text(_CONTROL)
    program = made / "usr/bin" / PACKAGE
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho hello from a package\n")
    program.chmod(0o755)
    name = f"{PACKAGE}_1.0_all.deb"
    command = [need_tool("dpkg-deb"), "--root-owner-group", "--build", str(made), str(path / name)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    data = (path / name).read_bytes()
    packages = f"{_CONTROL}Filename: ./{name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n\n"
    index = {"Packages": packages.encode(), "Packages.gz": gzip.compress(packages.encode(), mtime=0)}
    for file, content in index.items():
        (path / file).write_bytes(content)
    sums = "".join(f" {hashlib.sha256(one).hexdigest()} {len(one)} {file}\n" for file, one in index.items())
    (path / "Release").write_text(f"Suite: tests\nDate: Sun, 13 Sep 2020 12:26:40 UTC\nSHA256:\n{sums}")


@contextlib.contextmanager
def run_repository(path: Path) -> Iterator[str]:
    """Serve a repository while the body runs.

    :param path: a directory for it.
    :returns: the line for a ``sources.list``.
    """
    make_repository(path)
    with serving(functools.partial(_Files, directory=str(path))) as host:
        yield f"deb [trusted=yes] http://{host}/ ./"
