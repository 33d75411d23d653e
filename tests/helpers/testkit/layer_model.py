"""Layers as lists of entries, their archives, and what they must give: the rules of layers in the plainest way.

The model knows all entries of a layer before it begins. It takes away what the whiteouts hide, then does one entry
after the other. It follows symbolic links itself and knows nothing of files, descriptors or drivers.
"""

from __future__ import annotations

import copy
import io
import stat
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

__all__ = [
    "Entry",
    "Refused",
    "Thing",
    "archive",
    "block",
    "char",
    "d",
    "described",
    "f",
    "fifo",
    "h",
    "model",
    "o",
    "s",
    "w",
]

TIME = 1_500_000_000


@dataclass(frozen=True)
class Entry:
    """One entry of a layer."""

    kind: str
    path: bytes
    data: bytes = b""
    target: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: float = TIME
    device: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[str, str], ...] = ()


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def f(path: str | bytes, data: str | bytes = "", **more: Any) -> Entry:
    """Return a file."""
    return replace(Entry("file", _bytes(path), _bytes(data)), **more)


def d(path: str | bytes, **more: Any) -> Entry:
    """Return a directory."""
    return replace(Entry("directory", _bytes(path), mode=0o755), **more)


def s(path: str | bytes, target: str | bytes, **more: Any) -> Entry:
    """Return a symbolic link."""
    return replace(Entry("symlink", _bytes(path), target=_bytes(target), mode=0o777), **more)


def h(path: str | bytes, target: str | bytes) -> Entry:
    """Return a hard link."""
    return Entry("hardlink", _bytes(path), target=_bytes(target))


def w(path: str | bytes) -> Entry:
    """Return a whiteout of a path."""
    parent, slash, name = _bytes(path).rpartition(b"/")
    return Entry("file", parent + slash + b".wh." + name)


def o(path: str | bytes = "") -> Entry:
    """Return the opaque marker of a directory."""
    return Entry("file", (_bytes(path) + b"/" if path else b"") + b".wh..wh..opq")


def fifo(path: str) -> Entry:
    """Return a FIFO."""
    return Entry("fifo", _bytes(path))


def char(path: str, major: int, minor: int) -> Entry:
    """Return a character device."""
    return Entry("character", _bytes(path), device=(major, minor))


def block(path: str, major: int, minor: int) -> Entry:
    """Return a block device."""
    return Entry("block", _bytes(path), device=(major, minor))


_TYPES = {
    "file": tarfile.REGTYPE,
    "directory": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "fifo": tarfile.FIFOTYPE,
    "character": tarfile.CHRTYPE,
    "block": tarfile.BLKTYPE,
}


def archive(entries: Iterable[Entry]) -> bytes:
    """Return a layer's archive, uncompressed."""
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w:", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape"
    ) as tar:
        for entry in entries:
            made = tarfile.TarInfo(entry.path.decode("utf-8", "surrogateescape"))
            made.type = _TYPES[entry.kind]
            made.mode, made.uid, made.gid, made.mtime = entry.mode, entry.uid, entry.gid, entry.mtime
            made.linkname = entry.target.decode("utf-8", "surrogateescape")
            made.devmajor, made.devminor = entry.device
            made.size = len(entry.data)
            made.pax_headers = {f"SCHILY.xattr.{name}": value for name, value in entry.xattrs}
            tar.addfile(made, io.BytesIO(entry.data))
    return out.getvalue()


class Refused(Exception):
    """No layer may be so."""


@dataclass
class Thing:
    """An object of a tree; two names of one object are a hard link."""

    kind: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime: float = 0
    xattrs: tuple[tuple[str, str], ...] = ()
    data: bytes = b""
    target: bytes = b""
    device: tuple[int, int] = (0, 0)
    children: dict[bytes, Thing] = field(default_factory=dict)


def _of(entry: Entry) -> Thing:
    return Thing(
        entry.kind,
        entry.mode,
        entry.uid,
        entry.gid,
        entry.mtime,
        tuple(sorted(entry.xattrs)),
        entry.data,
        entry.target,
        entry.device,
    )


def model(layers: Iterable[Sequence[Entry]]) -> Thing:
    """Return what a stack of layers gives, the lowest first.

    :raises Refused: a layer of it must be refused.
    """
    root = Thing("directory")
    for layer in layers:
        root = copy.deepcopy(root)
        for entry in sorted((e for e in layer if _is_whiteout(e.path)), key=lambda e: (e.path.count(b"/"), e.path)):
            _hide(root, entry.path)
        for entry in layer:
            if not _is_whiteout(entry.path):
                _put(root, entry)
    return root


