"""Whole trees: removing and surveying them."""

from __future__ import annotations

import os

from ..values import value_class
from ._lib import load

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..tree import StrOrBytesPath

__all__ = ["TreeSurvey", "TreeUsage", "call_with_path", "remove_tree", "survey_tree", "tree_usage"]

_PATH_SIZE = 4096
_NEVER = (1 << 63) - 1


@value_class
class TreeUsage:
    """What a tree on disk takes.

    :param bytes: bytes allocated.
    :param inodes: files, directories and other objects, the root included; hard links of one file count once.
    """

    bytes: int
    inodes: int


@value_class
class TreeSurvey:
    """What a look at every entry of a tree on disk finds; file content and extended attributes are not read.

    :param bytes: bytes allocated.
    :param inodes: files, directories and other objects, the root included; hard links of one file count once.
    :param exact: 32 hexadecimal digits over names, attributes, inode numbers, link counts and change times. Nothing in
        the tree can be changed without changing them, except by who writes to the disk below the file system or sets
        the machine's clock back to the nanosecond. No cryptographic digest.
    :param portable: the same without what no copy can keep: inode numbers, link counts, change times.
    :param root: the root's inode number.
    :param newest: the latest change time of any entry, in nanoseconds.
    :param newest_path: the path of the entry that has it, where that is at or after the moment asked for, else ``""``.
    :param one_device: whether everything has one device number; false where there are Btrfs subvolumes inside.
    """

    bytes: int
    inodes: int
    exact: str
    portable: str
    root: int
    newest: int
    newest_path: str
    one_device: bool


def call_with_path(function: Callable[..., int], *arguments: Any) -> str:
    """Call a function of the native module whose last two parameters take a path.

    :returns: the path.
    :raises OSError: its result is negative; ``filename`` is the path, relative to the tree's root. A path of more than
        about 4 kB loses its beginning.
    """
    native = load()
    where = native.ffi.new("char[]", _PATH_SIZE)
    result = function(*arguments, where, _PATH_SIZE)
    path = os.fsdecode(native.ffi.string(where))
    if result < 0:
        raise OSError(-result, os.strerror(-result), path or ".")
    return path


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


def survey_tree(directory: int, *, since: int | None = None) -> TreeSurvey:
    """Look at a directory and all below it.

    Other mounts in it are left out, and what disappears meanwhile.

    :param directory: the directory's descriptor.
    :param since: nanoseconds since the epoch; see :attr:`TreeSurvey.newest_path`.
    :raises OSError: something cannot be looked at; ``filename`` is its path below the directory.
    """
    native = load()
    found = native.ffi.new("struct ok_survey *")
    path = call_with_path(native.lib.ok_tree_survey, directory, _NEVER if since is None else since, found)
    return TreeSurvey(
        bytes=found.bytes,
        inodes=found.inodes,
        exact="".join(f"{lane:016x}" for lane in found.exact),
        portable="".join(f"{lane:016x}" for lane in found.portable),
        root=found.root,
        newest=found.newest,
        newest_path="" if since is None or found.newest < since else path or ".",
        one_device=not found.devices,
    )


def tree_usage(directory: int) -> TreeUsage:
    """Measure a directory and all below it; see :func:`survey_tree`."""
    survey = survey_tree(directory)
    return TreeUsage(survey.bytes, survey.inodes)
