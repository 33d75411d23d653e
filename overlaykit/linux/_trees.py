"""Whole trees: removing and measuring them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._lib import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..tree import StrOrBytesPath

__all__ = ["TreeUsage", "call_with_path", "remove_tree", "tree_usage"]

_PATH_SIZE = 4096


@dataclass(frozen=True, slots=True)
class TreeUsage:
    """What a tree on disk takes.

    :param bytes: bytes allocated.
    :param inodes: files, directories and other objects, the root included; hard links of one file count once.
    """

    bytes: int
    inodes: int


def call_with_path(function: Callable[..., int], *arguments: Any) -> int:
    """Call a function of the native module whose last two parameters take the path that a failure is about.

    :returns: its result.
    :raises OSError: it is negative; ``filename`` is the path, relative to the tree's root. A path of more than about
        4 kB loses its beginning.
    """
    native = load()
    where = native.ffi.new("char[]", _PATH_SIZE)
    result = function(*arguments, where, _PATH_SIZE)
    if result < 0:
        raise OSError(-result, os.strerror(-result), os.fsdecode(native.ffi.string(where)) or ".")
    return result


def remove_tree(directory: int, name: StrOrBytesPath) -> None:
    """Remove a name and all below it, however deep.

    Symbolic links are removed, never followed. Directories in which their owner may not write are made writable first.
    What another process removes at the same time, the name itself included, is no error.

    :param directory: descriptor of the directory that holds the name.
    :param name: one name, or a path below the directory.
    :raises OSError: something cannot be removed; ``filename`` is its path below ``name``. EBUSY: a mount point.
    """
    lib = load().lib
    call_with_path(lib.ok_remove_tree, directory, os.fsencode(name))


def tree_usage(directory: int) -> TreeUsage:
    """Measure a directory and all below it.

    Other mounts in it are left out, and what disappears meanwhile.

    :param directory: the directory's descriptor.
    :raises OSError: something cannot be looked at; ``filename`` is its path below the directory.
    """
    native = load()
    usage = native.ffi.new("struct ok_usage *")
    call_with_path(native.lib.ok_tree_usage, directory, usage)
    return TreeUsage(usage.bytes, usage.inodes)