def _names(path: bytes) -> list[bytes]:
    names = [name for name in path.split(b"/") if name not in (b"", b".")]
    if any(len(name) > 255 for name in names) or any(n[:4] == b".wh." and n[:8] != b".wh..wh." for n in names[:-1]):
        raise Refused
    return names


def _is_whiteout(path: bytes) -> bool:
    return path.rstrip(b"/").rpartition(b"/")[2].startswith(b".wh.")


def _walk(root: Thing, names: list[bytes], *, making: bool) -> Thing | None:
    """Follow a path of directories inside the root."""
    way, pending, links = [root], names[::-1], 0
    while pending:
        name = pending.pop()
        if name in (b"", b"."):
            continue
        if name == b"..":
            way = way[:-1] or [root]
            continue
        found = way[-1].children.get(name)
        if found is not None and found.kind == "symlink":
            links += 1
            if links > 40 and making:
                raise Refused
            if links > 40:
                return None
            if found.target.startswith(b"/"):
                way = [root]
            pending += found.target.split(b"/")[::-1]
            continue
        if found is None or found.kind != "directory":
            if not making:
                return None
            found = way[-1].children[name] = Thing("directory")
        way.append(found)
    return way[-1]


def _hide(root: Thing, path: bytes) -> None:
    *parents, name = _names(path)
    if name.startswith(b".wh..wh.") and name != b".wh..wh..opq":
        return
    if name[4:] in (b"", b".", b".."):
        raise Refused
    directory = _walk(root, parents, making=False)
    if directory is None:
        return
    if name == b".wh..wh..opq":
        directory.children.clear()
    else:
        directory.children.pop(name[4:], None)


def _put(root: Thing, entry: Entry) -> None:
    names = _names(entry.path)
    if not names or names[-1] == b"..":
        if entry.kind != "directory":
            raise Refused
        place = _walk(root, names, making=True)
        assert place is not None
        _dress(place, entry)
        return
    *parents, name = names
    if any(one.startswith(b".wh..wh.") for one in parents):
        return  # what AUFS kept for itself
    directory = _walk(root, parents, making=True)
    assert directory is not None
    there = directory.children.get(name)
    if entry.kind == "directory":
        if there is None or there.kind != "directory":
            there = directory.children[name] = Thing("directory")
        _dress(there, entry)
        return
    if entry.kind == "hardlink":
        where = _names(entry.target)
        if not where or where[-1] == b"..":
            raise Refused
        above = _walk(root, where[:-1], making=False)
        linked = None if above is None else above.children.get(where[-1])
        if linked is None or linked.kind == "directory" or (above is directory and where[-1] == name):
            raise Refused
        if there is not None and above is not None and _holds(there, above):
            raise Refused
        directory.children[name] = linked
        return
    if entry.kind == "character" and entry.device == (0, 0):
        raise Refused
    directory.children[name] = _of(entry)


def _holds(one: Thing, other: Thing) -> bool:
    return one is other or any(_holds(child, other) for child in one.children.values())


def _dress(place: Thing, entry: Entry) -> None:
    place.mode, place.uid, place.gid, place.mtime = entry.mode, entry.uid, entry.gid, entry.mtime
    place.xattrs = tuple(sorted(entry.xattrs))


_FORMATS = {
    "file": stat.S_IFREG,
    "directory": stat.S_IFDIR,
    "symlink": stat.S_IFLNK,
    "fifo": stat.S_IFIFO,
    "character": stat.S_IFCHR,
    "block": stat.S_IFBLK,
}


def described(root: Thing) -> dict[bytes, tuple[object, ...]]:
    """Return the tree as path to all that can be seen of it; the last is the first name of the same object."""
    found: dict[bytes, tuple[object, ...]] = {}
    first: dict[int, bytes] = {}
    pending = [(b".", root)]
    while pending:
        path, one = pending.pop()
        name = path if one.kind == "directory" else first.setdefault(id(one), path)
        xattrs = tuple((key, value.encode()) for key, value in one.xattrs)
        content: object = one.data if one.kind == "file" else one.target if one.kind == "symlink" else one.device
        if one.kind == "directory":
            content = None
        mode = 0o777 if one.kind == "symlink" else one.mode
        found[path] = (
            _FORMATS[one.kind],
            mode,
            one.uid,
            one.gid,
            int(Decimal(repr(one.mtime)) * 10**9),
            xattrs,
            content,
            name,
        )
        before = b"" if path == b"." else path + b"/"
        pending += [(before + child, thing) for child, thing in sorted(one.children.items(), reverse=True)]
    return found
