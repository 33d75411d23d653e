"""Copying whole trees."""

from __future__ import annotations

import threading
from typing import Any

from ..values import value_class
from ._lib import load
from ._trees import call_with_path

__all__ = ["CopyProgress", "CopyResult", "copy_tree"]


@value_class
class CopyResult:
    """What a copy made.

    :param entries: names made, the root left out.
    :param links: of these, the further names of files that have several.
    :param bytes: bytes of file content, holes left out.
    :param reflinked: files whose blocks are shared with the source.
    """

    entries: int
    links: int
    bytes: int
    reflinked: int


class CopyProgress:
    """Watches and stops a copy that runs in another thread."""

    def __init__(self) -> None:
        self._struct: Any = load().ffi.new("struct ok_copy_progress *")

    def snapshot(self) -> CopyResult:
        """Return what has been made so far."""
        struct = self._struct
        return CopyResult(struct.entries, struct.links, struct.bytes, struct.reflinked)

    def cancel(self) -> None:
        """Make the copy stop soon, with ECANCELED."""
        self._struct.cancel = 1


def copy_tree(
    source: int,
    target: int,
    *,
    reflink: bool = True,
    cross_mounts: bool = False,
    threads: int = 0,
    inodes: int | None = None,
    progress: CopyProgress | None = None,
) -> CopyResult:
    """Copy the content of a directory into an empty one, and the directory's own attributes.

    Kept are types, permission bits with setuid, setgid and sticky, owners, access and modification times to the
    nanosecond, every extended attribute (ACLs and file capabilities included), hard links, holes and device numbers.
    File content is shared with the source where the file system can (FICLONE), else copied by the kernel
    (copy_file_range), else read and written; decided for each file. What vanishes from the source meanwhile is left
    out; a file that grows is copied up to the size it had. Trees may be deeper than PATH_MAX. A copy that fails leaves
    what it has made to the caller.

    :param source: descriptor of a directory.
    :param target: descriptor of an empty directory.
    :param reflink: share blocks where possible.
    :param cross_mounts: copy what is mounted inside the source; without it a mount point is an error (EXDEV).
    :param threads: how many to use; 0 for as many as pay.
    :param inodes: descriptor of a file to write to which inode was made of which, for :func:`differ`; nothing is
        written where the source is on several devices.
    :param progress: to watch or stop it from another thread.
    :returns: what was made.
    :raises OSError: something cannot be read or made; ``filename`` is its path below the source. EPERM: an owner, a
        device node or an attribute that the caller may not make. ECANCELED: :meth:`CopyProgress.cancel`.
        ENOTEMPTY: the target is not empty.
    """
    native = load()
    flags = (0 if reflink else native.lib.OK_COPY_NO_REFLINK) | (native.lib.OK_COPY_CROSS_MOUNTS if cross_mounts else 0)
    watched = progress or CopyProgress()
    log = -1 if inodes is None else inodes

    def run() -> None:
        call_with_path(native.lib.ok_copy_tree, source, target, flags, threads, log, watched._struct)

    if threading.current_thread() is threading.main_thread():
        _run_interruptibly(run, watched)
    else:
        run()
    return watched.snapshot()


def _run_interruptibly(run: Any, progress: CopyProgress) -> None:
    # Python runs signal handlers in the main thread only, between two of its own steps: not within a long C call.
    failures: list[BaseException] = []

    def work() -> None:
        try:
            run()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work, name="overlaykit-copy")
    thread.start()
    try:
        thread.join()
    except BaseException:
        progress.cancel()
        thread.join()
        raise
    if failures:
        raise failures[0]
