"""Acting as a user who may not do everything."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..tree import Tree

__all__ = ["NOBODY", "run_as_somebody_else", "somebody_else"]

NOBODY = 65534
"""The user and group that a privileged caller becomes."""


@contextlib.contextmanager
def somebody_else() -> Iterator[None]:
    """Drop root's privileges for a while; a caller without any stays who it is.

    Either way the kernel then asks the permission bits: of others for who was root, of the owner for who was not.
    """
    if os.geteuid() != 0:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def run_as_somebody_else(tree: Tree, script: str) -> subprocess.CompletedProcess[bytes]:
    """Run a shell script in a tree, as a user without privileges: another one where the caller is root."""
    command = ["sh", "-c", f"umask 022; {script}"]
    environment = {**os.environ, "LC_ALL": "C"}
    if os.geteuid() != 0:
        return subprocess.run(command, cwd=tree.host_path, capture_output=True, check=False, env=environment)
    return subprocess.run(
        command,
        cwd=tree.host_path,
        capture_output=True,
        check=False,
        env=environment,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
    )
