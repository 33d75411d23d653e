"""One directory with the attributes of what is in it, in one call."""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING, NamedTuple

from ._lib import check, load

if TYPE_CHECKING:
    from ..tree import StrOrBytesPath

__all__ = ["FileStatus", "list_directory"]

_RECORD = struct.Struct("=6q2Q3q")


class FileStatus(NamedTuple):
    """Of :class:`os.stat_result` what says what a file is, under the same names; times in nanoseconds."""

    st_mode: int
    st_nlink: int
    st_uid: int
    st_gid: int
    st_rdev: int
    st_atime_ns: int
    st_dev: int
    st_ino: int
    st_size: int
    st_mtime_ns: int
    st_ctime_ns: int


def list_directory(directory: int, path: StrOrBytesPath) -> list[tuple[str, FileStatus]]:
    """List a directory below another, which it cannot lead out of.

    :param directory: that one's descriptor.
    :returns: names and attributes, links not followed, in the order of the names' bytes.
    :raises OSError: as openat2(2); ENOENT also where something in it went meanwhile.
    """
    native = load()
    found = native.ffi.new("struct ok_scan *")
    raw = os.fsencode(path)
    while (result := native.lib.ok_list(directory, raw, found)) == -errno.EINTR:
        pass
    check(result, path)
    try:
        names = os.fsdecode(bytes(native.ffi.buffer(found.names, found.names_size))).split("\0")
        del names[-1]
        records = native.ffi.buffer(found.records, found.count * _RECORD.size)
        return list(zip(names, map(FileStatus._make, _RECORD.iter_unpack(records)), strict=True))
    finally:
        native.lib.ok_scan_free(found)
