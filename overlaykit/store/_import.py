"""A directory or an archive becomes a committed snapshot."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import IO, TYPE_CHECKING, Final

from .. import errors

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ..driver import SnapshotInfo
    from ..tree import Tree
    from ._store import Store

__all__ = ["Importer", "import_tree", "unpack_archive"]

CHUNK: Final = 1 << 20

_CAPABILITY: Final = "security.capability"
_NOT_MINE: Final = (errno.EPERM, errno.EINVAL, errno.EOVERFLOW)
_NO_XATTR: Final = (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.EINVAL)


def import_tree(
    store: Store,
    source: str | os.PathLike[str],
    name: str | None,
    labels: dict[str, str],
    progress: Callable[[int, int], None] | None,
) -> SnapshotInfo:
    """See :meth:`Store.import_tree`."""
    path = os.fsdecode(source)
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise errors.NotFoundError(f"there is nothing to import at {path}: give a directory or an archive") from error
    if name is not None:
        store._engine.check_free(name)
    with _typed(path, store), store.snapshot() as working:
        importer = Importer(working.tree, progress)
        if stat.S_ISDIR(found.st_mode):
            from ._import_directory import import_directory
            from ._import_native import import_natively

            if not import_natively(path, importer):
                import_directory(path, importer)
        elif not stat.S_ISREG(found.st_mode):
            raise errors.ImportSourceError(f"{path} is neither a directory nor a regular file: give one of these")
        else:
            from ._import_tar import import_tar

            _check_space(working.tree, found.st_size, path, store)
            with open(path, "rb") as file:
                import_tar(file, path, importer)
        return working.commit(name, labels={**importer.labels(), **labels})


def unpack_archive(file: IO[bytes], into: Tree, name: str, store: Store) -> None:
    """Write what is in a tar archive into an empty tree, as :meth:`Store.import_tree` does it.

    :param file: the archive, plain or compressed (gzip, bzip2, xz), at its beginning.
    :param name: what errors call it.
    :param store: whose tree it is.
    :raises ImportSourceError: it is none, or a damaged one.
    :raises StoreFullError: it does not fit.
    """
    from ._import_tar import import_tar

    with _typed(name, store):
        _check_space(into, os.fstat(file.fileno()).st_size, name, store)
        import_tar(file, name, Importer(into, None))


@contextlib.contextmanager
def _typed(path: str, store: Store) -> Iterator[None]:
    try:
        yield
    except errors.OverlaykitError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise errors.StoreFullError(
                f"{path} does not fit into the file system of {_place(store)}: remove snapshots or other files"
            ) from error
        raise


def _check_space(tree: Tree, size: int, path: str, store: Store) -> None:
    # No archive unpacks to less than its own size but for its headers; holes and reflinks do not come from one.
    figures = tree.statvfs()
    free = figures.f_bavail * figures.f_frsize
    if figures.f_blocks and free < size * 9 // 10:
        raise errors.StoreFullError(
            f"{path} has {size} bytes and the file system of {_place(store)} only {free} left: remove snapshots or "
            "other files"
        )


def _place(store: Store) -> str:
    return str(store.path or "the store in memory")


class Importer:
    """Writes entries into a tree and counts what could not be set.

    :param tree: the tree, empty.
    :param progress: called now and then with the number of entries and of bytes written.
    """

    def __init__(self, tree: Tree, progress: Callable[[int, int], None] | None) -> None:
        self.tree = tree
        self._progress = progress
        self._owner = os.geteuid(), os.getegid()
        self.entries = 0
        self.bytes = 0
        self.left_out = {"owners": 0, "devices": 0, "xattrs": 0}

    def labels(self) -> dict[str, str]:
        """Return what was left out, as labels of the snapshot."""
        return {f"overlaykit.import.{what}": str(count) for what, count in self.left_out.items() if count}

    def count(self, size: int = 0) -> None:
        """Count an entry."""
        self.entries += 1
        self.bytes += size
        if self._progress is not None and (self.entries % 256 == 0 or size >= CHUNK):
            self._progress(self.entries, self.bytes)

    def report(self, entries: int, size: int) -> None:
        """Tell of entries and bytes that were counted elsewhere."""
        if self._progress is not None:
            self._progress(entries, size)

    def finish(self) -> None:
        """Tell of the last figures."""
        self.report(self.entries, self.bytes)

    def whiteout(self, path: str) -> errors.ImportSourceError:
        """Return the error for overlayfs's whiteout, which is no content."""
        return errors.ImportSourceError(
            f"{path!r} is a character device 0:0, overlayfs's mark of a deleted file: import the merged tree"
        )

    def set_attributes(
        self,
        path: str,
        mode: int,
        owner: tuple[int, int],
        mtime: int,
        xattrs: Mapping[str, bytes],
    ) -> None:
        """Set an entry's owner, extended attributes, mode, file capability and time, in the order in which they last.

        :param mode: the whole ``st_mode``.
        :param mtime: nanoseconds since the epoch.
        """
        link = stat.S_ISLNK(mode)
        if owner != self._owner:
            try:
                self.tree.chown(path, *owner, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _NOT_MINE:
                    raise
                self.left_out["owners"] += 1
        self._set_xattrs(path, ((name, value) for name, value in xattrs.items() if name != _CAPABILITY))
        if not link:
            self.tree.chmod(path, stat.S_IMODE(mode))
        if _CAPABILITY in xattrs:
            self._set_xattrs(path, [(_CAPABILITY, xattrs[_CAPABILITY])])
        self.tree.utime(path, ns=(mtime, mtime), follow_symlinks=False)

    def _set_xattrs(self, path: str, xattrs: Iterable[tuple[str, bytes]]) -> None:
        for name, value in xattrs:
            try:
                self.tree.setxattr(path, name, value, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _NO_XATTR:
                    raise
                self.left_out["xattrs"] += 1

    def make_node(self, path: str, mode: int, device: int) -> bool:
        """Make a FIFO, a socket node or a device node; tell whether it was made or had to be left out.

        :raises ImportSourceError: it is overlayfs's whiteout, which is no content.
        """
        if stat.S_ISCHR(mode) and device == 0:
            raise self.whiteout(path)
        try:
            self.tree.mknod(path, stat.S_IFMT(mode) | 0o600, device)
        except PermissionError as error:
            if not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)) or error.errno != errno.EPERM:
                raise
            self.left_out["devices"] += 1
            return False
        return True

    def write(self, path: str, source: IO[bytes], segments: Iterable[tuple[int, int]], size: int) -> None:
        """Make a regular file.

        :param source: what to read.
        :param segments: offset and length of each stretch that is no hole, in order.
        :param size: the file's length.
        :raises EOFError: the source ended too early.
        """
        with self.tree.open_raw(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600) as target:
            end = 0
            for offset, length in segments:
                if offset != end:
                    source.seek(offset)
                    target.seek(offset)
                self._copy(source, target, length)
                end = offset + length
            if end < size:
                target.truncate(size)

    def _copy(self, source: IO[bytes], target: io.RawIOBase, length: int) -> None:
        while length:
            chunk = source.read(min(length, CHUNK))
            if not chunk:
                raise EOFError(f"{length} bytes are missing")
            length -= len(chunk)
            view = memoryview(chunk)
            while view:
                view = view[target.write(view) or 0 :]
