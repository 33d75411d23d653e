"""Small layers written down by hand, as archives in the order given."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from overlaykit.tree import Tree

__all__ = ["archive", "link", "node", "shape", "symlink", "wh"]

Entry = str | tarfile.TarInfo
"""``d/`` is a directory, ``path=text`` a file; other entries come from the functions here."""

TIME = 1_700_000_000


def _member(name: str, kind: bytes, mode: int = 0o644) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.mode, made.mtime = kind, mode, TIME
    made.uid, made.gid = os.geteuid(), os.getegid()
    return made


def symlink(name: str, target: str) -> tarfile.TarInfo:
    """Return a symbolic link."""
    made = _member(name, tarfile.SYMTYPE, 0o777)
    made.linkname = target
    return made


def link(name: str, target: str) -> tarfile.TarInfo:
    """Return a hard link."""
    made = _member(name, tarfile.LNKTYPE)
    made.linkname = target
    return made


def node(name: str, kind: bytes, major: int = 0, minor: int = 0) -> tarfile.TarInfo:
    """Return a FIFO, a device or whatever else has no content."""
    made = _member(name, kind)
    made.devmajor, made.devminor = major, minor
    return made


def wh(path: str) -> str:
    """Return a whiteout."""
    parent, _, name = path.rpartition("/")
    return f"{parent}/.wh.{name}=" if parent else f".wh.{name}="


def archive(entries: Iterable[Entry]) -> bytes:
    """Return a layer, uncompressed."""
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w:", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape"
    ) as tar:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry)
            elif entry.endswith("/"):
                tar.addfile(_member(entry, tarfile.DIRTYPE, 0o755))
            else:
                name, _, text = entry.partition("=")
                made = _member(name, tarfile.REGTYPE)
                made.size = len(text)
                tar.addfile(made, io.BytesIO(text.encode()))
    return out.getvalue()


def shape(tree: Tree) -> dict[str, str]:
    """Return what a tree holds: ``""`` for a directory, the text of a file, ``->`` and a link's target, a type."""
    return dict(_shape(tree))


def _shape(tree: Tree) -> Iterator[tuple[str, str]]:
    for _, directories, rest in tree.walk():
        for entry in (*directories, *rest):
            mode = tree.stat(entry.path, follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                yield entry.path, ""
            elif stat.S_ISLNK(mode):
                yield entry.path, f"->{tree.readlink(entry.path)}"
            elif stat.S_ISREG(mode):
                yield entry.path, tree.read_text(entry.path)
            else:
                yield entry.path, f"type {stat.S_IFMT(mode):o}"
