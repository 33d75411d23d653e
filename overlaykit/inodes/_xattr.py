"""Which extended attributes Linux takes on which files (xattr(7), ``fs/xattr.c``, ``security/commoncap.c``)."""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING

from . import _acl
from ._node import Directory, Node, Symlink, encode
from ._resolve import failure

if TYPE_CHECKING:
    from ..tree import StrOrBytesPath

__all__ = ["CAPABILITY", "CREATE", "REPLACE", "check_name", "check_set", "drop", "get", "names", "remove", "set_"]

CREATE, REPLACE = 1, 2
"""``os.XATTR_CREATE`` and ``os.XATTR_REPLACE``, which not every platform has."""

CAPABILITY = "security.capability"

_NAME_MAX = 255
_VALUE_MAX = 65536
_SPACES = ("user.", "trusted.", "security.")
_ACLS = (_acl.ACCESS, _acl.DEFAULT)
#: The size of a file capability by its revision (``VFS_CAP_REVISION_*``).
_CAPABILITY_SIZES = {0x02000000: 20, 0x03000000: 24}


def check_name(name: str, path: StrOrBytesPath) -> str:
    """Return a name as the one ``str`` that stands for its bytes.

    :raises OSError: ERANGE: it is empty or longer than 255 bytes.
    """
    if "\0" in name:
        raise ValueError("embedded null byte")
    raw = encode(name)
    if not 0 < len(raw) <= _NAME_MAX:
        raise failure(errno.ERANGE, path)
    return raw.decode("utf-8", "surrogateescape")


def _known(name: str, path: StrOrBytesPath) -> None:
    for space in _SPACES:
        if name.startswith(space):
            if len(name) == len(space):
                raise failure(errno.EINVAL, path)
            return
    raise failure(errno.EOPNOTSUPP, path)


def _takes_user(node: Node) -> bool:
    return stat.S_ISREG(node.mode) or stat.S_ISDIR(node.mode)


def get(node: Node, name: str, path: StrOrBytesPath) -> bytes:
    """Return the value of an attribute.

    :raises OSError: ENODATA: it has none of that name; EOPNOTSUPP, EINVAL, ERANGE: there can be none.
    """
    name = check_name(name, path)
    if name in _ACLS:
        if isinstance(node, Symlink):
            raise failure(errno.EOPNOTSUPP, path)
    elif not (name.startswith("user.") and not _takes_user(node)):
        _known(name, path)
    value = (node.xattrs or {}).get(name)
    if value is None:
        raise failure(errno.ENODATA, path)
    return value


def names(node: Node) -> list[str]:
    """Return the names of the attributes, sorted."""
    return sorted(node.xattrs) if node.xattrs else []


def _store(node: Node, name: str, value: bytes | None) -> None:
    """Set or remove an attribute. The dictionary is replaced, since copies of the node share it."""
    values = dict(node.xattrs or {})
    if value is None:
        values.pop(name, None)
    else:
        values[name] = value
    node.xattrs = values or None


def check_set(name: str, value: bytes, flags: int, path: StrOrBytesPath) -> str:
    """Check the arguments of setxattr(2) that concern no file; return the name."""
    if flags & ~(CREATE | REPLACE):
        raise failure(errno.EINVAL, path)
    name = check_name(name, path)
    if len(value) > _VALUE_MAX:
        raise failure(errno.E2BIG, path)
    return name


def set_(node: Node, name: str, value: bytes, flags: int, path: StrOrBytesPath) -> None:
    """Set an attribute of a node that may be changed; access lists keep the mode in step.

    :raises OSError: EEXIST, ENODATA: against the flags; EPERM: ``user.*`` of something else than a file or directory;
        EACCES: a default list of a file; EINVAL: a malformed list or capability; EOPNOTSUPP.
    """
    if name in _ACLS:
        _set_acl(node, name, value, path)
        return
    if name.startswith("user.") and not _takes_user(node):
        raise failure(errno.EPERM, path)
    revision = int.from_bytes(value[:4], "little") & ~0xFFFFFF
    # Linux lets root set an empty capability, which then cannot be read (EINVAL): here it is refused at once.
    if name == CAPABILITY and _CAPABILITY_SIZES.get(revision) != len(value):
        raise failure(errno.EINVAL, path)
    _known(name, path)
    exists = name in (node.xattrs or {})
    if exists and flags & CREATE:
        raise failure(errno.EEXIST, path)
    if not exists and flags & REPLACE:
        raise failure(errno.ENODATA, path)
    _store(node, name, value)


def _set_acl(node: Node, name: str, value: bytes, path: StrOrBytesPath) -> None:
    try:
        acl = _acl.decode(value)
        if isinstance(node, Symlink):
            raise failure(errno.EOPNOTSUPP, path)
        if name == _acl.DEFAULT and not isinstance(node, Directory) and acl is not None:
            raise failure(errno.EACCES, path)
        if acl is not None:
            _acl.check(acl)
    except OSError as error:
        raise failure(error.errno or errno.EINVAL, path) from None
    if acl is None:
        _store(node, name, None)
        return
    if name == _acl.ACCESS:
        bits, whole = _acl.equivalent_mode(acl)
        node.mode = node.mode & ~0o777 | bits
        if whole:
            _store(node, name, None)
            return
    _store(node, name, _acl.encode(acl))


def remove(node: Node, name: str, path: StrOrBytesPath) -> None:
    """Remove an attribute of a node that may be changed.

    :raises OSError: ENODATA: it has none of that name, which for access lists is no error; EPERM, EOPNOTSUPP as
        :func:`set_`.
    """
    if name in _ACLS:
        if isinstance(node, Symlink):
            raise failure(errno.EOPNOTSUPP, path)
    else:
        if name.startswith("user.") and not _takes_user(node):
            raise failure(errno.EPERM, path)
        _known(name, path)
        if name not in (node.xattrs or {}):
            raise failure(errno.ENODATA, path)
    _store(node, name, None)


def drop(node: Node, name: str) -> None:
    """Remove an attribute if it is there."""
    if node.xattrs and name in node.xattrs:
        _store(node, name, None)
