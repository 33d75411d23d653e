"""Copying all names of a file up: what a record of the journal asks for, once or again."""

from __future__ import annotations

import os
import stat

from overlaykit.tree import open_up

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Sequence

    from overlaykit.tree import HostTree

__all__ = ["finish_join"]


def finish_join(raw: HostTree, paths: Sequence[str]) -> None:
    """Make further names links of the file that a first name shows; done again, it does what is left to do.

    :param paths: the first name, then each further one followed by that of a passing object beside it.
    """
    for name, passing in zip(paths[1::2], paths[2::2], strict=True):
        parent = os.path.dirname(name)
        before = raw.stat(parent)
        opened = open_up(raw, parent, before) if before.st_uid == os.geteuid() else False
        try:
            if not raw.exists(passing, follow_symlinks=False):
                raw.link(paths[0], passing)  # copies the first one up
            if raw.lstat(name).st_ino == raw.lstat(paths[0]).st_ino:
                raw.unlink(passing)
            else:
                # To the kernel the two are different files yet, or this would do nothing.
                raw.rename(passing, name)
        finally:
            if opened:
                raw.chmod(parent, stat.S_IMODE(before.st_mode))
            raw.utime(parent, ns=(before.st_atime_ns, before.st_mtime_ns))
