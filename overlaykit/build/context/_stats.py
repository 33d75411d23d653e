"""What files had in them when they were last read, so that a context that did not change is not read again."""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from ...linux import FileStatus

if TYPE_CHECKING:
    from pathlib import Path

    Status = os.stat_result | FileStatus

__all__ = ["NOTHING", "Known", "StatCache"]

NOTHING: Final = bytes(32)
"""For a file without extended attributes that count."""

_MAGIC: Final = b"OKSTAT1\n"
_KEY: Final = struct.Struct("=QQqqq")
_ENTRY: Final = struct.Struct(f"{_KEY.size}s64s")
_SIZE: Final = _ENTRY.size
_MOST: Final = 1 << 18
_FINE: Final = 100_000_000
_COARSE: Final = 2_000_000_000
_SECOND: Final = 1_000_000_000


class Known(NamedTuple):
    """What a file has in it.

    :param content: SHA-256 of its content.
    :param xattrs: SHA-256 of its extended attributes, or :data:`NOTHING`.
    """

    content: bytes
    xattrs: bytes


class StatCache:
    """Digests of files by device, inode, size, modification and change time; safe to use from several threads.

    Who changes a file changes its change time, unless the clock has not gone on since: what was changed shortly before
    it was read is read again the next time. The file is replaced at once; one that is damaged counts as empty.

    :param path: of the file; ``None`` to remember nothing beyond this process.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stored = {} if path is None else _load(path)
        self._used: dict[bytes, bytes] = {}
        self._fresh: dict[bytes, bytes] = {}
        self._changed = False

    def find(self, status: Status) -> Known | None:
        """Return what is known of a file."""
        key = _key(status)
        value = self._fresh.get(key)
        if value is None:
            value = self._stored.get(key)
            if value is None:
                return None
            self._used[key] = value
        return Known(value[:32], value[32:])

    def note(self, status: Status, known: Known, begun: int) -> None:
        """Remember what a file has in it.

        :param status: as it was before and after it was read.
        :param begun: when reading began, nanoseconds since the epoch.
        """
        key, value = _key(status), known.content + known.xattrs
        newest = max(status.st_mtime_ns, status.st_ctime_ns)
        slack = _FINE if status.st_ctime_ns % _SECOND else _COARSE
        with self._lock:
            self._fresh[key] = value
            if newest + slack < begun:
                self._used[key] = value
                self._changed = True

    def save(self) -> None:
        """Write it, if there is something new; a file that cannot be written costs time and nothing else."""
        with self._lock:
            if self._path is None or not self._changed:
                return
            kept = dict(self._used)
            # Of what was not asked for, some may be another build's; most is of files that are no more.
            if len(self._stored) <= 2 * len(kept) + 1024:
                kept = {**self._stored, **kept}
            body = b"".join(key + value for key, value in list(kept.items())[-_MOST:])
            self._changed = False
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(self._path, _MAGIC + hashlib.sha256(body).digest() + body)

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        import tempfile

        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}-")
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise


def _key(status: Status) -> bytes:
    if isinstance(status, FileStatus):
        return _KEY.pack(*status[-5:])
    # Device and inode as the kernel has them: 64 bits, in whatever sign they come.
    return _KEY.pack(
        status.st_dev & (1 << 64) - 1,
        status.st_ino & (1 << 64) - 1,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _load(path: Path) -> dict[bytes, bytes]:
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST * _SIZE + 41)
    except OSError:
        return {}
    body = data[40:]
    if data[:8] != _MAGIC or len(body) % _SIZE or hashlib.sha256(body).digest() != data[8:40]:
        return {}
    return dict(_ENTRY.iter_unpack(body))
