"""A snapshot's own directories, looked at beside the mount: for what the program gets wrong of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

__all__ = ["Upper"]


class Upper:
    """The upper directory of a snapshot, in which paths are those of the merged view, without symbolic links.

    :param upper: the directory.
    :param work: where the program keeps what was deleted while somebody may have it open.
    """

    def __init__(self, upper: Path, work: Path) -> None:
        self._fd = os.open(upper, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        self._work = work

    def close(self) -> None:
        """Let go of it."""
        os.close(self._fd)

    def lstat(self, path: bytes) -> os.stat_result | None:
        """Return the attributes of what is there itself; ``None`` for what is of a layer below, or hidden."""
        try:
            status = os.lstat(path, dir_fd=self._fd) if path else os.stat(self._fd)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None if stat.S_ISCHR(status.st_mode) and not status.st_rdev else status

    def names(self, status: os.stat_result) -> int:
        """Return how many names a file has, of which :meth:`lstat` gave the attributes."""
        if status.st_nlink == 1:
            return 1
        with os.scandir(self._work) as hidden:
            return status.st_nlink - sum(entry.inode() == status.st_ino for entry in hidden)

    def open_up(self, path: bytes, status: os.stat_result) -> None:
        """Let the owner, who is not root, change what is in a directory, whatever its mode; :meth:`give` ends that."""
        if os.geteuid() and status.st_mode & 0o700 != 0o700:
            os.chmod(path or b".", stat.S_IMODE(status.st_mode) | 0o700, dir_fd=self._fd)

    def give(self, path: bytes, wanted: os.stat_result, more: Mapping[str, bytes], less: frozenset[str]) -> None:
        """Give what is there itself owner, mode and times; set some extended attributes and remove others."""
        found = self.lstat(path)
        if found is None:
            return
        name = b"/proc/self/fd/%d/%s" % (self._fd, path)
        if (found.st_uid, found.st_gid) != (wanted.st_uid, wanted.st_gid):
            os.chown(name, wanted.st_uid, wanted.st_gid, follow_symlinks=False)
        for key in less:
            os.removexattr(name, key, follow_symlinks=False)
        for key, value in more.items():
            os.setxattr(name, key, value, follow_symlinks=False)
        if not stat.S_ISLNK(wanted.st_mode):
            os.chmod(name, stat.S_IMODE(wanted.st_mode))
        os.utime(name, ns=(wanted.st_atime_ns, wanted.st_mtime_ns), follow_symlinks=False)

    def inherit(self, path: bytes) -> None:
        """Give what was just made what a directory with the setgid bit hands down."""
        above, made = self.lstat(os.path.dirname(path)), self.lstat(path)
        if above is None or made is None or not above.st_mode & stat.S_ISGID:
            return
        mode = stat.S_IMODE(made.st_mode)
        if made.st_gid != above.st_gid:
            os.chown(path, -1, above.st_gid, dir_fd=self._fd, follow_symlinks=False)
        if stat.S_ISDIR(made.st_mode):
            mode |= stat.S_ISGID
        if not stat.S_ISLNK(made.st_mode):
            os.chmod(path, mode, dir_fd=self._fd)
