"""A second opinion on layers: the standard library's tarfile, and no thought about what is hostile."""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING

from overlaykit.driver import NodeAttributes, NodeKind

if TYPE_CHECKING:
    from overlaykit.tree import Tree

__all__ = ["apply_layer", "members"]

_TYPES = {tarfile.FIFOTYPE: NodeKind.FIFO, tarfile.CHRTYPE: NodeKind.CHARACTER, tarfile.BLKTYPE: NodeKind.BLOCK}


def members(data: bytes) -> list[tarfile.TarInfo]:
    """Return the entries of an uncompressed layer."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
        return archive.getmembers()


def _nanoseconds(member: tarfile.TarInfo) -> int:
    whole, _, fraction = member.pax_headers.get("mtime", str(int(member.mtime))).partition(".")
    parts = int(whole or "0") * 10**9, int(fraction.ljust(9, "0") or "0")
    return parts[0] - parts[1] if whole.startswith("-") else sum(parts)


def _attributes(member: tarfile.TarInfo) -> NodeAttributes:
    begin = "SCHILY.xattr."
    xattrs = tuple(
        (os.fsencode(key[len(begin) :]), os.fsencode(value))
        for key, value in member.pax_headers.items()
        if key.startswith(begin)
    )
    return NodeAttributes(member.mode, member.uid, member.gid, _nanoseconds(member), xattrs)


def apply_layer(data: bytes, tree: Tree) -> None:
    """Apply a layer in which everything stands in tree order; closes the tree."""
    from overlaykit.driver._tree_writer import TreeWriter

    times = []
    with (
        tarfile.open(fileobj=io.BytesIO(data), mode="r:", encoding="utf-8", errors="surrogateescape") as archive,
        TreeWriter(tree) as writer,
    ):
        for member in archive:
            path = os.fsencode(member.name).rstrip(b"/").removeprefix(b"./")
            path = b"" if path == b"." else path
            attributes = _attributes(member)
            parent, _, name = path.rpartition(b"/")
            if name.startswith(b".wh."):
                writer.hide((parent + b"/" if parent else b"") + name[4:])
            elif member.isdir():
                writer.directory(path, attributes)
                times.append((path, attributes.mtime))
            elif member.islnk():
                writer.link(path, os.fsencode(member.linkname))
            elif member.issym():
                writer.symlink(path, os.fsencode(member.linkname), attributes)
            elif member.isreg():
                content = archive.extractfile(member)
                assert content is not None
                sink = writer.file(path, attributes, member.size)
                sink.write(content.read())
                sink.close()
            else:
                device = os.makedev(member.devmajor, member.devminor) if member.isdev() and not member.isfifo() else 0
                writer.node(path, _TYPES[member.type], attributes, device)
        writer.settle(sorted(times, key=lambda item: item[0].count(b"/") + bool(item[0]), reverse=True))
