"""What the library and its own runner say to each other: the same as ``native/runner/protocol.h`` states it.

Numbers have names in plain classes: enumerations take longer to make than the runner takes to start a container.
"""

from __future__ import annotations

import os
import struct

from ..values import value_class

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Bind", "Kind", "Message", "Mount", "Namespace", "Operation", "PlanWriter"]

MAGIC = b"OKPLAN1\n"
PLAN, STATUS = 3, 4


class Operation:
    """What a record of a plan is about."""

    NAMESPACES = 1
    IDS = 2
    ROOT = 3
    FILESYSTEM = 4
    BIND = 5
    DEVICE = 6
    LINK = 7
    MASK = 8
    READONLY = 9
    HOSTNAME = 10
    DOMAINNAME = 11
    SYSCTL = 12
    LIMIT = 13
    DIRECTORY = 14
    USER = 15
    CAPABILITIES = 16
    NO_NEW_PRIVILEGES = 17
    SECCOMP = 18
    CGROUP = 19
    TERMINAL = 20
    INIT = 21
    ARGUMENTS = 22
    ENVIRONMENT = 23
    JOIN = 24
    LIFELINE = 25
    OOM_SCORE = 26
    LOOPBACK = 27
    FILE = 28


class Bind:
    """How something is mounted."""

    RECURSIVE = 1
    ALL_READONLY = 2
    FOLLOW = 4
    READONLY = 8
    OPTIONAL = 16
    NODEV = 32


class Namespace:
    """Namespaces, as clone(2) has them."""

    TIME = 0x80
    MOUNT = 0x20000
    CGROUP = 0x2000000
    UTS = 0x4000000
    IPC = 0x8000000
    USER = 0x10000000
    PID = 0x20000000
    NETWORK = 0x40000000


class Mount:
    """Attributes of a mount, as mount_setattr(2) has them."""

    RDONLY = 0x1
    NOSUID = 0x2
    NODEV = 0x4
    NOEXEC = 0x8
    NOATIME = 0x10
    STRICTATIME = 0x20
    ATIME = 0x70
    NODIRATIME = 0x80
    NOSYMFOLLOW = 0x200000


class Kind:
    """What a message is about."""

    CHILD = 1
    FAILED = 2
    RUNNING = 3
    ENDED = 4
    TERMINAL = 5


class PlanWriter:
    """The plan of one container, in the order in which it is written."""

    def __init__(self) -> None:
        self._parts = [MAGIC]

    def add(
        self, operation: int, numbers: Iterable[int] = (), texts: Iterable[str | bytes | os.PathLike[str]] = ()
    ) -> None:
        """Append a record.

        :raises ValueError: a text other than a program or a file's content holds a NUL.
        """
        integers = tuple(numbers)
        data = [text if isinstance(text, bytes) else os.fsencode(text) for text in texts]
        binary = {Operation.SECCOMP: 0, Operation.FILE: 1}.get(operation)
        if any(b"\0" in one for place, one in enumerate(data) if place != binary):
            raise ValueError("embedded null byte")
        self._parts.append(struct.pack(f"=III{len(integers)}q", operation, len(integers), len(data), *integers))
        for one in data:
            self._parts += [struct.pack("=I", len(one)), one, b"\0"]

    def __bytes__(self) -> bytes:
        return b"".join(self._parts)


_MESSAGE = struct.Struct("=Iiii240s")


@value_class
class Message:
    """What the runner tells.

    :param kind: one of :class:`Kind`.
    :param step: what failed: a ``Step`` of ``_own_errors``.
    :param value: of :attr:`Kind.CHILD` the process id, of :attr:`Kind.ENDED` the status of wait(2).
    :param path: what it is about; empty for nothing.
    """

    kind: int
    step: int
    error: int
    value: int
    path: str

    SIZE = _MESSAGE.size

    @classmethod
    def unpack(cls, data: bytes) -> Message:
        """Take one apart.

        :raises ValueError: it is none.
        """
        if len(data) != _MESSAGE.size:
            raise ValueError(f"a message of {len(data)} bytes")
        kind, step, error, value, path = _MESSAGE.unpack(data)
        return cls(kind, step, error, value, os.fsdecode(path.rstrip(b"\0")))
