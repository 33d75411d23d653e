"""Trees that are overlays over the directory itself, mounted for this process and what it starts."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from .. import linux
from ..tree import compare_copy
from ._files import copy_attributes, opened, remove

if TYPE_CHECKING:
    from pathlib import Path

    from ..tree import Change

__all__ = ["Overlay", "Overlays"]


class Overlays:
    """Overlays over one directory, in a mount namespace that is this process's own.

    :param source: the directory, which becomes the lower layer where it is: nothing of it is copied.
    :param place: an empty directory, for uppers and mount points. Where its file system takes no upper, as an overlay
        does not, uppers lie in memory.
    """

    def __init__(self, source: Path, place: Path) -> None:
        self._source = source
        self._place = place
        self._in_memory = False
        self._made = 0

    def take(self) -> Overlay:
        """Mount one.

        :raises OSError: the kernel refuses.
        """
        self._made += 1
        holder = self._place / str(self._made)
        try:
            return Overlay(self._source, holder)
        except OSError as error:
            if self._in_memory or error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
        linux.mount_memory(self._place)
        self._in_memory = True
        return Overlay(self._source, holder)

    def close(self) -> None:
        """Remove the place."""
        if self._in_memory:
            linux.detach(self._place)
        remove(self._place)


class Overlay:
    """One overlay.

    :param source: the lower layer.
    :param holder: what is made to hold upper, work directory and mount point.
    """

    def __init__(self, source: Path, holder: Path) -> None:
        self.path = holder / "tree" / (source.name or "root")
        self._source = source
        self._holder = holder
        self._mounted = False
        self._done = 0
        self._mount()

    def _mount(self) -> None:
        upper, work = self._holder / "upper", self._holder / "work"
        for directory in (self._holder, self.path.parent, self.path, upper, work):
            directory.mkdir(0o700)
        self._done = work.stat().st_ctime_ns
        copy_attributes(self._source, upper)
        mount = linux.overlay_mount(
            [self._source], upper, work, volatile=True, userxattr=_uses_userxattr(work), rootless=False
        )
        try:
            linux.attach(mount, self.path)
        finally:
            os.close(mount)
        self._mounted = True

    def changes(self) -> list[Change]:
        """Return what was changed; it looks at every name, but only into what was written."""
        with opened(self._source) as before, opened(self.path) as after:
            return list(compare_copy(before, after, begun=0, done=self._done, inodes=None))

    def reset(self) -> None:
        """Mount it again over an empty upper."""
        self.release()
        self._mount()

    def release(self) -> None:
        """Unmount it and remove what was written; who has something open in it keeps that."""
        if self._mounted:
            linux.detach(self.path)
            self._mounted = False
        remove(self._holder)


def _uses_userxattr(directory: Path) -> bool:
    """Tell whether overlayfs must keep its attributes in ``user.overlay.*``."""
    try:
        os.setxattr(directory, "trusted.overlaykit.probe", b"1")
        os.removexattr(directory, "trusted.overlaykit.probe")
    except OSError:
        return True
    return False
