"""How owners, modes, devices and attributes that an unprivileged caller cannot set are kept in attributes that it can.

The attribute ``user.containers.override_stat`` and its form are those of containers/storage and fuse-overlayfs:
``uid:gid:mode:type``, the mode in four octal digits or more, the type ``file``, ``dir``, ``symlink``, ``pipe``,
``socket``, ``block-MAJOR-MINOR`` or ``char-MAJOR-MINOR``; older writers leave the type out. fuse-overlayfs takes a
layer whose root has the attribute for one in which every file and directory has it, and fails on those that do not: so
all that is made here gets it, whatever its owner. fuse-overlayfs itself writes ``user.fuseoverlayfs.override_stat``,
with the whole of ``st_mode`` as its mode, which goes before the other.

What is here on top of that is ours: a table in the directory for its symbolic links, which can carry no ``user.*``
attributes (``_link_owners``), and a prefix for attributes of other namespaces.
"""

from __future__ import annotations

import base64
import json
import os
import stat

from ..values import field, value_class

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = [
    "LINKS",
    "OVERRIDE",
    "OVERRIDE_OF_FUSE",
    "SIDECAR",
    "STAT_XATTRS",
    "LinkOwner",
    "Override",
    "decode_links",
    "decode_record",
    "encode_links",
    "encode_record",
    "stored_xattr",
    "unescape",
]

OVERRIDE = "user.containers.override_stat"
"""The attribute of a file or directory that has its owner, mode and type."""

_FUSE = "user.fuseoverlayfs."

OVERRIDE_OF_FUSE = _FUSE + "override_stat"
"""What fuse-overlayfs writes instead, where it is told to keep owners in ``user.*`` attributes."""

_OWN = "user.overlaykit."

SIDECAR = _OWN + "sidecar"
"""The attribute of a file that is there for a directory's symbolic links alone."""

LINKS = _OWN + "links"
"""The attribute of a directory that has the owners and attributes of the symbolic links in it."""

STAT_XATTRS = (OVERRIDE, LINKS)
"""The attributes that have an object's owner, mode and type, and those of the symbolic links in a directory."""

_ESCAPED = _OWN + "xattr."

_TYPES = {
    "dir": stat.S_IFDIR,
    "file": stat.S_IFREG,
    "symlink": stat.S_IFLNK,
    "pipe": stat.S_IFIFO,
    "socket": stat.S_IFSOCK,
}
_NAMES = {number: name for name, number in _TYPES.items()}
_DEVICES = {"block": stat.S_IFBLK, "char": stat.S_IFCHR}


@value_class
class Override:
    """What an object pretends to be.

    :param mode: permission bits with set-uid, set-gid and sticky.
    :param format: the file type bits, 0 where it does not say.
    :param device: the device number of a device node.
    """

    uid: int
    gid: int
    mode: int
    format: int = 0
    device: int = 0

    def encode(self) -> bytes:
        """Return the attribute's value."""
        kind = _NAMES.get(self.format)
        if kind is None:
            name = "block" if self.format == stat.S_IFBLK else "char"
            kind = f"{name}-{os.major(self.device)}-{os.minor(self.device)}"
        return f"{self.uid}:{self.gid}:{self.mode:04o}:{kind}".encode()

    @classmethod
    def decode(cls, value: bytes) -> Override | None:
        """Return what a value says, ``None`` where it is none."""
        try:
            uid, gid, mode, *rest = value.decode("ascii").split(":")
            number = int(mode, 8)
            kind, device = _kind(rest[0]) if rest else (0, 0)
            found = cls(int(uid), int(gid), stat.S_IMODE(number), kind, device)
        except (ValueError, OverflowError):
            return None
        return found if 0 <= found.uid < 2**32 and 0 <= found.gid < 2**32 and number >= 0 else None

    @property
    def real_mode(self) -> int:
        """The permission bits that the object has for real: never more than it pretends, but its owner can use it."""
        mode = self.mode & 0o777
        return mode | (0o700 if self.format == stat.S_IFDIR else 0o600)


def _kind(text: str) -> tuple[int, int]:
    name, *numbers = text.split("-")
    if name in _DEVICES:
        major, minor = map(int, numbers)
        return _DEVICES[name], os.makedev(major, minor)
    return _TYPES.get(text, 0), 0


def stored_xattr(name: str, *, partial: bool = False) -> str:
    """Return the name by which an attribute is kept: other namespaces', and those of this module, behind a prefix.

    :param partial: those that root of a user namespace may set keep their names.
    """
    if partial and (name.startswith("system.") or name == "security.capability"):
        return name
    if name.startswith("user.") and name != OVERRIDE and not name.startswith((_OWN, _FUSE)):
        return name
    return _ESCAPED + name


def unescape(name: str) -> str | None:
    """Return the name that is shown for one that is kept, ``None`` for those of this module."""
    if name.startswith(_ESCAPED):
        return name[len(_ESCAPED) :]
    return None if name == OVERRIDE or name.startswith((_OWN, _FUSE)) else name


@value_class
class LinkOwner:
    """The owner and the attributes of a symbolic link."""

    uid: int = 0
    gid: int = 0
    xattrs: dict[str, bytes] = field(default_factory=dict)


def encode_links(links: Mapping[str, LinkOwner]) -> bytes:
    """Return the value of :data:`LINKS`: compressed JSON, for many file systems give attributes four kilobytes."""
    import zlib

    table = {name: _plain(owner) for name, owner in sorted(links.items())}
    return zlib.compress(json.dumps(table, separators=(",", ":")).encode(), 9)


def decode_links(value: bytes) -> dict[str, LinkOwner]:
    """Return what a value says; what makes no sense is left out."""
    import zlib

    found: dict[str, LinkOwner] = {}
    try:
        # No value is larger than 64 KiB; this bounds what one can blow up to.
        table = json.loads(zlib.decompressobj().decompress(value, 1 << 24))
        for name, owner in table.items():
            found[name] = _owner(owner)
    except (ValueError, TypeError, AttributeError, zlib.error, RecursionError):
        return found
    return found


def encode_record(name: str, owner: LinkOwner | None) -> bytes:
    """Return a line that says what one link has, nothing with ``None``."""
    return json.dumps([name] if owner is None else [name, *_plain(owner)], separators=(",", ":")).encode()


def decode_record(line: bytes) -> tuple[str, LinkOwner | None] | None:
    """Return what a line says, ``None`` where it makes no sense."""
    try:
        name, *owner = json.loads(line)
        return str(name), _owner(owner) if owner else None
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def _plain(owner: LinkOwner) -> list[object]:
    return [owner.uid, owner.gid, {key: base64.b64encode(value).decode() for key, value in owner.xattrs.items()}]


def _owner(plain: list[Any]) -> LinkOwner:
    uid, gid, xattrs = plain
    return LinkOwner(int(uid), int(gid), {str(key): base64.b64decode(data) for key, data in xattrs.items()})
