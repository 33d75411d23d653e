"""All that a driver author needs: the contract, its values, and the words for what differs."""

from __future__ import annotations

from ..tree import Aspect, Change, ChangeKind, Tree
from ._capability import Capability
from ._driver import Driver
from ._host_writer import HostWriter
from ._kept_writer import KeptWriter
from ._mapped_writer import MappedWriter
from ._namespace_writer import NamespaceWriter
from ._tree_writer import TreeWriter
from ._values import (
    API_VERSION,
    DriverConfig,
    DriverSpec,
    Durability,
    Mount,
    Probe,
    SnapshotId,
    SnapshotInfo,
    SnapshotKind,
    Usage,
)
from ._writer import FileRun, FileSink, LayerWriter, NodeAttributes, NodeKind, hidden_paths, join_path

__all__ = [
    "API_VERSION",
    "Aspect",
    "Capability",
    "Change",
    "ChangeKind",
    "Driver",
    "DriverConfig",
    "DriverSpec",
    "Durability",
    "FileRun",
    "FileSink",
    "HostWriter",
    "KeptWriter",
    "LayerWriter",
    "MappedWriter",
    "Mount",
    "NamespaceWriter",
    "NodeAttributes",
    "NodeKind",
    "Probe",
    "SnapshotId",
    "SnapshotInfo",
    "SnapshotKind",
    "Tree",
    "TreeWriter",
    "Usage",
    "hidden_paths",
    "join_path",
]
