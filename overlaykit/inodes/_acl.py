"""POSIX access control lists in the kernel's binary form (``linux/posix_acl_xattr.h``)."""

from __future__ import annotations

import errno
import os
import struct

__all__ = ["ACCESS", "DEFAULT", "Acl", "check", "chmod", "decode", "encode", "equivalent_mode", "inherit"]

ACCESS = "system.posix_acl_access"
DEFAULT = "system.posix_acl_default"

_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_VERSION = 2
_HEADER = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_NOBODY = 0xFFFFFFFF
#: What may follow which tag; ``None`` is the start.
_NEXT: dict[int | None, frozenset[int]] = {
    None: frozenset({_USER_OBJ}),
    _USER_OBJ: frozenset({_USER, _GROUP_OBJ}),
    _USER: frozenset({_USER, _GROUP_OBJ}),
    _GROUP_OBJ: frozenset({_GROUP, _MASK, _OTHER}),
    _GROUP: frozenset({_GROUP, _MASK}),
    _MASK: frozenset({_OTHER}),
    _OTHER: frozenset(),
}

Acl = tuple[tuple[int, int, int], ...]
"""Entries of tag, permission bits and user or group id, in the kernel's order."""


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def decode(value: bytes) -> Acl | None:
    """Read a list as an xattr carries it.

    :returns: its entries; ``None`` for an empty one, which removes the list.
    :raises OSError: EINVAL: malformed; EOPNOTSUPP: of another version.
    """
    if not value:
        return None
    if len(value) < _HEADER.size:
        raise _error(errno.EINVAL)
    if _HEADER.unpack_from(value)[0] != _VERSION:
        raise _error(errno.EOPNOTSUPP)
    if (len(value) - _HEADER.size) % _ENTRY.size:
        raise _error(errno.EINVAL)
    acl = []
    for tag, permissions, who in _ENTRY.iter_unpack(value[_HEADER.size :]):
        named = tag in (_USER, _GROUP)
        if tag not in _NEXT or (named and who == _NOBODY):
            raise _error(errno.EINVAL)
        acl.append((tag, permissions, who if named else _NOBODY))
    return tuple(acl) or None


def check(acl: Acl) -> None:
    """Check that a list says something sensible.

    :raises OSError: EINVAL: out of order, incomplete, without the mask it needs, or with unknown permission bits.
    """
    before: int | None = None
    named = False
    for tag, permissions, _ in acl:
        named = named or tag in (_USER, _GROUP)
        if tag not in _NEXT[before] or permissions & ~7 or (tag == _OTHER and named and before != _MASK):
            raise _error(errno.EINVAL)
        before = tag
    if before != _OTHER:
        raise _error(errno.EINVAL)


def encode(acl: Acl) -> bytes:
    """Write a list as an xattr carries it."""
    return _HEADER.pack(_VERSION) + b"".join(_ENTRY.pack(*entry) for entry in acl)


def equivalent_mode(acl: Acl) -> tuple[int, bool]:
    """Return the permission bits that a list gives, and whether those say all that it says."""
    bits = {_USER_OBJ: 0, _GROUP_OBJ: 0, _MASK: 0, _OTHER: 0}
    bits.update({tag: permissions for tag, permissions, _ in acl if tag in bits})
    whole = len(acl) == 3
    group = bits[_GROUP_OBJ] if not any(tag == _MASK for tag, _, _ in acl) else bits[_MASK]
    return bits[_USER_OBJ] << 6 | group << 3 | bits[_OTHER], whole


def _group_tag(acl: Acl) -> int:
    return _MASK if any(tag == _MASK for tag, _, _ in acl) else _GROUP_OBJ


def chmod(acl: Acl, mode: int) -> Acl:
    """Return an access list as chmod(2) leaves it: the mode's group bits go to the mask, where there is one."""
    shift = {_USER_OBJ: 6, _group_tag(acl): 3, _OTHER: 0}
    return tuple((tag, mode >> shift[tag] & 7 if tag in shift else permissions, who) for tag, permissions, who in acl)


def inherit(default: Acl, mode: int) -> tuple[Acl | None, int]:
    """Return what a new file takes from its directory's default list.

    :param mode: the mode asked for; no umask applies.
    :returns: its access list, ``None`` where the mode says it all, and the mode.
    """
    shift = {_USER_OBJ: 6, _group_tag(default): 3, _OTHER: 0}
    acl = []
    for tag, permissions, who in default:
        if tag in shift:
            permissions &= mode >> shift[tag] & 7
            mode &= permissions << shift[tag] | ~(7 << shift[tag])
        acl.append((tag, permissions, who))
    return (tuple(acl) if len(acl) > 3 else None), mode
