"""Trees of inodes, for drivers with no file system below: what a kernel does with names, modes and errors, in Python.

A driver whose storage is a database, an archive or memory implements :class:`Inodes` for its snapshots, and
:class:`InodeTree` is the :class:`~overlaykit.tree.Tree` over that: paths with their symbolic links, the kernel's checks
in the kernel's order, the errno of each failure, what a new file inherits, extended attributes and access lists, and
open files that outlive their names.
"""

from __future__ import annotations

from ._file import InodeFile, drop_privileges
from ._inodes import Caller, Inodes
from ._node import BLOCK, MAX_SIZE, Directory, File, Node, Symlink, blocks_of, encode, status
from ._resolve import Last, Place, failure, text, walk
from ._tree import InodeTree

__all__ = [
    "BLOCK",
    "MAX_SIZE",
    "Caller",
    "Directory",
    "File",
    "InodeFile",
    "InodeTree",
    "Inodes",
    "Last",
    "Node",
    "Place",
    "Symlink",
    "blocks_of",
    "drop_privileges",
    "encode",
    "failure",
    "status",
    "text",
    "walk",
]
