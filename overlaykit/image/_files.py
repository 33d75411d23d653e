"""Files that an image is read from, by name: in a directory, or inside a tar archive without extracting it."""

from __future__ import annotations

import io
import os
import posixpath
import stat
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from .. import errors
from ._json import loads
from ._tar_index import MemberKind, read_index

if TYPE_CHECKING:
    from ..changeset import Limits
    from ._tar_index import Member

__all__ = ["DirectoryFiles", "Files", "TarFiles", "parse_json", "read_document"]

_MOST_LINKS = 40


class Files(Protocol):
    """Regular files by their names, which are relative and have plain components; thread-safe."""

    @property
    def origin(self) -> str:
        """What messages call it."""

    def size(self, name: str) -> int | None:
        """Return the bytes of a file, ``None`` where there is none.

        :raises ImageFormatError: there is something, and it is no regular file.
        """

    def open(self, name: str, offset: int = 0) -> BinaryIO:
        """Open a file that is there, to be read from an offset.

        :raises ImageFormatError: there is none.
        """

    def resolve(self, name: str) -> str:
        """Return the name of the file that a symbolic link of this name leads to, inside; the name itself for a file.

        :raises ImageFormatError: it leads out, or nowhere.
        """

    def close(self) -> None:
        """Let go of it; files that are open stay so."""


def read_document(files: Files, name: str, limits: Limits) -> Any:
    """Return what a file of JSON holds, ``None`` where there is no such file.

    :raises ImageFormatError: it is not JSON.
    :raises LimitError: it is larger than a document may be.
    """
    size = files.size(name)
    if size is None:
        return None
    limits.check("document", size, f"{name} in {files.origin} has more bytes")
    with files.open(name) as file:
        return parse_json(file.read(size), f"{name} in {files.origin}")


def parse_json(data: bytes, what: str) -> Any:
    """Return what JSON text holds.

    :param what: what it is, for messages.
    :raises ImageFormatError: it is not JSON in UTF-8, or nested deeper than anything honest is.
    """
    try:
        return loads(data)
    except ValueError as error:
        raise errors.ImageFormatError(f"{what} is not JSON: {error!s:.120}; make the archive again") from error


class DirectoryFiles(Files):
    """The files below a directory.

    :param path: the directory.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)

    @property
    def origin(self) -> str:
        return self._path

    def size(self, name: str) -> int | None:
        try:
            found = os.lstat(f"{self._path}/{name}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        self._check(name, found.st_mode)
        return found.st_size

    def open(self, name: str, offset: int = 0) -> BinaryIO:
        path = f"{self._path}/{name}"
        try:
            # Not blocking: it might have become a FIFO meanwhile.
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _missing(self, name) from error
        file = open(descriptor, "rb", buffering=0)  # noqa: SIM115  # it is handed on
        try:
            self._check(name, os.fstat(descriptor).st_mode)
            file.seek(offset)
        except BaseException:
            file.close()
            raise
        return file

    def resolve(self, name: str) -> str:
        return name

    def close(self) -> None:
        pass

    def _check(self, name: str, mode: int) -> None:
        if not stat.S_ISREG(mode):
            raise _no_file(self, name, "a symbolic link" if stat.S_ISLNK(mode) else "no regular file")


class TarFiles(Files):
    """The files inside a tar archive that is not compressed: opened where they stand.

    :param file: the archive, with a descriptor; it is closed with this.
    :param origin: what messages call it.
    :param limits: what is refused.
    :raises ImageFormatError: it is no tar archive, or a damaged one.
    """

    def __init__(self, file: BinaryIO, origin: str, limits: Limits) -> None:
        self._file = file
        self._origin = origin
        try:
            self._members = read_index(file.fileno(), os.fstat(file.fileno()).st_size, origin, limits)
        except BaseException:
            file.close()
            raise

    @property
    def origin(self) -> str:
        return self._origin

    @property
    def names(self) -> list[str]:
        """The names of everything in it, in its order."""
        return list(self._members)

    def size(self, name: str) -> int | None:
        member = self._find(name)
        return None if member is None else member.size

    def open(self, name: str, offset: int = 0) -> BinaryIO:
        member = self._find(name)
        if member is None:
            raise _missing(self, name)
        start = min(offset, member.size)
        descriptor = os.dup(self._file.fileno())
        # It has all that is used of a file that is read.
        return _Part(descriptor, member.offset + start, member.size - start)  # type: ignore[return-value]

    def resolve(self, name: str) -> str:
        for _ in range(_MOST_LINKS):
            member = self._members.get(name)
            if member is None or member.kind is not MemberKind.SYMLINK:
                return name
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.target))
            if target.startswith(("/", "../")) or target == "..":
                raise errors.ImageFormatError(
                    f"{name!r:.200} in {self._origin} links to {member.target!r:.200}, outside: do not trust it"
                )
            name = target
        raise errors.ImageFormatError(f"{name!r:.200} in {self._origin} is a loop of links: make the archive again")

    def close(self) -> None:
        self._file.close()

    def _find(self, name: str) -> Member | None:
        member = self._members.get(name)
        if member is not None and member.kind is not MemberKind.FILE:
            raise _no_file(self, name, f"a {member.kind}")
        return member


class _Part(io.RawIOBase):
    """A stretch of a file, read with pread: many can be read at once."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        self._descriptor = descriptor
        self._at = start
        self._end = start + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = os.preadv(self._descriptor, [view[: max(0, self._end - self._at)]], self._at)
        self._at += count
        return count

    def fileno(self) -> int:
        raise io.UnsupportedOperation("a part of an archive has no descriptor of its own")

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def _missing(files: Files, name: str) -> errors.ImageFormatError:
    return errors.ImageFormatError(
        f"{files.origin} has no {name!r:.200}: it was not written to its end; make or get it again"
    )


def _no_file(files: Files, name: str, kind: str) -> errors.ImageFormatError:
    return errors.ImageFormatError(f"{name!r:.200} in {files.origin} is {kind}: it has to be a plain file")
