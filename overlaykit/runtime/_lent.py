"""The tree of a container that runs elsewhere: whoever runs it lends a descriptor of the very same mount.

What is read and written through it is what the container reads and writes, on every driver. The lender keeps the mount
until the borrower has let go, so that it is never there when the container's layer is mounted again.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import errors
from ..tree import Aspect, ChangeKind, HostTree
from ._control import Connection, error_from_json, receive_with_descriptors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ..tree import Change, Tree

__all__ = ["Loan", "borrow"]


class Loan:
    """What was lent; to be closed, and its tree with it."""

    def __init__(self, connection: Connection, root: int, stubs: Mapping[str, Any]) -> None:
        self._connection = connection
        self._made = {str(path).strip("/") for path in stubs["made"]}
        self._times = {str(path).strip("/") or ".": int(times[1]) for path, times in stubs["times"].items()}
        self.tree: Tree = HostTree(root)

    def close(self) -> None:
        """Give it back."""
        self.tree.close()
        self._connection.close()

    def own_changes(self, changes: Iterable[Change]) -> Iterator[Change]:
        """Leave out what is in the tree for the container's mounts alone, and goes when it ends."""
        for change in changes:
            if change.kind is ChangeKind.ADDED and change.path in self._made and self._is_empty(change.path):
                continue
            if (
                change.kind is ChangeKind.MODIFIED
                and change.aspects == Aspect.MTIME
                and change.path in self._times
                and self.tree.lstat(change.path).st_mtime_ns == self._times[change.path]
            ):
                continue
            yield change

    def _is_empty(self, path: str) -> bool:
        try:
            status = self.tree.lstat(path)
            return not self.tree.listdir(path) if stat.S_ISDIR(status.st_mode) else status.st_size == 0
        except FileNotFoundError:
            return False


def borrow(directory: str, name: str) -> Loan | None:
    """Ask for the tree of a running container.

    :param directory: its state directory.
    :returns: ``None`` where it does not run.
    :raises RunError: it cannot be lent.
    """
    if not os.path.exists(f"{directory}/control"):
        return None
    try:
        connection = Connection(Path(directory), name)
    except errors.RunError:
        return None
    try:
        connection.send({"op": "tree"})
        data, descriptors = receive_with_descriptors(connection.socket)
        message: dict[str, Any] = json.loads(data) if data else {}
        if "error" in message:
            raise error_from_json(message["error"])
        if not descriptors:  # it has just ended
            connection.close()
            return None
        return Loan(connection, descriptors[0], message["stubs"])
    except BaseException:
        connection.close()
        raise
