"""The merged view of a snapshot: file operations rooted in it."""

from __future__ import annotations

import enum
import errno
import os
import stat as stat_module
from abc import ABC, abstractmethod

from .. import errors
from ._open import open_file

TYPE_CHECKING = False

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator
    from pathlib import PurePath
    from types import TracebackType
    from typing import IO, Any, Literal, Self, overload

    from ._entry import TreeEntry
    from ._path import TreePath

    TextMode = Literal["r", "w", "a", "x", "r+", "w+", "a+", "x+"]
else:
    TextMode = str

__all__ = ["RenameFlag", "StrOrBytesPath", "Tree"]

StrOrBytesPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]
"""What every path parameter takes."""


class RenameFlag(enum.IntFlag):
    """Flags of :meth:`Tree.rename`, with the values of renameat2(2)."""

    NONE = 0
    NOREPLACE = 1  #: fail with EEXIST where the destination exists
    EXCHANGE = 2  #: swap source and destination atomically


class Tree(ABC):
    """File operations rooted in one directory; the operations of :mod:`os`, with paths relative to the root.

    **Paths** are ``str``, ``bytes`` or path-like; a leading slash is ignored, ``""``, ``"."`` and ``"/"`` are the root.
    Symbolic links, absolute ones and ``..`` included, resolve inside the root and cannot leave it (as openat2(2) does
    with ``RESOLVE_IN_ROOT``). Names that are not UTF-8 come out surrogate-escaped, as from :func:`os.fsdecode`.

    **Errors** are :class:`OSError` with the errno that ext4 would give, ``filename`` set to the path as the caller gave
    it, the same in every driver. In a read-only tree every write is EROFS; on a closed tree every operation is a
    :class:`~overlaykit.errors.StoreClosedError` (EBADF).

    **Modes** given at creation are reduced by the process's umask, as everywhere in POSIX. Drivers without a file
    system below take the umask once, when they are opened.

    A tree is a context manager; leaving closes it. Its methods may be called from many threads at once. A subclass
    implements the abstract methods; the others have correct defaults on top of those, to be overridden for speed.
    """

    # -- what a driver must provide ------------------------------------------------------------------------------

    @property
    @abstractmethod
    def readonly(self) -> bool:
        """Whether every write fails with EROFS."""

    @property
    @abstractmethod
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the tree. Closing twice is allowed. Files opened from it stay usable."""

    @abstractmethod
    def open_raw(self, path: StrOrBytesPath, flags: int, mode: int = 0o666) -> io.RawIOBase:
        """Open a file, unbuffered; the tree's openat(2).

        :param path: the file.
        :param flags: ``os.O_*``: the access mode with ``O_CREAT``, ``O_EXCL``, ``O_TRUNC``, ``O_APPEND``,
            ``O_NOFOLLOW``, ``O_DIRECTORY`` (listing aside, only to fail rightly) and, with ``Capability.TMPFILE``,
            ``O_TMPFILE``. ``O_CLOEXEC`` is implied.
        :param mode: permission bits of a file that is created, before the umask.
        :returns: a raw binary file that the caller closes. Drivers with ``Capability.HOST_PATH`` return one with a
            real ``fileno()``; others raise :class:`io.UnsupportedOperation` there.
        :raises OSError: as open(2): ENOENT, EEXIST, EISDIR, ENOTDIR, ELOOP, ENAMETOOLONG, EROFS, EACCES ...
        """

    @abstractmethod
    def stat(self, path: StrOrBytesPath = "", *, follow_symlinks: bool = True) -> os.stat_result:
        """Return the attributes of a path, ``st_*_ns``, ``st_rdev``, ``st_blocks`` and ``st_blksize`` included."""

    @abstractmethod
    def scandir(self, path: StrOrBytesPath = "") -> Iterator[TreeEntry]:
        """List a directory in no particular order, without ``.`` and ``..``, each name once.

        :raises NotADirectoryError: at once, not at the first ``next()``; so are the other errors of opening.
        """

    @abstractmethod
    def mkdir(self, path: StrOrBytesPath, mode: int = 0o777) -> None:
        """Make a directory; see :func:`os.mkdir`."""

    @abstractmethod
    def rmdir(self, path: StrOrBytesPath) -> None:
        """Remove an empty directory; ENOTEMPTY, ENOTDIR; EBUSY for the root."""

    @abstractmethod
    def unlink(self, path: StrOrBytesPath) -> None:
        """Remove a name that is no directory; EISDIR for a directory, as Linux has it."""

    @abstractmethod
    def rename(self, src: StrOrBytesPath, dst: StrOrBytesPath, *, flags: RenameFlag = RenameFlag.NONE) -> None:
        """Rename as renameat2(2) does, replacing a destination that exists where POSIX allows it.

        Directories that come from a layer below rename like any other: there is no EXDEV.
        """

    @abstractmethod
    def link(self, src: StrOrBytesPath, dst: StrOrBytesPath) -> None:
        """Make a hard link; a symbolic link is linked itself, not followed. EPERM for a directory."""

    @abstractmethod
    def symlink(self, target: str | bytes, path: StrOrBytesPath) -> None:
        """Make a symbolic link at ``path`` that holds ``target`` verbatim."""

    @abstractmethod
    def readlink(self, path: StrOrBytesPath) -> str:
        """Return a symbolic link's target verbatim; EINVAL where it is none."""

    @abstractmethod
    def chmod(self, path: StrOrBytesPath, mode: int, *, follow_symlinks: bool = True) -> None:
        """Set the permission bits; of a symbolic link itself: EOPNOTSUPP, as Linux has it."""

    @abstractmethod
    def chown(self, path: StrOrBytesPath, uid: int, gid: int, *, follow_symlinks: bool = True) -> None:
        """Set the owner; -1 leaves one as it is. EPERM where the caller may not (no ``Capability.OWNERSHIP``)."""

    @abstractmethod
    def utime(self, path: StrOrBytesPath, *, ns: tuple[int, int] | None = None, follow_symlinks: bool = True) -> None:
        """Set access and modification time.

        :param ns: both in nanoseconds since the epoch; ``None`` is now.
        """

    @abstractmethod
    def truncate(self, path: StrOrBytesPath, length: int) -> None:
        """Cut or extend a regular file to ``length`` bytes."""

    @abstractmethod
    def mknod(self, path: StrOrBytesPath, mode: int, device: int = 0) -> None:
        """Make a FIFO, a socket node, an empty regular file or, with ``Capability.DEVICE_NODES``, a device node.

        A character device 0:0 is EPERM in every driver: it is the whiteout of the kernel's overlayfs.
        """

    @abstractmethod
    def getxattr(self, path: StrOrBytesPath, name: str, *, follow_symlinks: bool = True) -> bytes:
        """Return an extended attribute; ENODATA where there is none."""

    @abstractmethod
    def setxattr(
        self, path: StrOrBytesPath, name: str, value: bytes, flags: int = 0, *, follow_symlinks: bool = True
    ) -> None:
        """Set an extended attribute.

        :param flags: 0, :data:`os.XATTR_CREATE` (1) or :data:`os.XATTR_REPLACE` (2).
        """

    @abstractmethod
    def listxattr(self, path: StrOrBytesPath = "", *, follow_symlinks: bool = True) -> list[str]:
        """Return the names of the extended attributes, sorted; a driver's private ones are never among them."""

    @abstractmethod
    def removexattr(self, path: StrOrBytesPath, name: str, *, follow_symlinks: bool = True) -> None:
        """Remove an extended attribute; ENODATA where there is none."""

    @abstractmethod
    def statvfs(self) -> os.statvfs_result:
        """Return the figures of the storage that takes the writes."""

    # -- what has a default --------------------------------------------------------------------------------------

    def seal(self) -> None:
        """Make the tree read-only for good, before its snapshot is committed.

        The default does nothing: a driver that cannot know of files left open for writing cannot refuse.

        :raises LayerInUseError: a file in it is still open for writing.
        """

    def unseal(self) -> None:
        """Undo :meth:`seal`: the commit did not take place, and the tree goes on.

        The default does nothing, as that of :meth:`seal`; whoever overrides one overrides both.
        """

    @property
    def host_path(self) -> str:
        """A real path of the root for any library or subprocess, valid as long as the tree is open.

        Through it symbolic links resolve against the process's root, not the tree's.

        :raises CapabilityError: the driver does not declare ``Capability.HOST_PATH``.
        """
        raise errors.CapabilityError(
            f"{type(self).__name__} has no path on the host; use a driver with the capability host-path",
            capability="host-path",
        )

    if TYPE_CHECKING:

        @overload
        def open(
            self,
            path: StrOrBytesPath,
            mode: TextMode = "r",
            buffering: int = -1,
            encoding: str | None = None,
            errors: str | None = None,
            newline: str | None = None,
            *,
            permissions: int = 0o666,
        ) -> io.TextIOWrapper: ...
        @overload
        def open(
            self,
            path: StrOrBytesPath,
            mode: Literal["rb"],
            buffering: int = -1,
            encoding: None = None,
            errors: None = None,
            newline: None = None,
            *,
            permissions: int = 0o666,
        ) -> io.BufferedReader: ...
        @overload
        def open(
            self,
            path: StrOrBytesPath,
            mode: str,
            buffering: int = -1,
            encoding: str | None = None,
            errors: str | None = None,
            newline: str | None = None,
            *,
            permissions: int = 0o666,
        ) -> IO[Any]: ...

    def open(
        self,
        path: StrOrBytesPath,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        *,
        permissions: int = 0o666,
    ) -> object:
        """Open a file with the habits of the built-in :func:`open`; text is UTF-8 unless told otherwise.

        :param permissions: permission bits of a file that is created, before the umask.
        """
        return open_file(self.open_raw, path, mode, buffering, encoding, errors, newline, permissions)

    def lstat(self, path: StrOrBytesPath) -> os.stat_result:
        """Return the attributes of a path, not following a symbolic link at its end."""
        return self.stat(path, follow_symlinks=False)

    def listdir(self, path: StrOrBytesPath = "") -> list[str]:
        """Return the names in a directory, in no particular order."""
        return [entry.name for entry in self.scandir(path)]

    def read_bytes(self, path: StrOrBytesPath) -> bytes:
        """Return the content of a file."""
        with self.open_raw(path, os.O_RDONLY) as file:
            return file.readall()

    def write_bytes(self, path: StrOrBytesPath, data: bytes | bytearray | memoryview) -> int:
        """Create or truncate a file and write ``data`` to it; return the number of bytes."""
        view = memoryview(data).cast("B")
        with self.open_raw(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as file:
            done = 0
            while done < len(view):
                done += file.write(view[done:]) or 0
        return done

    def read_text(self, path: StrOrBytesPath, encoding: str = "utf-8") -> str:
        """Return the content of a text file, newlines untouched."""
        return self.read_bytes(path).decode(encoding)

    def write_text(self, path: StrOrBytesPath, text: str, encoding: str = "utf-8") -> int:
        """Create or truncate a file and write ``text`` to it; return the number of bytes."""
        return self.write_bytes(path, text.encode(encoding))

    def exists(self, path: StrOrBytesPath, *, follow_symlinks: bool = True) -> bool:
        """Tell whether the path exists; a dangling symbolic link does not, unless it is not followed."""
        return self._format(path, follow_symlinks) is not None

    def is_dir(self, path: StrOrBytesPath, *, follow_symlinks: bool = True) -> bool:
        """Tell whether the path is a directory."""
        return self._format(path, follow_symlinks) == stat_module.S_IFDIR

    def is_file(self, path: StrOrBytesPath, *, follow_symlinks: bool = True) -> bool:
        """Tell whether the path is a regular file."""
        return self._format(path, follow_symlinks) == stat_module.S_IFREG

    def is_symlink(self, path: StrOrBytesPath) -> bool:
        """Tell whether the path is a symbolic link."""
        return self._format(path, False) == stat_module.S_IFLNK

    def _format(self, path: StrOrBytesPath, follow_symlinks: bool) -> int | None:
        try:
            return stat_module.S_IFMT(self.stat(path, follow_symlinks=follow_symlinks).st_mode)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise

    def makedirs(self, path: StrOrBytesPath, mode: int = 0o777, *, exist_ok: bool = False) -> None:
        """Make a directory and what is missing above it; see :func:`os.makedirs`."""
        from ._operations import makedirs

        makedirs(self, path, mode, exist_ok)

    def walk(
        self, top: StrOrBytesPath = "", *, topdown: bool = True
    ) -> Iterator[tuple[str, list[TreeEntry], list[TreeEntry]]]:
        """Walk a tree as :func:`os.walk` does, never following symbolic links.

        :returns: triples of a directory's path from the root (``""`` for the root), the entries that are
            directories and the rest. Top-down, deleting from the list of directories prunes the walk. Errors raise.
        """
        from ._operations import walk

        return walk(self, top, topdown)

    def rmtree(self, path: StrOrBytesPath) -> None:
        """Remove a directory and all below it, never following symbolic links; the first error raises.

        For the root only its content is removed.
        """
        from ._operations import rmtree

        rmtree(self, path)

    @property
    def root(self) -> TreePath:
        """The root as a :class:`TreePath`."""
        from ._path import TreePath

        return TreePath(self)

    def __truediv__(self, path: str | bytes | PurePath | TreePath) -> TreePath:
        """Return the :class:`TreePath` at ``path``."""
        return self.root / path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
