"""Whether the driver works in a directory, why, and what would help."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from overlaykit import errors, linux
from overlaykit.directories import probe_directory
from overlaykit.driver import Probe

from .plugin import ALWAYS, FOR_ROOT

__all__ = ["probe"]

_FUSE = "/dev/fuse"


def probe(place: Path | None) -> Probe:
    """Say whether the driver works at ``place``: a few look-ups; nothing is changed, and no program is run."""
    found = probe_directory(place)
    if not found.usable or place is None:
        return found
    program = shutil.which("fuse-overlayfs")
    if program is None:
        return Probe(False, "the program fuse-overlayfs is not installed", "apt install fuse-overlayfs")
    if not os.path.exists(_FUSE):
        return Probe(False, f"there is no {_FUSE}", "modprobe fuse; in a container, hand it in (--device /dev/fuse)")
    if not os.access(_FUSE, os.R_OK | os.W_OK):
        return Probe(False, f"no permission to open {_FUSE}", f"chmod 666 {_FUSE}, as most distributions have it")
    root = os.geteuid() == 0
    try:
        os.close(linux.clone_directory(place, readonly=True))
    except (OSError, errors.UnsupportedError) as error:
        fix = "run with CAP_SYS_ADMIN" if root else "allow user namespaces: sysctl user.max_user_namespaces, seccomp"
        return Probe(False, f"no mounts of its own here: {error}", fix)
    return Probe(
        True,
        f"{program} mounts {'as root' if root else 'in a user namespace'}",
        capabilities=ALWAYS | (found.capabilities & FOR_ROOT if root else frozenset()),
        details={"program": program, "mode": "root" if root else "rootless"},
    )
