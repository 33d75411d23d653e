"""Paths in a tree, with pathlib's habits."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import PurePath, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Literal, overload

from .. import errors
from ._glob import glob, split_pattern
from ._pure_path import PureTreePath

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator
    from typing import Self

    from ._tree import TextMode

__all__ = ["TreePath"]

_LINKS = 40
"""Symbolic links followed before ELOOP; the kernel's MAXSYMLINKS."""


class TreePath(PureTreePath):
    """A path in one tree, with the methods of :class:`pathlib.Path` as of Python 3.11, and 3.12's :meth:`walk`.

    :param tree: the tree.
    :param segments: joined as :class:`pathlib.PurePosixPath` joins them; ``str``, ``bytes``, pure paths or paths of the
        same tree. A segment that begins with a slash begins at the root again.

    Immutable and hashable. Paths of one tree (the same object) compare and sort by their parts; those of two trees are
    never equal and have no order. What differs from pathlib:

    - A path always begins at the root, and relative paths given to :meth:`rename`, :meth:`hardlink_to` and the like
      are taken from there: a tree has no current directory. So there is no ``cwd``, ``home`` or ``expanduser``, and
      :meth:`absolute` is the path itself.
    - What may be relative is a :class:`pathlib.PurePosixPath`: :meth:`readlink`, :meth:`relative_to`.
    - It is no :class:`os.PathLike`: taken for a path of this machine it would name another file. For libraries and
      subprocesses there is :attr:`host_path`.
    - Text is UTF-8, not the locale's encoding, where none is given.
    - Segments may be ``bytes``. Names that are not UTF-8 are surrogate-escaped.
    - :meth:`iterdir` raises at once, as of Python 3.13, and :meth:`resolve` reports loops as it does there.
    - :meth:`glob` answers as of Python 3.11 in every Python: ``**`` matches directories alone, and a link that leads
      nowhere is not found by its mere name.
    - There is no ``owner``, ``group``, ``is_mount`` or ``as_uri``: the users, mounts and names of this machine are not
      the tree's.
    - Errors are those of :class:`Tree`; ``filename`` is ``str(path)``.
    - Further methods: :meth:`chown`, :meth:`utime`, :meth:`truncate`, :meth:`rmtree`, and the extended attributes.
    """

    __slots__ = ()

    # -- what is there -------------------------------------------------------------------------------------------

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return the attributes; see :meth:`Tree.stat`."""
        return self._tree.stat(str(self._pure), follow_symlinks=follow_symlinks)

    def lstat(self) -> os.stat_result:
        """Return the attributes, not following a symbolic link."""
        return self.stat(follow_symlinks=False)

    def _is(self, kind: int, follow_symlinks: bool = True) -> bool:
        return self._format(follow_symlinks) == kind

    def _format(self, follow_symlinks: bool) -> int | None:
        if "\0" in str(self._pure):
            return None  # pathlib: what cannot exist does not
        try:
            return stat.S_IFMT(self.stat(follow_symlinks=follow_symlinks).st_mode)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Tell whether something is there; a dangling symbolic link is not, unless it is not followed."""
        return self._format(follow_symlinks) is not None

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Tell whether it is a directory."""
        return self._is(stat.S_IFDIR, follow_symlinks)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Tell whether it is a regular file."""
        return self._is(stat.S_IFREG, follow_symlinks)

    def is_symlink(self) -> bool:
        """Tell whether it is a symbolic link."""
        return self._is(stat.S_IFLNK, False)

    def is_fifo(self) -> bool:
        """Tell whether it is a FIFO."""
        return self._is(stat.S_IFIFO)

    def is_socket(self) -> bool:
        """Tell whether it is a socket."""
        return self._is(stat.S_IFSOCK)

    def is_block_device(self) -> bool:
        """Tell whether it is a block device."""
        return self._is(stat.S_IFBLK)

    def is_char_device(self) -> bool:
        """Tell whether it is a character device."""
        return self._is(stat.S_IFCHR)

    def samefile(self, other: str | bytes | PurePath | TreePath) -> bool:
        """Tell whether two paths, which may be of two trees, lead to one file."""
        if not isinstance(other, TreePath):
            other = type(self)(self._tree, other)
        return os.path.samestat(self.stat(), other.stat())

    def iterdir(self) -> Iterator[Self]:
        """Yield the paths in the directory, in no particular order."""
        return (self._from(self._pure / name) for name in self._tree.listdir(str(self._pure)))

    def glob(self, pattern: str) -> Iterator[Self]:
        """Yield the paths below that match a relative pattern; see :meth:`pathlib.Path.glob`.

        ``**`` matches the directory and all directories below it, symbolic links not followed.

        :raises ValueError: the pattern is empty, or has ``**`` as a piece of a component.
        :raises NotImplementedError: the pattern is absolute.
        """
        if not pattern:
            raise ValueError(f"Unacceptable pattern: {pattern!r}")
        return self._matching(split_pattern(pattern))

    def rglob(self, pattern: str) -> Iterator[Self]:
        """Yield the paths anywhere below that match: :meth:`glob` with ``**/`` before the pattern."""
        return self._matching(["**", *split_pattern(pattern)])

    def _matching(self, parts: list[str]) -> Iterator[Self]:
        return (self._from(PurePosixPath("/" + path)) for path in glob(self._tree, str(self._pure)[1:], parts))

    def walk(
        self,
        top_down: bool = True,
        on_error: Callable[[OSError], object] | None = None,
        follow_symlinks: bool = False,
    ) -> Iterator[tuple[Self, list[str], list[str]]]:
        """Walk the directory as ``pathlib.Path.walk`` of Python 3.12 does.

        :param on_error: called with the error of a directory that cannot be listed; without it that is passed over.
        """
        todo: list[Self | tuple[Self, list[str], list[str]]] = [self]
        while todo:
            item = todo.pop()
            if isinstance(item, tuple):
                yield item
                continue
            directories: list[str] = []
            others: list[str] = []
            try:
                for entry in self._tree.scandir(str(item._pure)):
                    (directories if entry.is_dir(follow_symlinks=follow_symlinks) else others).append(entry.name)
            except OSError as error:
                if isinstance(error, errors.StoreClosedError):
                    raise
                if on_error is not None:
                    on_error(error)
                continue
            level = (item, directories, others)
            if top_down:
                yield level
            else:
                todo.append(level)
            todo += [item._from(item._pure / name) for name in reversed(directories)]

    def readlink(self) -> PurePosixPath:
        """Return a symbolic link's target; verbatim, it is :meth:`Tree.readlink`'s."""
        return PurePosixPath(self._tree.readlink(str(self._pure)))

    def resolve(self, strict: bool = False) -> Self:
        """Return the path without symbolic links and ``..``, all resolved inside the root.

        :param strict: raise where a component does not exist or there are too many links (ELOOP), instead of taking
            the rest as it is.
        """
        pending = list(reversed(self._pure.parts[1:]))
        done = PurePosixPath("/")
        links = 0
        while pending:
            name = pending.pop()
            if name == "..":
                done = done.parent
                continue
            here = done / name
            try:
                target = self._tree.readlink(str(here))
            except OSError as error:
                # EINVAL: it exists and is no link.
                if error.errno != errno.EINVAL and (strict or error.errno not in (errno.ENOENT, errno.ENOTDIR)):
                    raise
                done = here
                continue
            links += 1
            if links > _LINKS:
                if strict:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(self._pure))
                done = here
                continue
            if target.startswith("/"):
                done = PurePosixPath("/")
            pending += [part for part in reversed(target.split("/")) if part not in ("", ".")]
        if strict:
            self._tree.stat(str(done), follow_symlinks=False)
        return self._from(done)

    # -- files ---------------------------------------------------------------------------------------------------

    @overload
    def open(
        self,
        mode: TextMode = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> io.TextIOWrapper: ...
    @overload
    def open(
        self,
        mode: Literal["rb"],
        buffering: int = -1,
        encoding: None = None,
        errors: None = None,
        newline: None = None,
    ) -> io.BufferedReader: ...
    @overload
    def open(
        self,
        mode: str,
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> IO[Any]: ...
    def open(
        self,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> object:
        """Open the file; see :meth:`Tree.open`."""
        return self._tree.open(str(self._pure), mode, buffering, encoding, errors, newline)

    def read_bytes(self) -> bytes:
        """Return the file's content."""
        return self._tree.read_bytes(str(self._pure))

    def write_bytes(self, data: bytes | bytearray | memoryview) -> int:
        """Create or truncate the file and write ``data``; return the number of bytes."""
        return self._tree.write_bytes(str(self._pure), data)

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        """Return the text of the file, every kind of line end as ``\\n``."""
        with self.open("r", encoding=encoding, errors=errors) as file:
            return file.read()

    def write_text(
        self, data: str, encoding: str | None = None, errors: str | None = None, newline: str | None = None
    ) -> int:
        """Create or truncate the file and write text; return the number of characters."""
        if not isinstance(data, str):
            raise TypeError(f"data must be str, not {type(data).__name__}")
        with self.open("w", encoding=encoding, errors=errors, newline=newline) as file:
            return file.write(data)

    def touch(self, mode: int = 0o666, exist_ok: bool = True) -> None:
        """Make the file, or with ``exist_ok`` set the times of one that exists to now."""
        if exist_ok:
            try:
                self._tree.utime(str(self._pure))
            except FileNotFoundError:
                pass
            else:
                return
        flags = os.O_CREAT | os.O_WRONLY | (0 if exist_ok else os.O_EXCL)
        self._tree.open_raw(str(self._pure), flags, mode).close()

    def truncate(self, length: int) -> None:
        """Cut or extend the file; see :meth:`Tree.truncate`."""
        self._tree.truncate(str(self._pure), length)

    # -- names ---------------------------------------------------------------------------------------------------

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Make the directory, and with ``parents`` what is missing above it."""
        if parents:
            self._tree.makedirs(str(self._pure), mode, exist_ok=exist_ok)
            return
        try:
            self._tree.mkdir(str(self._pure), mode)
        except OSError as error:
            # Not EEXIST alone: a read-only tree says EROFS first, though the directory is there.
            if not exist_ok or isinstance(error, FileNotFoundError) or not self.is_dir():
                raise

    def rmdir(self) -> None:
        """Remove the empty directory."""
        self._tree.rmdir(str(self._pure))

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the name, which is no directory."""
        try:
            self._tree.unlink(str(self._pure))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def rmtree(self) -> None:
        """Remove the directory and all below it; see :meth:`Tree.rmtree`."""
        self._tree.rmtree(str(self._pure))

    def rename(self, target: str | bytes | PurePath | TreePath) -> Self:
        """Rename; a relative target is taken from the root. Return the new path."""
        new = self._from(self._join(PurePosixPath("/"), (target,)))
        self._tree.rename(str(self._pure), str(new._pure))
        return new

    def replace(self, target: str | bytes | PurePath | TreePath) -> Self:
        """Rename, as :meth:`rename`: both replace what is there, as POSIX has it."""
        return self.rename(target)

    def symlink_to(self, target: str | bytes | PurePath | TreePath, target_is_directory: bool = False) -> None:
        """Make a symbolic link that holds ``target`` verbatim; a path of a tree is held from the root."""
        if isinstance(target, TreePath):
            self._segment(target)
        self._tree.symlink(target if isinstance(target, (str, bytes)) else str(target), str(self._pure))

    def hardlink_to(self, target: str | bytes | PurePath | TreePath) -> None:
        """Make a hard link to ``target``, taken from the root."""
        self._tree.link(str(self._join(PurePosixPath("/"), (target,))), str(self._pure))

    # -- attributes ----------------------------------------------------------------------------------------------

    def chmod(self, mode: int, *, follow_symlinks: bool = True) -> None:
        """Set the permission bits."""
        self._tree.chmod(str(self._pure), mode, follow_symlinks=follow_symlinks)

    def lchmod(self, mode: int) -> None:
        """Set the permission bits, not following a symbolic link."""
        self.chmod(mode, follow_symlinks=False)

    def chown(self, uid: int, gid: int, *, follow_symlinks: bool = True) -> None:
        """Set the owner; -1 leaves one as it is."""
        self._tree.chown(str(self._pure), uid, gid, follow_symlinks=follow_symlinks)

    def utime(self, *, ns: tuple[int, int] | None = None, follow_symlinks: bool = True) -> None:
        """Set access and modification time in nanoseconds; ``None`` is now."""
        self._tree.utime(str(self._pure), ns=ns, follow_symlinks=follow_symlinks)

    def getxattr(self, name: str, *, follow_symlinks: bool = True) -> bytes:
        """Return an extended attribute."""
        return self._tree.getxattr(str(self._pure), name, follow_symlinks=follow_symlinks)

    def setxattr(self, name: str, value: bytes, flags: int = 0, *, follow_symlinks: bool = True) -> None:
        """Set an extended attribute."""
        self._tree.setxattr(str(self._pure), name, value, flags, follow_symlinks=follow_symlinks)

    def listxattr(self, *, follow_symlinks: bool = True) -> list[str]:
        """Return the names of the extended attributes."""
        return self._tree.listxattr(str(self._pure), follow_symlinks=follow_symlinks)

    def removexattr(self, name: str, *, follow_symlinks: bool = True) -> None:
        """Remove an extended attribute."""
        self._tree.removexattr(str(self._pure), name, follow_symlinks=follow_symlinks)
