"""A directory of this machine is read, following nothing, and written into a tree."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING

from .. import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._import import Importer

__all__ = ["import_directory"]

_MOST_OPEN = 64
"""Directories kept open on the way down; those between are opened again on the way back."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class _Level:
    """A directory that is being read."""

    def __init__(self, name: str, path: str, descriptor: int) -> None:
        self.name = name
        self.path = path
        self.descriptor = descriptor
        self.status = os.fstat(descriptor)
        self.below: list[str] = []

    def close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def import_directory(source: str, importer: Importer) -> None:
    """Copy everything below a directory.

    Nothing that happens there meanwhile leads out of it: each entry is opened from its directory's descriptor, and no
    symbolic link is followed. A directory's own attributes are set after its content.

    :raises ImportSourceError: it changed in a way that leaves no sense to what was read.
    """
    links: dict[tuple[int, int], str] = {}
    stack: list[_Level] = []
    try:
        stack.append(_Level("", "", os.open(source, _DIRECTORY & ~os.O_NOFOLLOW)))
        _read(stack[0], importer, links)
        while stack:
            level = stack[-1]
            if not level.below:
                _set_attributes(level.path, level.status, level.descriptor, importer)
                stack.pop().close()
                if stack and stack[-1].descriptor < 0:
                    _reopen(stack)
                continue
            name = level.below.pop()
            path = f"{level.path}/{name}" if level.path else name
            with _named(path):
                below = _Level(name, path, os.open(name, _DIRECTORY, dir_fd=level.descriptor))
                stack.append(below)
                importer.tree.mkdir(path, 0o700)
                _read(below, importer, links)
            if len(stack) > _MOST_OPEN:
                stack[-_MOST_OPEN // 2].close()
    finally:
        for level in stack:
            level.close()
    importer.finish()


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    try:
        yield
    except errors.OverlaykitError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
            raise _changed(path) from error
        error.filename = path
        raise


def _changed(path: str) -> errors.ImportSourceError:
    return errors.ImportSourceError(f"{path!r} changed while it was read: import it when it is at rest")


def _reopen(stack: list[_Level]) -> None:
    start = max(index for index, level in enumerate(stack) if level.descriptor >= 0)
    for above, level in zip(stack[start:], stack[start + 1 :], strict=False):
        with _named(level.path):
            level.descriptor = os.open(level.name, _DIRECTORY, dir_fd=above.descriptor)
        found = os.fstat(level.descriptor)
        if (found.st_dev, found.st_ino) != (level.status.st_dev, level.status.st_ino):
            raise _changed(level.path)
        if above is not stack[start]:
            above.close()


def _read(level: _Level, importer: Importer, links: dict[tuple[int, int], str]) -> None:
    with os.scandir(level.descriptor) as entries:
        names = sorted(entry.name for entry in entries)
    for name in reversed(names):
        path = f"{level.path}/{name}" if level.path else name
        with _named(path):
            status = os.stat(name, dir_fd=level.descriptor, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                level.below.append(name)
            else:
                _import_entry(level.descriptor, name, path, status, importer, links)
    importer.count()


def _import_entry(
    directory: int,
    name: str,
    path: str,
    status: os.stat_result,
    importer: Importer,
    links: dict[tuple[int, int], str],
) -> None:
    tree, kind = importer.tree, stat.S_IFMT(status.st_mode)
    identity = status.st_dev, status.st_ino
    if status.st_nlink > 1 and identity in links:
        tree.link(links[identity], path)
        importer.count()
        return
    if kind == stat.S_IFREG:
        _import_file(directory, name, path, importer)
    else:
        if kind == stat.S_IFLNK:
            tree.symlink(os.readlink(name, dir_fd=directory), path)
        elif not importer.make_node(path, status.st_mode, status.st_rdev):
            return
        # No descriptor of these tells of their extended attributes; /proc's name of the directory does.
        _set_attributes(path, status, f"/proc/self/fd/{directory}/{name}", importer)
        importer.count()
    if status.st_nlink > 1:
        links[identity] = path


def _import_file(directory: int, name: str, path: str, importer: Importer) -> None:
    with open(os.open(name, _FILE, dir_fd=directory), "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise _changed(path)
        try:
            importer.write(path, file, _segments(file.fileno(), status), status.st_size)
        except EOFError as error:
            raise _changed(path) from error
        _set_attributes(path, status, file.fileno(), importer)
    importer.count(status.st_size)


def _segments(descriptor: int, status: os.stat_result) -> Iterator[tuple[int, int]]:
    if status.st_blocks * 512 >= status.st_size or not hasattr(os, "SEEK_DATA"):
        if status.st_size:
            yield 0, status.st_size
        return
    end = 0
    while end < status.st_size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            raise
        end = min(os.lseek(descriptor, start, os.SEEK_HOLE), status.st_size)
        os.lseek(descriptor, start, os.SEEK_SET)
        yield start, end - start


def _set_attributes(path: str, status: os.stat_result, source: int | str, importer: Importer) -> None:
    importer.set_attributes(path, status.st_mode, (status.st_uid, status.st_gid), status.st_mtime_ns, _xattrs(source))


def _xattrs(source: int | str) -> dict[str, bytes]:
    if not hasattr(os, "listxattr"):
        return {}
    follow = isinstance(source, int)
    try:
        names = os.listxattr(source, follow_symlinks=follow)
        return {name: os.getxattr(source, name, follow_symlinks=follow) for name in names}
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOENT):
            return {}
        raise
