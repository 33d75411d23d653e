"""Files on their way into an archive, without a detour: each is read once, where it is compressed and unpacked from."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Final

from ..linux._lib import load
from ._tar_write import END, TarHeader, encode_header

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Self

    from ..linux import FileStatus
    from ._compress import CompressedWriter

__all__ = ["FilePacker"]

_MEMBER: Final = struct.Struct("=7Q5q")
"""struct ok_pack_member."""

_HEADER, _SOURCE, _FOLLOW = 1, 2, 4
_NAME: Final = 100
_SMALL: Final = 0o7777777
_LARGE: Final = 0o77777777777
_SECOND: Final = 1_000_000_000


class FilePacker:
    """An archive of headers and of files of one directory of this machine, in the order in which they are told.

    It is the same archive as :func:`write_layer` writes of the same members.

    :param directory: a descriptor of the directory; it stays the caller's, and open until this is closed.
    """

    def __init__(self, directory: int) -> None:
        self._directory = directory
        self._members: list[bytes] = []
        self._sources: list[bytes] = []
        self._text: list[bytes] = []
        self._at = 0
        self._packer: Any = None
        #: The path of the file that could not be read, or was changed.
        self.failed: str | None = None
        self._held: Any = None

    def __len__(self) -> int:
        return len(self._members)

    def add(self, header: TarHeader) -> None:
        """Add a member without content.

        :raises ChangesetError: an extended attribute has a name that no archive can hold.
        """
        block = encode_header(header)
        self._add(_HEADER, block, b"", 0, 0, 0, 0, 0, 0, 0, 0)

    def add_file(
        self,
        path: bytes,
        mode: int,
        owner: tuple[int, int],
        mtime: int,
        source: bytes,
        status: os.stat_result | FileStatus,
        *,
        follow: bool = False,
    ) -> None:
        """Add a regular file.

        :param path: its name in the archive.
        :param mode: its permission bits there.
        :param owner: user and group there.
        :param mtime: its time there, nanoseconds since the epoch.
        :param source: its path below the directory; it cannot lead out of it.
        :param status: of the file: what is no more so when it is read, was changed.
        :param follow: whether a symbolic link at ``source`` is followed.
        """
        seconds, rest = divmod(mtime, _SECOND)
        uid, gid = owner
        size = status.st_size
        flags = _SOURCE | (_FOLLOW if follow else 0)
        text = path
        if len(path) > _NAME or uid > _SMALL or gid > _SMALL or size > _LARGE or not 0 <= seconds <= _LARGE:
            flags |= _HEADER
            text = encode_header(TarHeader(path, 0o100000 | mode, uid, gid, mtime, size))
        self._add(
            flags, text, source, mode & 0o7777, uid, gid, seconds, rest, size, status.st_mtime_ns, status.st_ctime_ns
        )

    def _add(self, flags: int, text: bytes, source: bytes, *numbers: int) -> None:
        size = len(text)
        self._members.append(_MEMBER.pack(flags, self._at, size, self._at + size, *numbers))
        self._sources.append(source)
        self._text += (text, source, b"\0")
        self._at += size + len(source) + 1

    def write(self, out: CompressedWriter, check: Callable[[], object] = lambda: None) -> int:
        """Write the archive, to its end.

        :param check: called now and then; what it raises ends the writing.
        :returns: how many bytes there were.
        :raises OSError: a file cannot be read; ``filename`` is its path below the directory. ESTALE: it was changed.
            Or what writing ``out`` raises.
        """
        total = 0
        self._begin()
        while not self.done:
            check()
            total += out.fill(self.fill, 1 << 62)
        return total + out.write(END)

    @property
    def done(self) -> bool:
        """Whether all that was told has been made."""
        return self._packer is not None and self._packer.index == len(self._members)

    def fill(self, room: memoryview) -> int:
        """Put the next bytes of the archive into a buffer, all but its end.

        :returns: how many.
        :raises OSError: as :meth:`write`.
        """
        self._begin()
        native = load()
        count: int = native.lib.ok_pack(self._packer, native.ffi.from_buffer("uint8_t[]", room), len(room))
        if count < 0:
            self.failed = os.fsdecode(self._sources[self._packer.index])
            raise OSError(-count, os.strerror(-count), self.failed)
        return count

    def _begin(self) -> None:
        if self._packer is not None:
            return
        ffi = load().ffi
        members, text = ffi.from_buffer(b"".join(self._members)), ffi.from_buffer(b"".join(self._text))
        self._held = members, text
        self._packer = ffi.new("struct ok_packer *")
        self._packer.directory = self._directory
        self._packer.members = ffi.cast("struct ok_pack_member *", members)
        self._packer.text = ffi.cast("char *", text)
        self._packer.count = len(self._members)
        self._packer.fd = -1

    def close(self) -> None:
        """Let go of the file that is being read; twice is allowed."""
        if self._packer is not None:
            load().lib.ok_pack_close(self._packer)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
