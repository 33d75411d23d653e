"""Paths longer than the kernel takes in one call."""

from __future__ import annotations

import errno
import os

__all__ = ["open_parent"]

_PIECE = 4000
"""Bytes of a path opened at once; PATH_MAX is 4096 with the NUL."""

_LINKS = 40
"""Symbolic links followed before ELOOP; the kernel's MAXSYMLINKS."""


class _Walk:
    """A walk from a root directory, component by component where symbolic links are met, in large pieces elsewhere.

    What was walked is kept as names of directories, none of them a link, so that ``..`` is the walk from the root to
    one name less. A component that another process turns into a link meanwhile is ELOOP: the walk cannot leave the
    root.
    """

    def __init__(self, root: int) -> None:
        self.root = root
        self.done: list[bytes] = []
        self.here = os.dup(root)
        self.links = 0

    def close(self) -> None:
        os.close(self.here)

    def restart(self, names: list[bytes]) -> None:
        """Walk to a directory whose names were walked before."""
        os.close(self.here)
        self.here = os.dup(self.root)
        self.done = []
        self.forward(names)

    def forward(self, names: list[bytes]) -> None:
        """Walk through directories that are no links; where this raises, ``done`` and ``here`` tell how far it came."""
        from ..linux import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2

        start = 0
        while start < len(names):
            end, size = start, 0
            while end < len(names) and (end == start or size + len(names[end]) < _PIECE):
                size += len(names[end]) + 1
                end += 1
            fd = openat2(
                self.here,
                b"/".join(names[start:end]),
                os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW,
                resolve=RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
            )
            os.close(self.here)
            self.here = fd
            self.done += names[start:end]
            start = end

    def link(self, name: bytes) -> bytes | None:
        """Return the target of a symbolic link in this directory; ``None`` where the name is no link or nothing."""
        try:
            target = os.readlink(name, dir_fd=self.here)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return None
            raise
        self.links += 1
        if self.links > _LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return target


def _split(path: bytes) -> tuple[list[bytes], bool]:
    """Return the components of a path, and whether its end must be a directory."""
    names = [name for name in path.split(b"/") if name not in (b"", b".")]
    return names, path.endswith((b"/", b"/.")) or path == b"."


def open_parent(root: int, path: bytes, follow: bool | None) -> tuple[int, bytes]:
    """Open the directory that holds a path's last component.

    :param root: the descriptor of the directory that the path cannot leave.
    :param path: the path; of any length.
    :param follow: whether a symbolic link at the end is followed; ``None`` where the path names an entry, as for
        mkdir(2), whose last component is then returned as it is.
    :returns: the directory's descriptor, which the caller closes, and the last component, with a slash behind it where
        it must be a directory.
    :raises OSError: a directory on the way does not exist, is none, may not be searched, or there are too many links.
    """
    pending, directory = _split(path)
    # In "name/." the name is one more directory on the way.
    through = path.rstrip(b"/").endswith(b"/.")
    walk = _Walk(root)
    try:
        while pending:
            if len(pending) == 1 and follow is None and not through:
                break
            if pending[0] == b"..":
                walk.restart(walk.done[:-1])
                del pending[0]
                continue
            run = pending.index(b"..") if b".." in pending else len(pending) - (not through)
            if run:
                before = len(walk.done)
                try:
                    walk.forward(pending[:run])
                except OSError as error:
                    if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                        raise
                    # Somewhere in the piece that failed is a link: name by name until it is found.
                    came = len(walk.done) - before
                    del pending[:came]
                else:
                    del pending[:run]
                    continue
            name, last = pending[0], len(pending) == 1 and not through
            target = walk.link(name) if not last or follow or directory else None
            if target is not None:
                names, slash = _split(target)
                if last:
                    directory = directory or slash
                pending[:1] = names
                if target.startswith(b"/"):
                    walk.restart([])
            elif last:
                break
            else:
                walk.forward([name])
                del pending[0]
        here, walk.here = walk.here, os.dup(root)
    finally:
        walk.close()
    if not pending:
        return here, b"."
    if len(pending[0]) > 255:
        os.close(here)
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    return here, pending[0] + b"/" if directory else pending[0]
