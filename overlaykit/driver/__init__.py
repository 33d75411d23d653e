"""All that a driver author needs: the contract, its values, and the words for what differs.

What a name needs is imported when it is first used.
"""

from __future__ import annotations

from ..lazy import lazy_names

TYPE_CHECKING = False

if TYPE_CHECKING:
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

_LATER = {
    "API_VERSION": "_values",
    "Aspect": ".tree",
    "Capability": "_capability",
    "Change": ".tree",
    "ChangeKind": ".tree",
    "Driver": "_driver",
    "DriverConfig": "_values",
    "DriverSpec": "_values",
    "Durability": "_values",
    "FileRun": "_writer",
    "FileSink": "_writer",
    "HostWriter": "_host_writer",
    "KeptWriter": "_kept_writer",
    "LayerWriter": "_writer",
    "MappedWriter": "_mapped_writer",
    "Mount": "_values",
    "NamespaceWriter": "_namespace_writer",
    "NodeAttributes": "_writer",
    "NodeKind": "_writer",
    "Probe": "_values",
    "SnapshotId": "_values",
    "SnapshotInfo": "_values",
    "SnapshotKind": "_values",
    "Tree": ".tree",
    "TreeWriter": "_tree_writer",
    "Usage": "_values",
    "hidden_paths": "_writer",
    "join_path": "_writer",
}

__getattr__, __dir__ = lazy_names(globals(), _LATER)
