"""The seam between the one state machine that applies layers and the storage of a driver."""

from __future__ import annotations

import enum
import stat
from abc import ABC, abstractmethod

from ..values import value_class

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Protocol, Self
else:
    Protocol = object

__all__ = [
    "FORMATS",
    "FileRun",
    "FileSink",
    "Heirs",
    "LayerWriter",
    "NodeAttributes",
    "NodeKind",
    "hidden_paths",
    "join_path",
]


class NodeKind(enum.StrEnum):
    """What a layer can hold besides hard links."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    FIFO = "fifo"
    CHARACTER = "character"
    BLOCK = "block"


FORMATS = {NodeKind.FIFO: stat.S_IFIFO, NodeKind.CHARACTER: stat.S_IFCHR, NodeKind.BLOCK: stat.S_IFBLK}
"""The format of what mknod(2) makes."""


def join_path(directory: bytes, name: bytes) -> bytes:
    """Return the path of a name in a directory, as writers are given it."""
    return directory + b"/" + name if directory else name


def hidden_paths(
    path: bytes, keep: Iterable[bytes], children: Callable[[bytes], Iterable[tuple[bytes, bool]]]
) -> Iterator[bytes]:
    """Yield what :meth:`LayerWriter.hide_children` makes disappear, of a tree that has to go only its top.

    :param path: as the method gets it.
    :param keep: likewise.
    :param children: returns the names in a directory, each with whether it is a directory. A directory's are asked for
        once, before the first of them is yielded: what was yielded may be taken away at once.
    """
    kept = set(keep)
    pending = [path]
    while pending:
        directory = pending.pop()
        for name, is_directory in list(children(directory)):
            child = join_path(directory, name)
            if child not in kept:
                yield child
            elif is_directory:
                pending.append(child)


@value_class
class NodeAttributes:
    """The attributes of one object of a layer.

    :param mode: permission bits with set-uid, set-gid and sticky, without the type.
    :param uid: the owner, 0 to 2**32 - 2.
    :param gid: the group, likewise.
    :param mtime: the modification time in nanoseconds since the epoch; may be negative.
    :param xattrs: extended attributes, name to value, in the order of the archive; names as the tree shows them.
    """

    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    xattrs: tuple[tuple[bytes, bytes], ...] = ()


class Heirs:
    """Directories with a default ACL, which what is made in them would inherit; a layer says all that is there."""

    def __init__(self) -> None:
        self._paths: set[bytes] = set()

    def note(self, path: bytes, attributes: NodeAttributes) -> None:
        """Note what a directory is given."""
        if any(name == b"system.posix_acl_default" for name, _ in attributes.xattrs):
            self._paths.add(path)
        else:
            self._paths.discard(path)

    def holds(self, path: bytes) -> bool:
        """Tell whether a directory has one."""
        return path in self._paths

    def reaches(self, path: bytes) -> bool:
        """Tell whether what is made at a path inherits something."""
        return bool(self._paths) and path.rpartition(b"/")[0] in self._paths


class FileSink(Protocol):
    """A regular file being written."""

    def write(self, data: memoryview | bytes) -> None:
        """Append all of the bytes."""

    def skip(self, length: int) -> None:
        """Append a hole of ``length`` bytes."""

    def close(self) -> None:
        """Settle the length, the attributes and the times, and close; twice is allowed."""


class FileRun(Protocol):
    """Regular files one after another in one directory, whole in memory, without extended attributes.

    The names are plain (no slash, not ``.``, ``..`` or empty, no ``.wh.`` in front) and may occur twice: the last wins.
    """

    @property
    def names(self) -> list[bytes]:
        """The names, in order."""

    def files(self) -> Iterator[tuple[bytes, NodeAttributes, memoryview]]:
        """Yield name, attributes and content of each."""

    def write_to(self, directory: int, *, owners: bool = True, kept: bool = False) -> None:
        """Write all of them below a directory's descriptor in one call of the native module, replacing what is there.

        :param owners: set owner and group, which takes privileges.
        :param kept: keep owner and mode in ``user.containers.override_stat`` instead, as
            :class:`~overlaykit.tree.MappedTree` shows them.
        :raises OSError: the first that could not be written; ``filename`` is its path in the archive.
        """


class LayerWriter(ABC):
    """Puts one layer into a fresh active snapshot; :meth:`overlaykit.driver.Driver.writer` makes one.

    Whoever calls has done the thinking: what hides what, which symbolic links lead where, what is hostile. A writer
    only stores decisions in its driver's way.

    **Paths** are ``bytes``, relative to the root, normal (no empty, ``.`` or ``..`` component), at most
    :data:`os.pathconf`'s component length a name but any length in all; ``b""`` is the root. Every parent of a path
    was given to :meth:`directory` before, in this writer, or is the root: no parent is a symbolic link.

    **What is in the way** of a new object goes away first, a whole tree where it is one; but a directory that is
    given for a directory stays, with its children, and takes the new attributes. A directory that was given to
    :meth:`directory` is taken away by :meth:`remove` before something else comes to its place.

    **Times** of directories are set last, by :meth:`settle`: what is written below changes them.

    A writer is used by one thread. It raises :class:`OSError`. It is a context manager; leaving closes it.
    """

    @abstractmethod
    def directory(self, path: bytes, attributes: NodeAttributes) -> None:
        """Make a directory, or give one that is there, in this layer or below, these attributes.

        In the snapshot it holds afterwards what it held, and what a lower layer's directory of that path holds.
        """

    @abstractmethod
    def file(self, path: bytes, attributes: NodeAttributes, size: int) -> FileSink:
        """Make a regular file whose content follows.

        :param size: its length in bytes, holes included, for those who want to reserve.
        """

    def files(self, directory: bytes, run: FileRun) -> None:
        """Make several small files in one directory; the default makes them one by one."""
        for name, attributes, data in run.files():
            sink = self.file(join_path(directory, name), attributes, len(data))
            try:
                sink.write(data)
            finally:
                sink.close()

    @abstractmethod
    def symlink(self, path: bytes, target: bytes, attributes: NodeAttributes) -> None:
        """Make a symbolic link that holds ``target`` verbatim."""

    @abstractmethod
    def node(self, path: bytes, kind: NodeKind, attributes: NodeAttributes, device: int) -> None:
        """Make a FIFO or a device node.

        :param device: the device number as :func:`os.makedev` gives it; 0 for a FIFO.
        :raises PermissionError: the caller may not make device nodes.
        """

    @abstractmethod
    def link(self, path: bytes, target: bytes) -> None:
        """Make a hard link to an object of the merged tree that is no directory, of this layer or of one below.

        The target keeps all its names and attributes; a symbolic link is linked itself.
        """

    @abstractmethod
    def hide(self, path: bytes) -> None:
        """Make a name of the layers below disappear, a whole tree where it is one. This layer wrote nothing there."""

    @abstractmethod
    def hide_children(self, path: bytes, keep: Iterable[bytes]) -> None:
        """Make everything below a directory disappear that comes from a lower layer, at any depth.

        :param path: a directory that was given to :meth:`directory`, or the root.
        :param keep: the paths below it that this layer wrote, in tree order; they stay, and only they.
        """

    @abstractmethod
    def remove(self, path: bytes) -> None:
        """Take away what this layer wrote at a path, a whole tree where it is one; what is below shows again there.

        Only asked for a path that something else is about to take.
        """

    @abstractmethod
    def settle(self, directories: Iterable[tuple[bytes, int]]) -> None:
        """Set the times of directories, after which nothing is written any more.

        :param directories: path and modification time in nanoseconds, deepest first.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of everything; twice is allowed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
