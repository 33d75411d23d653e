"""Linux system calls that Python lacks, for drivers: the native module with types and errors.

Importing this package works everywhere; its functions raise :class:`~overlaykit.errors.UnsupportedError` where
:func:`available` is false. What is called is imported when it is first called.
"""

from __future__ import annotations

from ..lazy import lazy_names
from ._lib import available

TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._btrfs import create_subvolume, delete_subvolume, is_btrfs, is_subvolume, snapshot_subvolume
    from ._copy import CopyProgress, CopyResult, copy_tree
    from ._devices import guard_devices
    from ._differ import Difference, DifferenceFlag, differ
    from ._launch import LaunchFile, join, launch
    from ._list import FileStatus, list_directory
    from ._mount import (
        MAX_LOWERS,
        MountMethod,
        attach,
        clone_directory,
        is_mount_admin,
        is_overlay,
        overlay_mount,
        overlay_mount_pair,
        set_readonly,
        set_writable,
        syncfs,
    )
    from ._namespace import detach, mount_memory, own_mounts
    from ._open import (
        RESOLVE_BENEATH,
        RESOLVE_IN_ROOT,
        RESOLVE_NO_MAGICLINKS,
        RESOLVE_NO_SYMLINKS,
        RESOLVE_NO_XDEV,
        openat2,
    )
    from ._runner import open_runner, runner_path
    from ._scan import Scan, ScanEntry, ScanFlag, scan_layer
    from ._trees import TreeSurvey, TreeUsage, remove_tree, survey_tree, tree_usage
    from ._userns import IdRange, enter_user_namespace, in_user_namespace, missing_ids, subordinate_ids

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
    "FileStatus",
    "IdRange",
    "LaunchFile",
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
    "detach",
    "differ",
    "enter_user_namespace",
    "guard_devices",
    "in_user_namespace",
    "is_btrfs",
    "is_mount_admin",
    "is_overlay",
    "is_subvolume",
    "join",
    "launch",
    "list_directory",
    "missing_ids",
    "mount_memory",
    "open_runner",
    "openat2",
    "overlay_mount",
    "overlay_mount_pair",
    "own_mounts",
    "remove_tree",
    "runner_path",
    "scan_layer",
    "set_readonly",
    "set_writable",
    "snapshot_subvolume",
    "subordinate_ids",
    "survey_tree",
    "syncfs",
    "tree_usage",
]

_LATER = {
    "CopyProgress": "_copy",
    "CopyResult": "_copy",
    "Difference": "_differ",
    "DifferenceFlag": "_differ",
    "FileStatus": "_list",
    "IdRange": "_userns",
    "LaunchFile": "_launch",
    "join": "_launch",
    "launch": "_launch",
    "list_directory": "_list",
    "MAX_LOWERS": "_mount",
    "MountMethod": "_mount",
    "RESOLVE_BENEATH": "_open",
    "RESOLVE_IN_ROOT": "_open",
    "RESOLVE_NO_MAGICLINKS": "_open",
    "RESOLVE_NO_SYMLINKS": "_open",
    "RESOLVE_NO_XDEV": "_open",
    "Scan": "_scan",
    "ScanEntry": "_scan",
    "ScanFlag": "_scan",
    "TreeSurvey": "_trees",
    "TreeUsage": "_trees",
    "attach": "_mount",
    "clone_directory": "_mount",
    "copy_tree": "_copy",
    "create_subvolume": "_btrfs",
    "delete_subvolume": "_btrfs",
    "detach": "_namespace",
    "differ": "_differ",
    "enter_user_namespace": "_userns",
    "guard_devices": "_devices",
    "in_user_namespace": "_userns",
    "is_btrfs": "_btrfs",
    "is_mount_admin": "_mount",
    "is_overlay": "_mount",
    "is_subvolume": "_btrfs",
    "missing_ids": "_userns",
    "mount_memory": "_namespace",
    "open_runner": "_runner",
    "openat2": "_open",
    "overlay_mount": "_mount",
    "overlay_mount_pair": "_mount",
    "own_mounts": "_namespace",
    "remove_tree": "_trees",
    "runner_path": "_runner",
    "scan_layer": "_scan",
    "set_readonly": "_mount",
    "set_writable": "_mount",
    "snapshot_subvolume": "_btrfs",
    "subordinate_ids": "_userns",
    "survey_tree": "_trees",
    "syncfs": "_mount",
    "tree_usage": "_trees",
}

__getattr__, __dir__ = lazy_names(globals(), _LATER)
