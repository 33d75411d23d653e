"""The values that pass between the framework, drivers and plugins."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from types import MappingProxyType

from ..values import field, value_class

TYPE_CHECKING = False

if TYPE_CHECKING:
    import datetime
    from pathlib import Path
    from typing import NewType

    from ._capability import Capability

    SnapshotId = NewType("SnapshotId", str)
    """What a driver knows a snapshot by: 1 to 64 characters of ``[0-9a-z]``, never reused, safe as a file name."""
else:
    SnapshotId = str

__all__ = [
    "API_VERSION",
    "DriverConfig",
    "DriverSpec",
    "Durability",
    "Mount",
    "Probe",
    "SnapshotId",
    "SnapshotInfo",
    "SnapshotKind",
    "Usage",
]

API_VERSION = 1
"""The version of the driver contract that this overlaykit speaks; :attr:`DriverSpec.api` names a plugin's."""


class Durability(enum.StrEnum):
    """What survives a power cut. A killed process loses nothing at any level."""

    #: Nothing is promised: the fastest.
    NONE = "none"
    #: A committed snapshot is on the disk when commit returns; active ones are not.
    COMMIT = "commit"
    #: Every operation of the store is on the disk when it returns.
    FULL = "full"


class SnapshotKind(enum.StrEnum):
    """What a snapshot is."""

    COMMITTED = "committed"  #: read-only, may be a parent
    ACTIVE = "active"  #: writable, never a parent
    VIEW = "view"  #: read-only, of a committed one, never a parent


@value_class
class Usage:
    """What one snapshot takes by itself, without its parents.

    :param bytes: bytes of storage allocated.
    :param inodes: files, directories and other objects; hard links of one file count once.
    """

    bytes: int
    inodes: int

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.bytes + other.bytes, self.inodes + other.inodes)


@value_class
class Mount:
    """What a host would hand to mount(2) to see a snapshot; containerd's ``mount.Mount``.

    :param type: the file system type, ``"overlay"`` or ``"bind"``.
    :param source: the source.
    :param options: the options, not joined; ``:`` and ``,`` in paths are escaped as the type wants it.
    """

    type: str
    source: str
    options: tuple[str, ...] = ()


@value_class
class Probe:
    """Whether a driver works here.

    :param usable: whether it does.
    :param reason: why, or why not: one line without a full stop.
    :param fix: what would make it usable: one line; empty where nothing would, or nothing needs to.
    :param capabilities: what it offers here; a subset of its spec's.
    :param details: further facts for ``overlaykit drivers``, such as ``{"mode": "rootless"}``.
    """

    usable: bool
    reason: str = ""
    fix: str = ""
    capabilities: frozenset[Capability] = frozenset()
    details: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@value_class
class DriverSpec:
    """A driver as data: registering or listing it imports nothing of it.

    :param name: what a user selects it by: ``[a-z0-9][a-z0-9-]*``.
    :param factory: ``"package.module:attribute"``, called with a :class:`DriverConfig`, returns a :class:`Driver`.
    :param probe: ``"package.module:attribute"``, called with the directory of the store (or its nearest existing
        ancestor; ``None`` for a store without a path), returns a :class:`Probe`. Changes nothing, takes milliseconds.
    :param priority: ``driver="auto"`` takes the usable driver of highest priority; below 0 never.
    :param capabilities: the most it can offer; what it offers here says its probe and its object.
    :param options: its options, name to one line of help; the framework refuses any other.
    :param needs_path: whether it keeps its snapshots in a directory; without it ``open_store`` needs no path.
    :param api: the :data:`API_VERSION` it was written for. Who says nothing says 1, also where a newer overlaykit
        makes this object.
    :param summary: one line for people.
    :param known_failures: conformance test ids to reasons: what it gets wrong and knows; strict expected failures.
    :param late_probe: a store that exists is opened without asking the probe. The driver finds its ``capabilities`` out
        when they are first asked for (:func:`functools.cached_property`), and where something fails that its probe
        tries, it asks that and raises :class:`~overlaykit.errors.DriverUnavailableError` with what it says.
    """

    name: str
    factory: str
    probe: str
    priority: int = 0
    capabilities: frozenset[Capability] = frozenset()
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    needs_path: bool = True
    api: int = 1
    summary: str = ""
    known_failures: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    late_probe: bool = False


@value_class
class DriverConfig:
    """What a driver's factory is called with.

    :param root: the driver's own directory, which exists and which nobody else writes to; ``None`` for a store without
        a path.
    :param durability: what the driver must make survive a power cut.
    :param options: values of the options its spec names.
    :param probe: what the driver's probe said a moment ago, in this process, of a directory of the file system that
        ``root`` is on: there is no need to find it out again. ``None`` where nobody asked it.
    """

    root: Path | None
    durability: Durability = Durability.COMMIT
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    probe: Probe | None = None


@value_class
class SnapshotInfo:
    """A snapshot as the store knows it.

    :param key: the name it is known by in the store; any text.
    :param kind: committed, active or view.
    :param parent: the key of the committed snapshot below, ``None`` for a base.
    :param labels: text to text.
    :param created: when it was made; time zone aware, UTC.
    :param updated: when it or its labels last changed.
    """

    key: str
    kind: SnapshotKind
    parent: str | None
    labels: Mapping[str, str]
    created: datetime.datetime
    updated: datetime.datetime


ProbeFunction = Callable[["Path | None"], Probe]
