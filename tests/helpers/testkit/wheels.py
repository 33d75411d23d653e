"""Wheels made on the spot and installed by pip: distributions as anyone's, but for their mistakes."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["install_wheels", "make_wheel"]


def make_wheel(
    place: Path, name: str, module: str, *, version: str = "1.0", entry: str = "", requires: str = ""
) -> Path:
    """Make a wheel of one module (binary distribution format specification, version 1.0) and return its path.

    :param place: the directory to put it into.
    :param name: of the distribution, of its module with underscores, and of its plugin unless ``entry`` says else.
    :param module: the module's text.
    :param version: of the distribution.
    :param entry: the line of the entry point.
    :param requires: what it requires.
    """
    package = name.replace("-", "_")
    information = f"{package}-{version}.dist-info"
    requirement = f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        f"{package}.py": module,
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requirement}",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{information}/entry_points.txt": f"[overlaykit]\n{entry or f'{name} = {package}'}\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text.encode())}\n" for path, text in files.items())
    wheel = place / f"{package}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{information}/RECORD", f"{record}{information}/RECORD,,\n")
    return wheel


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def install_wheels(wheels: Iterable[Path], site: Path) -> None:
    """Install wheels into a directory for PYTHONPATH, without a network and without what they require."""
    words = [sys.executable, "-P", "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile"]
    words += ["--disable-pip-version-check", "--root-user-action=ignore", "--target", str(site), *map(str, wheels)]
    subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
