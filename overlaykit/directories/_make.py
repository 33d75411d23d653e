"""Directories that pass nothing on."""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False

if TYPE_CHECKING:
    from ..tree import StrOrBytesPath

__all__ = ["make_directory"]

_ACLS = ("system.posix_acl_access", "system.posix_acl_default")


def make_directory(path: StrOrBytesPath) -> None:
    """Make a directory of the caller's alone, mode 0700, or leave the one that is there.

    What is made in it inherits neither the group of a setgid directory above nor a default ACL (inode(7), acl(5)),
    which a tree would show. Killed at any moment, this leaves a directory that the next call completes; several
    processes may call it at once.

    :param path: where; what is above it is there.
    :raises OSError: it cannot be made, as mkdir(2) says; something other than a directory is there (ENOTDIR).
    """
    try:
        os.mkdir(path, 0)  # without any permission until it is as it should be
    except FileExistsError:
        status = os.stat(path)
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None
        if status.st_mode & 0o777:
            return
    os.chown(path, -1, os.getegid())
    for name in _ACLS:
        try:
            os.removexattr(path, name)
        except OSError as error:
            if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
                raise
    os.chmod(path, 0o700)
