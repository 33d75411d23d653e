"""Files in and out of containers, one by one, with their attributes."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
import tempfile
from typing import TYPE_CHECKING, BinaryIO

from .. import errors
from ..tree import HostTree

if TYPE_CHECKING:
    from ..tree import Tree
    from ._store import ImageStore

__all__ = ["archive_in", "archive_out", "copy_in", "copy_out"]

_BLOCK = 1 << 20
_CAPABILITY = "security.capability"
_NOT_MINE = (errno.EPERM, errno.EACCES, errno.EINVAL, errno.EOPNOTSUPP)


def copy_in(tree: Tree, source: str | os.PathLike[str], path: str) -> None:
    """See :meth:`Container.copy_in`."""
    place = os.path.abspath(os.fspath(source))
    with _host(os.path.dirname(place)) as host:
        name = os.path.basename(place)
        if not name:
            raise errors.NotFoundError("the root directory of this machine cannot be copied: name what is in it")
        _check(host, name, place)
        _copy(host, name, tree, _target(tree, path, name))


def copy_out(tree: Tree, path: str, target: str | os.PathLike[str]) -> None:
    """See :meth:`Container.copy_out`."""
    source = _plain(path)
    _check(tree, source, path)
    place = os.path.abspath(os.fspath(target))
    name = posixpath.basename(source)
    into = os.path.isdir(place)
    with _host(place if into else os.path.dirname(place)) as host:
        if into:
            _copy(tree, source, host, name)
        else:
            _copy(tree, source, host, os.path.basename(place))


def archive_in(store: ImageStore, tree: Tree, source: BinaryIO, path: str) -> None:
    """Unpack a tar archive in a directory of a container."""
    target = _plain(path)
    if not stat.S_ISDIR(_check(tree, target, path, follow=True).st_mode):
        raise errors.NotFoundError(f"{path!r} in the container is no directory: an archive goes into one")
    with tempfile.NamedTemporaryFile(dir=store.path, prefix="cp-") as spool:
        while data := source.read(_BLOCK):
            spool.write(data)
        spool.flush()
        info = store.import_tree(spool.name, labels={"overlaykit.temporary": ""})
    try:
        with store.tree(info.key) as unpacked:
            for entry in sorted(unpacked.listdir()):
                _copy(unpacked, entry, tree, posixpath.join(target, entry))
    finally:
        store.remove(info.key)


def archive_out(store: ImageStore, tree: Tree, path: str, out: BinaryIO) -> None:
    """Write a tar archive of a path, under its last component."""
    from ..changeset import write_layer
    from ..tree import compare

    source = _plain(path)
    _check(tree, source, path)
    with store.snapshot() as working:
        names = sorted(tree.listdir()) if not source else [source]
        for name in names:
            _copy(tree, name, working.tree, posixpath.basename(name))
        changes = (change for change in compare(None, working.tree) if change.path != ".")
        write_layer(working.tree, changes, out)


def _host(directory: str) -> HostTree:
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise errors.NotFoundError(f"there is no directory {directory}: make it, or give another path") from None
    try:
        return HostTree(descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def _plain(path: str) -> str:
    return posixpath.normpath("/" + path).strip("/")


def _check(tree: Tree, path: str, shown: str, *, follow: bool = False) -> os.stat_result:
    try:
        return tree.stat(path, follow_symlinks=follow)
    except (FileNotFoundError, NotADirectoryError):
        raise errors.NotFoundError(f"there is no {shown!r} to copy: check the path") from None


def _target(tree: Tree, path: str, name: str) -> str:
    """Return what the copy will be called: as ``cp`` does it, inside a directory that is there."""
    target = _plain(path)
    try:
        inside = stat.S_ISDIR(tree.stat(target).st_mode)
    except FileNotFoundError:
        inside = False
        parent = posixpath.dirname(target)
        _check(tree, parent, "/" + parent, follow=True)
    if inside:
        return posixpath.join(target, name)
    if path.endswith("/"):
        raise errors.NotFoundError(f"there is no directory {path!r} in the container: make it, or leave out the '/'")
    return target


def _copy(source: Tree, name: str, target: Tree, place: str) -> None:
    """Copy a path; directories merge, anything else takes the place of what is there."""
    links: dict[tuple[int, int], str] = {}
    todo: list[tuple[str, str, os.stat_result | None]] = [(name, place, None)]
    while todo:
        old, new, finish = todo.pop()
        if finish is not None:
            _attributes(source, old, target, new, finish)
            continue
        status = source.stat(old, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            _directory(target, new)
            todo.append((old, new, status))
            names = sorted(source.listdir(old), reverse=True)
            todo += [(posixpath.join(old, one), posixpath.join(new, one), None) for one in names]
            continue
        if stat.S_ISSOCK(status.st_mode):
            continue
        _clear(target, new)
        file = status.st_dev, status.st_ino
        if status.st_nlink > 1 and file in links:
            target.link(links[file], new)
            continue
        if status.st_nlink > 1:
            links[file] = new
        _make(source, old, target, new, status)
        _attributes(source, old, target, new, status)


def _directory(tree: Tree, path: str) -> None:
    if not path:
        return
    try:
        tree.mkdir(path, 0o700)
    except FileExistsError:
        if not stat.S_ISDIR(tree.stat(path, follow_symlinks=False).st_mode):
            tree.unlink(path)
            tree.mkdir(path, 0o700)


def _clear(tree: Tree, path: str) -> None:
    try:
        status = tree.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(status.st_mode):
        raise errors.ExistsError(f"{path!r} is a directory, and what is copied there is none: remove it first")
    tree.unlink(path)


def _make(source: Tree, old: str, target: Tree, new: str, status: os.stat_result) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFLNK:
        target.symlink(source.readlink(old), new)
    elif kind == stat.S_IFREG:
        with (
            source.open_raw(old, os.O_RDONLY) as reading,
            target.open_raw(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600) as writing,
        ):
            while data := reading.read(_BLOCK):
                view = memoryview(data)
                while view:
                    view = view[writing.write(view) or 0 :]
    else:
        target.mknod(new, kind | 0o600, status.st_rdev)


def _attributes(source: Tree, old: str, target: Tree, new: str, status: os.stat_result) -> None:
    # In this order: a new owner clears setuid bits and the capability, attributes may need a mode that lets one write.
    try:
        target.chown(new, status.st_uid, status.st_gid, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NOT_MINE:
            raise
    names = source.listxattr(old, follow_symlinks=False)
    for name in sorted(names, key=lambda one: one == _CAPABILITY):
        if name == _CAPABILITY and not stat.S_ISLNK(status.st_mode):
            target.chmod(new, stat.S_IMODE(status.st_mode))
        try:
            target.setxattr(new, name, source.getxattr(old, name, follow_symlinks=False), follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NOT_MINE:
                raise
    if not stat.S_ISLNK(status.st_mode) and _CAPABILITY not in names:
        target.chmod(new, stat.S_IMODE(status.st_mode))
    target.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)
