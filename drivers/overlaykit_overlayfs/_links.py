"""Hard links across copy-up.

Without its index, which no user may have, overlayfs copies up one name of a file and leaves the others below: two files
from then on. Here the other names follow before the first change. For that each committed snapshot keeps a list of its
files with several names; all names of a file are in the layer that has the file.
"""

from __future__ import annotations

import os
import stat
import threading
from contextlib import suppress

from overlaykit import linux

from ._copying import finish_join

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from overlaykit.tree import HostTree

    from ._journal import Journal
    from ._layout import Layout

__all__ = ["LinkIndex", "Links", "encode_links", "finish_stuck", "join_names"]

Links = dict[int, tuple[str, ...]]
"""The names of each file with several, by its inode number in the layer, which the merged view shows too."""


def encode_links(root_ino: int, scan: linux.Scan) -> bytes | None:
    """Return the content of a snapshot's file ``links``, ``None`` where no file has several names.

    :param root_ino: the inode number of the layer's root: in a copy of the store it is another, and so are all others.
    """
    groups = scan.linked()
    if not groups:
        return None
    parts = [b"%d" % root_ino]
    parts += [b"%d\0" % ino + b"\0".join(names) for (_, ino), names in groups.items()]
    return b"\0\0".join(parts)


def _decode(data: bytes) -> tuple[int, Links]:
    root, *groups = data.split(b"\0\0")
    links: Links = {}
    for group in groups:
        ino, *names = group.split(b"\0")
        links[int(ino)] = tuple(map(os.fsdecode, names))
    return int(root), links


class LinkIndex:
    """The links of every committed snapshot of a driver, read when first asked for.

    :param layout: the driver's directories.
    :param attributes: what overlayfs' own attributes begin with.
    """

    def __init__(self, layout: Layout, attributes: str) -> None:
        self._layout = layout
        self._attributes = attributes
        self._lock = threading.Lock()
        self._known: dict[str, Links] = {}

    def _read(self, id: str) -> Links:
        try:
            with open(self._layout.file(id, "links"), "rb") as file:
                root, links = _decode(file.read())
        except FileNotFoundError:
            return {}
        directory = os.open(self._layout.fs(id), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if os.fstat(directory).st_ino == root:
                return links
            scan = linux.scan_layer(directory, self._attributes)
        finally:
            os.close(directory)
        return {ino: tuple(map(os.fsdecode, names)) for (_, ino), names in scan.linked().items()}

    def of(self, chain: Iterable[str]) -> list[Links]:
        """Return the links of those layers of a chain that have any, the uppermost first."""
        with self._lock:
            found = []
            for layer in chain:
                links = self._known.get(layer)
                if links is None:
                    links = self._known[layer] = self._read(layer)
                if links:
                    found.append(links)
            return found

    def forget(self, id: str) -> None:
        """Drop what is known of a snapshot that is removed."""
        with self._lock:
            self._known.pop(id, None)


def names_of(layers: Iterable[Mapping[int, tuple[str, ...]]], ino: int) -> tuple[str, ...]:
    """Return the names that a file had when its layer was committed; none where it had one, or is no layer's."""
    for links in layers:
        names = links.get(ino)
        if names is not None:
            return names
    return ()


def same_file(tree: HostTree, names: Iterable[str], status: os.stat_result) -> list[str]:
    """Return those names that a tree shows as one file."""
    found = []
    for name in names:
        with suppress(FileNotFoundError, NotADirectoryError):
            other = tree.lstat(name)
            if other.st_ino == status.st_ino and other.st_dev == status.st_dev and not stat.S_ISDIR(other.st_mode):
                found.append(name)
    return found


def join_names(raw: HostTree, layers: list[Links], journal: Journal, status: os.stat_result) -> None:
    """Copy a file of a layer up with all its names, so that they stay one file; the caller holds the snapshot's lock.

    :param raw: the merged view.
    :param layers: the links of the layers below.
    :param status: the file's; nothing is done for one that is not a layer's or has one visible name.
    :raises OSError: it cannot be copied up; its content is as it was under every name.
    """
    names = same_file(raw, names_of(layers, status.st_ino), status)
    if len(names) < 2:
        return
    # What the record holds is what finish_join() takes: a name, then each other name with a passing one beside it.
    paths = [names[0]]
    for name in names[1:]:
        paths += [name, _beside(name, journal.token)]
    record = journal.begin("join", *paths)
    try:
        finish_join(raw, paths)
    except OSError:
        # The first name may have left the others already. If they cannot follow now, they must before they are changed.
        try:
            finish_join(raw, paths)
        except OSError:
            journal.stuck.append(record)
        else:
            journal.end(record)
        raise
    journal.end(record)


def finish_stuck(raw: HostTree, journal: Journal) -> None:
    """Finish what :func:`join_names` could not, before anything is changed; the caller holds the snapshot's lock.

    :raises OSError: it still cannot be.
    """
    while journal.stuck:
        finish_join(raw, journal.stuck[-1][1:])
        journal.end(journal.stuck.pop())


def _beside(path: str, token: str) -> str:
    parent = os.path.dirname(path)
    name = f"{token}{os.urandom(6).hex()}"
    return f"{parent}/{name}" if parent else name
