"""What the driver writes down of a snapshot, in its directory.

::

    tree          the snapshot's tree
    prepared      how it began (Prepared)
    inodes        of a copy: which inode was made of which of the parent's
    committed     how it was committed (Committed); of an active one, a commit that was cut off
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Self, TypeVar

from overlaykit import errors
from overlaykit.values import value_class

if TYPE_CHECKING:
    from pathlib import Path

    from overlaykit.driver import SnapshotId

__all__ = ["Committed", "Prepared", "Record", "read_committed", "read_inodes", "read_prepared"]


@value_class
class Prepared:
    """How a snapshot began.

    :param parent: the snapshot it started as; ``None`` for an empty one.
    :param method: ``"empty"``, ``"copy"``, or ``"subvolume"`` for a Btrfs snapshot, in which inode numbers and times
        are the parent's.
    :param begun: the file system's clock when it began, in nanoseconds.
    :param done: the same when everything was in its place: what is changed later has a later change time.
    """

    parent: str | None
    method: str
    begun: int
    done: int


@value_class
class Committed:
    """What a snapshot was when it was committed; see :class:`overlaykit.linux.TreeSurvey`.

    :param id: the committed snapshot: the record of a commit that was cut off names another one.
    :param clock: the file system's clock afterwards, in nanoseconds.
    """

    id: str
    clock: int
    bytes: int
    inodes: int
    exact: str
    portable: str
    root: int
    one_device: bool


def read_prepared(directory: Path) -> Prepared:
    """Return how a snapshot began."""
    return _read(directory / "prepared", Prepared)


def read_inodes(directory: Path, prepared: Prepared) -> bytes | None:
    """Return which inode of a snapshot was made of which of its parent; see :func:`overlaykit.linux.differ`."""
    return None if prepared.method == "subvolume" else (directory / "inodes").read_bytes()


def read_committed(directory: Path, id: SnapshotId) -> Committed | None:
    """Return how a snapshot was committed; ``None`` where it is active."""
    try:
        record = _read(directory / "committed", Committed)
    except FileNotFoundError:
        directory.stat()
        return None
    return record if record.id == id else None


class Record:
    """A record to be written, which tells the file system's time: that of its own creation.

    It takes its name when it is whole, so that a process killed in the middle leaves none that looks damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(f"{path.name}.partial")
        with contextlib.suppress(FileNotFoundError):
            self._partial.unlink()
        self._fd = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self.clock = os.fstat(self._fd).st_ctime_ns

    def write(self, value: Prepared | Committed) -> None:
        """Write the record."""
        data = json.dumps(asdict(value)).encode()
        if os.write(self._fd, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        self._partial.rename(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


_R = TypeVar("_R", Prepared, Committed)


def _read(path: Path, kind: type[_R]) -> _R:
    try:
        return kind(**json.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise errors.SnapshotDamagedError(
            f"the record {path} is damaged: restore it from a backup, or remove the snapshot", filename=path
        ) from error
