"""Linux system calls that Python lacks, for drivers: the native module with types and errors.

Importing this package works everywhere; its functions raise :class:`~overlaykit.errors.UnsupportedError` where
:func:`available` is false.
"""

from __future__ import annotations

from ._btrfs import create_subvolume, delete_subvolume, is_btrfs, is_subvolume, snapshot_subvolume
from ._copy import CopyProgress, CopyResult, copy_tree
from ._differ import Difference, DifferenceFlag, differ
from ._lib import available
from ._mount import (
    MAX_LOWERS,
    MountMethod,
    attach,
    clone_directory,
    is_mount_admin,
    overlay_mount,
    overlay_mount_pair,
    set_readonly,
    set_writable,
    syncfs,
)
from ._open import (
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
    openat2,
)
from ._scan import Scan, ScanEntry, ScanFlag, scan_layer
from ._trees import TreeSurvey, TreeUsage, remove_tree, survey_tree, tree_usage
from ._userns import IdRange, enter_user_namespace, subordinate_ids

__all__ = [
    "MAX_LOWERS",
    "RESOLVE_BENEATH",
    "RESOLVE_IN_ROOT",
    "RESOLVE_NO_MAGICLINKS",
    "RESOLVE_NO_SYMLINKS",
    "RESOLVE_NO_XDEV",
    "CopyProgress",
    "CopyResult",
    "Difference",
    "DifferenceFlag",
    "IdRange",
    "MountMethod",
    "Scan",
    "ScanEntry",
    "ScanFlag",
    "TreeSurvey",
    "TreeUsage",
    "attach",
    "available",
    "clone_directory",
    "copy_tree",
    "create_subvolume",
    "delete_subvolume",
    "differ",
    "enter_user_namespace",
    "is_btrfs",
    "is_mount_admin",
    "is_subvolume",
    "openat2",
    "overlay_mount",
    "overlay_mount_pair",
    "remove_tree",
    "scan_layer",
    "set_readonly",
    "set_writable",
    "snapshot_subvolume",
    "subordinate_ids",
    "survey_tree",
    "syncfs",
    "tree_usage",
]
