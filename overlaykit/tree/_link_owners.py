"""Where owners and attributes of symbolic links are kept: they can carry no ``user.*`` attributes themselves.

A directory's attribute has those of the links in it. File systems bound attributes (ext4 to a block for all of an
inode, mostly 4 KiB; the VFS to 64 KiB: xattr(7)), so where there are too many links, the attribute names a file beside
them, a *sidecar*, which is hidden from all who look through a :class:`~overlaykit.tree.MappedTree`. A sidecar is only
added to, with a record for every change: many links one by one do not write it many times.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import threading

from ._override import (
    LINKS,
    SIDECAR,
    LinkOwner,
    decode_links,
    decode_record,
    encode_links,
    encode_record,
)

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ._tree import StrOrBytesPath, Tree

__all__ = ["NO_ATTRIBUTE", "LinkOwners"]

NO_ATTRIBUTE = frozenset({errno.ENODATA, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES})
"""What asking for an attribute says where there is none, or where none can be."""

_PREFIX = ".overlaykit-links."
_POINTER = b"@"
_TOO_LARGE = frozenset({errno.E2BIG, errno.ENOSPC, errno.ERANGE})
_REMEMBERED = 16
_SINGLE = 512
"""Links whose owners are written one by one into an attribute."""

_CHUNK = 1 << 20


class LinkOwners:
    """The owners of the symbolic links of one tree.

    :param inner: the tree as it is stored.
    """

    def __init__(self, inner: Tree) -> None:
        self._inner = inner
        self._lock = threading.RLock()
        self._decoded: dict[bytes, Mapping[str, LinkOwner]] = {}
        self._read: dict[str, tuple[int, int, dict[str, LinkOwner]]] = {}

    # -- looking -------------------------------------------------------------------------------------------------

    def of(self, directory: StrOrBytesPath) -> Mapping[str, LinkOwner]:
        """Return what is kept of the links in a directory, by their names; some may be none any more."""
        with self._lock:
            return self._table(directory)[1]

    def _table(self, directory: StrOrBytesPath) -> tuple[str | None, Mapping[str, LinkOwner]]:
        """Return the path of a directory's sidecar, if any, and its table."""
        try:
            value = self._inner.getxattr(directory, LINKS)
        except OSError as error:
            if error.errno in NO_ATTRIBUTE:
                return None, {}
            raise
        if not value.startswith(_POINTER):
            found = self._decoded.get(value)
            if found is None:
                found = decode_links(value)
                _bound(self._decoded)
                self._decoded[value] = found
            return None, found
        name = os.fsdecode(value[1:])
        if not name.startswith(_PREFIX) or "/" in name:
            return None, {}
        path = posixpath.join(os.fsdecode(directory), name)
        return path, self._sidecar(path, name)

    def _sidecar(self, path: str, name: str) -> Mapping[str, LinkOwner]:
        try:
            status = self._inner.stat(path, follow_symlinks=False)
        except FileNotFoundError:
            return {}
        at, table = 0, dict[str, LinkOwner]()
        remembered = self._read.get(name)
        # Its name is random and nothing in it is ever changed: what was read still holds.
        if remembered is not None and remembered[0] <= status.st_size:
            at, _, table = remembered
        if at == status.st_size:
            return table
        records = remembered[1] if remembered is not None and at else 0
        with self._inner.open_raw(path, os.O_RDONLY) as file:
            file.seek(at)
            data = b""
            while piece := file.read(_CHUNK):
                data += piece
        # A record that is being written is read with the next.
        data = data[: data.rfind(b"\n") + 1]
        for line in data.split(b"\n"):
            record = decode_record(line)
            if record is None:
                continue
            records += 1
            if record[1] is None:
                table.pop(record[0], None)
            else:
                table[record[0]] = record[1]
        _bound(self._read)
        self._read[name] = (at + len(data), records, table)
        return table

    def hides(self, path: StrOrBytesPath) -> bool:
        """Tell whether something is a sidecar, which nobody should see."""
        name = posixpath.basename(os.fsdecode(path).rstrip("/"))
        if not name.startswith(_PREFIX):
            return False
        try:
            return bool(self._inner.getxattr(path, SIDECAR, follow_symlinks=False))
        except OSError:
            return False

    # -- changing ------------------------------------------------------------------------------------------------

    def put(self, directory: StrOrBytesPath, name: str, owner: LinkOwner | None) -> None:
        """Keep what a link has; ``None`` or an owner that says nothing: keep nothing of it."""
        if owner == LinkOwner():
            owner = None
        with self._lock:
            sidecar, table = self._table(directory)
            if table.get(name) == owner:
                return
            if sidecar is not None and (owner is not None or len(table) > 1):
                read = self._read.get(posixpath.basename(sidecar))
                if read is not None and read[1] <= 2 * len(table) + 1000:
                    self._append(sidecar, [(name, owner)])
                    return
            changed = {key: kept for key, kept in table.items() if key != name}
            if owner is not None:
                changed[name] = owner
            # To write an attribute of so many for every single one of them would take for ever.
            self._store(directory, changed, sidecar, large=len(changed) > _SINGLE)

    def replace(self, directory: StrOrBytesPath, table: Mapping[str, LinkOwner]) -> None:
        """Keep what all links of a directory have."""
        with self._lock:
            sidecar, old = self._table(directory)
            if dict(table) != old or sidecar is not None:
                self._store(directory, table, sidecar)

    def _store(
        self, directory: StrOrBytesPath, table: Mapping[str, LinkOwner], old: str | None, *, large: bool = False
    ) -> None:
        if not table:
            try:
                self._inner.removexattr(directory, LINKS)
            except OSError as error:
                if error.errno != errno.ENODATA:
                    raise
        elif large:
            self._make_sidecar(directory, table)
        else:
            value = encode_links(table)
            try:
                self._inner.setxattr(directory, LINKS, value)
                _bound(self._decoded)
                self._decoded[value] = table
            except OSError as error:
                if error.errno not in _TOO_LARGE:
                    raise
                self._make_sidecar(directory, table)
        if old is not None:
            with contextlib.suppress(FileNotFoundError):
                self._inner.unlink(old)

    def _make_sidecar(self, directory: StrOrBytesPath, table: Mapping[str, LinkOwner]) -> None:
        name = _PREFIX + os.urandom(8).hex()
        path = posixpath.join(os.fsdecode(directory), name)
        # A name alone, so that it fits in the place of whatever was there.
        self._inner.open_raw(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600).close()
        try:
            self._inner.setxattr(path, SIDECAR, b"1")
            self._append(path, table.items())
            self._inner.setxattr(directory, LINKS, _POINTER + name.encode())
        except BaseException:
            self._inner.unlink(path)
            raise

    def _append(self, path: str, records: Iterable[tuple[str, LinkOwner | None]]) -> None:
        # A line begins with its end: whatever a record was cut off by, the next is whole.
        data = b"".join(b"\n" + encode_record(name, owner) for name, owner in records) + b"\n"
        with self._inner.open_raw(path, os.O_WRONLY | os.O_APPEND) as file:
            view = memoryview(data)
            while view:
                view = view[file.write(view) or 0 :]

    def clear(self, directory: StrOrBytesPath) -> bool:
        """Delete the sidecars of a directory that has nothing else; tell whether there were any."""
        paths = [entry.path for entry in self._inner.scandir(directory)]
        if not paths or not all(map(self.hides, paths)):
            return False
        for path in paths:
            self._inner.unlink(path)
        return True


def _bound(remembered: dict[bytes, Mapping[str, LinkOwner]] | dict[str, tuple[int, int, dict[str, LinkOwner]]]) -> None:
    if len(remembered) >= _REMEMBERED:
        remembered.clear()
