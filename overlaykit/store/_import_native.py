"""A directory is copied by the native module where the snapshot's tree is a directory of this machine too."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from .. import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._import import Importer

__all__ = ["import_natively"]

_SECONDS = 0.2
"""How often progress is told of."""


def import_natively(source: str, importer: Importer) -> bool:
    """Copy a directory into the importer's tree.

    :returns: false where that cannot be done here: the tree is no directory of this machine, or something in it may not
        be made by this user; the tree is empty then.
    :raises OSError: something cannot be read or made; ``filename`` is its path below the source.
    """
    from .. import linux

    if not linux.available():
        return False
    try:
        target = importer.tree.host_path
    except errors.CapabilityError:
        return False
    _check_devices(source, importer)
    with _opened(source) as source_fd, _opened(target) as target_fd:
        _check_space(source, source_fd, target_fd)
        try:
            _copy(source_fd, target_fd, importer)
        except PermissionError as error:
            if error.errno != errno.EPERM:
                raise
            importer.tree.rmtree("")
            return False
    return True


def _copy(source: int, target: int, importer: Importer) -> None:
    from .. import linux

    watched = linux.CopyProgress()
    with ThreadPoolExecutor(1, "overlaykit-import") as pool:
        copying = pool.submit(linux.copy_tree, source, target, cross_mounts=True, progress=watched)
        try:
            while not wait([copying], _SECONDS).done:
                now = watched.snapshot()
                importer.report(now.entries, now.bytes)
        except BaseException:
            watched.cancel()
            raise
        done = copying.result()
    importer.report(done.entries + 1, done.bytes)


def _check_space(path: str, source: int, target: int) -> None:
    from .. import linux

    free = os.fstatvfs(target)
    if os.fstat(source).st_dev == os.fstat(target).st_dev or not free.f_blocks:
        return  # blocks may be shared
    needed = linux.tree_usage(source).bytes
    left = free.f_bavail * free.f_frsize
    if left < needed * 9 // 10:
        raise errors.StoreFullError(
            f"{path} takes {needed} bytes and the store's file system has {left} left: remove snapshots or other files"
        )


def _check_devices(source: str, importer: Importer) -> None:
    # The listing alone tells of character devices, of which there are few: nothing else is looked at.
    pending = [source]
    while pending:
        try:
            entries = os.scandir(pending.pop())
        except OSError:
            continue  # the copy says what is wrong
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif not entry.is_file(follow_symlinks=False) and not entry.is_symlink():
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
                            raise importer.whiteout(os.path.relpath(entry.path, source))


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
