"""Errors of file operations: the errno that ext4 gives, in every driver, over lower files as over own ones."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from overlaykit.conformance._describe import DIR, FIFO, Symlink, apply, portrait
from overlaykit.conformance._suite import Suite
from overlaykit.tree import RenameFlag

if TYPE_CHECKING:
    from collections.abc import Callable

    from overlaykit.conformance._rig import Rig
    from overlaykit.tree import Tree

_LONG = "n" * 256
_WRITE = os.O_WRONLY
_NEW = os.O_WRONLY | os.O_CREAT

_TREE = {
    "file": "content",
    "other": "2",
    "dir/child": "1",
    "empty": DIR,
    "link": Symlink("file"),
    "dirlink": Symlink("dir"),
    "dangling": Symlink("nowhere"),
    "loop": Symlink("loop2"),
    "loop2": Symlink("loop"),
    "pipe": FIFO,
}

# Operations on the tree above and their errno; the same in a read-only tree.
_READS: dict[str, tuple[Callable[[Tree], object], int]] = {
    "open-missing": (lambda t: t.open_raw("no", os.O_RDONLY), errno.ENOENT),
    "open-empty-parent": (lambda t: t.open_raw("no/x", os.O_RDONLY), errno.ENOENT),
    "open-below-file": (lambda t: t.open_raw("file/x", os.O_RDONLY), errno.ENOTDIR),
    "open-file-slash": (lambda t: t.open_raw("file/", os.O_RDONLY), errno.ENOTDIR),
    "open-file-as-directory": (lambda t: t.open_raw("file", os.O_RDONLY | os.O_DIRECTORY), errno.ENOTDIR),
    "open-link-nofollow": (lambda t: t.open_raw("link", os.O_RDONLY | os.O_NOFOLLOW), errno.ELOOP),
    "open-loop": (lambda t: t.open_raw("loop", os.O_RDONLY), errno.ELOOP),
    "open-through-loop": (lambda t: t.open_raw("loop/x", os.O_RDONLY), errno.ELOOP),
    "open-dangling": (lambda t: t.open_raw("dangling", os.O_RDONLY), errno.ENOENT),
    "open-long-name": (lambda t: t.open_raw(_LONG, os.O_RDONLY), errno.ENAMETOOLONG),
    "stat-missing": (lambda t: t.stat("no"), errno.ENOENT),
    "stat-below-file": (lambda t: t.stat("file/x"), errno.ENOTDIR),
    "stat-file-slash": (lambda t: t.stat("file/"), errno.ENOTDIR),
    "stat-dangling": (lambda t: t.stat("dangling"), errno.ENOENT),
    "stat-loop": (lambda t: t.stat("loop"), errno.ELOOP),
    "stat-long-name": (lambda t: t.stat(_LONG), errno.ENAMETOOLONG),
    "lstat-missing": (lambda t: t.lstat("dir/no"), errno.ENOENT),
    "lstat-through-dangling": (lambda t: t.lstat("dangling/x"), errno.ENOENT),
    "scandir-missing": (lambda t: t.scandir("no"), errno.ENOENT),
    "scandir-file": (lambda t: t.scandir("file"), errno.ENOTDIR),
    "scandir-loop": (lambda t: t.scandir("loop"), errno.ELOOP),
    "readlink-missing": (lambda t: t.readlink("no"), errno.ENOENT),
    "readlink-file": (lambda t: t.readlink("file"), errno.EINVAL),
    "readlink-directory": (lambda t: t.readlink("dir"), errno.EINVAL),
    "getxattr-missing-name": (lambda t: t.getxattr("file", "user.no"), errno.ENODATA),
    "getxattr-missing-file": (lambda t: t.getxattr("no", "user.x"), errno.ENOENT),
    "listxattr-missing": (lambda t: t.listxattr("no"), errno.ENOENT),
}

# These a read-only tree refuses before it looks further.
_WRITES: dict[str, tuple[Callable[[Tree], object], int]] = {
    "open-directory-writing": (lambda t: t.open_raw("dir", _WRITE), errno.EISDIR),
    "open-root-writing": (lambda t: t.open_raw("", _WRITE), errno.EISDIR),
    "create-over-directory": (lambda t: t.open_raw("dir", _NEW), errno.EISDIR),
    "create-exclusive": (lambda t: t.open_raw("file", _NEW | os.O_EXCL), errno.EEXIST),
    "create-exclusive-directory": (lambda t: t.open_raw("dir", _NEW | os.O_EXCL), errno.EEXIST),
    "create-exclusive-link": (lambda t: t.open_raw("link", _NEW | os.O_EXCL), errno.EEXIST),
    "create-exclusive-dangling": (lambda t: t.open_raw("dangling", _NEW | os.O_EXCL), errno.EEXIST),
    "create-in-missing": (lambda t: t.open_raw("no/x", _NEW), errno.ENOENT),
    "create-below-file": (lambda t: t.open_raw("file/x", _NEW), errno.ENOTDIR),
    "create-long-name": (lambda t: t.open_raw(_LONG, _NEW), errno.ENAMETOOLONG),
    "create-slash": (lambda t: t.open_raw("new/", _NEW), errno.EISDIR),
    "create-loop": (lambda t: t.open_raw("loop", _NEW), errno.ELOOP),
    "truncate-missing": (lambda t: t.truncate("no", 0), errno.ENOENT),
    "truncate-directory": (lambda t: t.truncate("dir", 0), errno.EISDIR),
    "truncate-negative": (lambda t: t.truncate("file", -1), errno.EINVAL),
    "mkdir-over-file": (lambda t: t.mkdir("file"), errno.EEXIST),
    "mkdir-over-directory": (lambda t: t.mkdir("dir"), errno.EEXIST),
    "mkdir-over-link": (lambda t: t.mkdir("dirlink"), errno.EEXIST),
    "mkdir-over-dangling": (lambda t: t.mkdir("dangling"), errno.EEXIST),
    "mkdir-root": (lambda t: t.mkdir(""), errno.EEXIST),
    "mkdir-dot": (lambda t: t.mkdir("dir/."), errno.EEXIST),
    "mkdir-in-missing": (lambda t: t.mkdir("no/x"), errno.ENOENT),
    "mkdir-below-file": (lambda t: t.mkdir("file/x"), errno.ENOTDIR),
    "mkdir-long-name": (lambda t: t.mkdir(_LONG), errno.ENAMETOOLONG),
    "rmdir-missing": (lambda t: t.rmdir("no"), errno.ENOENT),
    "rmdir-file": (lambda t: t.rmdir("file"), errno.ENOTDIR),
    "rmdir-full": (lambda t: t.rmdir("dir"), errno.ENOTEMPTY),
    "rmdir-link": (lambda t: t.rmdir("dirlink"), errno.ENOTDIR),
    "rmdir-root": (lambda t: t.rmdir(""), errno.EBUSY),
    "rmdir-dot": (lambda t: t.rmdir("empty/."), errno.EINVAL),
    "unlink-missing": (lambda t: t.unlink("no"), errno.ENOENT),
    "unlink-directory": (lambda t: t.unlink("dir"), errno.EISDIR),
    "unlink-empty-directory": (lambda t: t.unlink("empty"), errno.EISDIR),
    "unlink-below-file": (lambda t: t.unlink("file/x"), errno.ENOTDIR),
    "unlink-file-slash": (lambda t: t.unlink("file/"), errno.ENOTDIR),
    "rename-missing": (lambda t: t.rename("no", "new"), errno.ENOENT),
    "rename-into-missing": (lambda t: t.rename("file", "no/x"), errno.ENOENT),
    "rename-below-file": (lambda t: t.rename("file", "other/x"), errno.ENOTDIR),
    "rename-file-over-directory": (lambda t: t.rename("file", "empty"), errno.EISDIR),
    "rename-directory-over-file": (lambda t: t.rename("dir", "file"), errno.ENOTDIR),
    "rename-directory-over-full": (lambda t: t.rename("empty", "dir"), errno.ENOTEMPTY),
    "rename-directory-into-itself": (lambda t: t.rename("dir", "dir/x"), errno.EINVAL),
    "rename-directory-over-its-parent": (lambda t: (t.mkdir("dir/sub"), t.rename("dir/sub", "dir")), errno.ENOTEMPTY),
    "rename-noreplace": (lambda t: t.rename("file", "other", flags=RenameFlag.NOREPLACE), errno.EEXIST),
    "rename-long-name": (lambda t: t.rename("file", _LONG), errno.ENAMETOOLONG),
    "rename-root": (lambda t: t.rename("", "new"), errno.EBUSY),
    "rename-over-root": (lambda t: t.rename("dir", ""), errno.EBUSY),
    "link-missing": (lambda t: t.link("no", "new"), errno.ENOENT),
    "link-missing-below-file": (lambda t: t.link("no", "file/x"), errno.ENOENT),
    "rename-missing-below-file": (lambda t: t.rename("no", "file/x"), errno.ENOTDIR),
    "link-over-file": (lambda t: t.link("file", "other"), errno.EEXIST),
    "link-over-directory": (lambda t: t.link("file", "dir"), errno.EEXIST),
    "link-directory": (lambda t: t.link("dir", "new"), errno.EPERM),
    "link-into-missing": (lambda t: t.link("file", "no/x"), errno.ENOENT),
    "link-long-name": (lambda t: t.link("file", _LONG), errno.ENAMETOOLONG),
    "symlink-over-file": (lambda t: t.symlink("x", "file"), errno.EEXIST),
    "symlink-over-dangling": (lambda t: t.symlink("x", "dangling"), errno.EEXIST),
    "symlink-in-missing": (lambda t: t.symlink("x", "no/x"), errno.ENOENT),
    "symlink-empty-target": (lambda t: t.symlink("", "new"), errno.ENOENT),
    "symlink-long-target": (lambda t: t.symlink("x" * 4096, "new"), errno.ENAMETOOLONG),
    "symlink-long-name": (lambda t: t.symlink("x", _LONG), errno.ENAMETOOLONG),
    "chmod-missing": (lambda t: t.chmod("no", 0o600), errno.ENOENT),
    "chmod-dangling": (lambda t: t.chmod("dangling", 0o600), errno.ENOENT),
    "chmod-link-itself": (lambda t: t.chmod("link", 0o600, follow_symlinks=False), errno.EOPNOTSUPP),
    "chown-missing": (lambda t: t.chown("no", -1, -1), errno.ENOENT),
    "utime-missing": (lambda t: t.utime("no", ns=(1, 1)), errno.ENOENT),
    "utime-dangling": (lambda t: t.utime("dangling", ns=(1, 1)), errno.ENOENT),
    "mknod-over-file": (lambda t: t.mknod("file", 0o010644), errno.EEXIST),
    "mknod-in-missing": (lambda t: t.mknod("no/x", 0o010644), errno.ENOENT),
    "mknod-whiteout": (lambda t: t.mknod("new", 0o020644, 0), errno.EPERM),
    "setxattr-missing": (lambda t: t.setxattr("no", "user.x", b""), errno.ENOENT),
    "setxattr-create": (
        lambda t: (t.setxattr("file", "user.x", b"1", 1), t.setxattr("file", "user.x", b"1", 1)),
        errno.EEXIST,
    ),
    "setxattr-replace": (lambda t: t.setxattr("file", "user.x", b"1", 2), errno.ENODATA),
    "setxattr-no-namespace": (lambda t: t.setxattr("file", "x", b"1"), errno.EOPNOTSUPP),
    "setxattr-long-name": (lambda t: t.setxattr("file", "user." + "x" * 251, b""), errno.ERANGE),
    "setxattr-user-on-link": (lambda t: t.setxattr("link", "user.x", b"", follow_symlinks=False), errno.EPERM),
    "setxattr-user-on-pipe": (lambda t: t.setxattr("pipe", "user.x", b""), errno.EPERM),
    "removexattr-missing": (lambda t: t.removexattr("file", "user.no"), errno.ENODATA),
}

_CHANGES: dict[str, Callable[[Tree], object]] = {
    "open-writing": lambda t: t.open_raw("file", _WRITE),
    "open-both": lambda t: t.open_raw("file", os.O_RDWR),
    "open-truncating": lambda t: t.open_raw("file", os.O_RDWR | os.O_TRUNC),
    "create": lambda t: t.open_raw("new", _NEW),
    "write": lambda t: t.write_bytes("file", b""),
    "mkdir": lambda t: t.mkdir("new"),
    "makedirs": lambda t: t.makedirs("new/deep"),
    "rmdir": lambda t: t.rmdir("empty"),
    "unlink": lambda t: t.unlink("file"),
    "rmtree": lambda t: t.rmtree("dir"),
    "rename": lambda t: t.rename("file", "new"),
    "link": lambda t: t.link("file", "new"),
    "symlink": lambda t: t.symlink("x", "new"),
    "chmod": lambda t: t.chmod("file", 0o600),
    "chmod-root": lambda t: t.chmod("", 0o700),
    "chown": lambda t: t.chown("file", os.geteuid(), os.getegid()),
    "utime": lambda t: t.utime("file", ns=(1, 1)),
    "utime-now": lambda t: t.utime("file"),
    "truncate": lambda t: t.truncate("file", 0),
    "mknod": lambda t: t.mknod("new", 0o010644),
    "setxattr": lambda t: t.setxattr("file", "user.x", b"1"),
    "removexattr": lambda t: t.removexattr("file", "user.set"),
}


def _build(tree: Tree) -> None:
    apply(tree, _TREE)  # type: ignore[arg-type]
    tree.setxattr("file", "user.set", b"1")


class TestErrno(Suite):
    """One table, three places for the files to be in."""

    @pytest.mark.parametrize(("operation", "expected"), (_READS | _WRITES).values(), ids=_READS | _WRITES)
    def test_on_lower_files(self, rig: Rig, operation: Callable[[Tree], object], expected: int) -> None:
        """An operation on lower files that cannot be done gives the errno that ext4 gives."""
        box = rig.over(_build)
        with pytest.raises(OSError) as caught:
            operation(box.tree)
        assert errno.errorcode.get(caught.value.errno or 0) == errno.errorcode[expected]

    @pytest.mark.parametrize(("operation", "expected"), (_READS | _WRITES).values(), ids=_READS | _WRITES)
    def test_on_own_files(self, rig: Rig, operation: Callable[[Tree], object], expected: int) -> None:
        """An operation on the container's own files that cannot be done gives the errno that ext4 gives."""
        box = rig.box()
        _build(box.tree)
        with pytest.raises(OSError) as caught:
            operation(box.tree)
        assert errno.errorcode.get(caught.value.errno or 0) == errno.errorcode[expected]

    @pytest.mark.parametrize(("operation", "expected"), _READS.values(), ids=_READS)
    def test_on_a_view(self, rig: Rig, operation: Callable[[Tree], object], expected: int) -> None:
        """Reading operations give the same errno in a read-only tree."""
        view = rig.view(rig.layer(_build))
        with pytest.raises(OSError) as caught:
            operation(view)
        assert errno.errorcode.get(caught.value.errno or 0) == errno.errorcode[expected]

    @pytest.mark.parametrize("operation", _CHANGES.values(), ids=_CHANGES)
    def test_view_is_readonly(self, rig: Rig, operation: Callable[[Tree], object]) -> None:
        """Every write in the read-only tree of a committed snapshot is EROFS, and changes nothing."""
        view = rig.view(rig.layer(_build))
        before = portrait(view)
        with pytest.raises(OSError) as caught:
            operation(view)
        assert errno.errorcode.get(caught.value.errno or 0) == "EROFS"
        assert portrait(view) == before

    @pytest.mark.parametrize("operation", _CHANGES.values(), ids=_CHANGES)
    def test_write_that_a_view_refuses_works_in_a_container(
        self, rig: Rig, operation: Callable[[Tree], object]
    ) -> None:
        """Every one of these writes works in a container over the same layer."""
        box = rig.over(_build)
        result = operation(box.tree)
        getattr(result, "close", lambda: None)()

    @pytest.mark.parametrize(("operation", "expected"), _WRITES.values(), ids=_WRITES)
    def test_failure_changes_nothing(self, rig: Rig, operation: Callable[[Tree], object], expected: int) -> None:
        """An operation that fails leaves no trace in the tree, and the parent's files as they were."""
        box = rig.over(_build)
        before = {path: node.what for path, node in portrait(box.tree).items()}
        with pytest.raises(OSError):
            operation(box.tree)
        after = {path: node.what for path, node in portrait(box.tree).items()}
        assert {path: what for path, what in after.items() if path != "dir/sub"} == before

    def test_error_names_the_path(self, rig: Rig) -> None:
        """An error carries the path as the caller gave it, both paths where there are two."""
        box = rig.over(_build)
        with pytest.raises(OSError) as caught:
            box.tree.stat("dir/no")
        assert caught.value.filename == "dir/no"
        with pytest.raises(OSError) as caught:
            box.tree.rename("no", "dir/new")
        assert (caught.value.filename, caught.value.filename2) == ("no", "dir/new")

    def test_nul_in_a_path(self, rig: Rig) -> None:
        """A path with a NUL is a ValueError, as in the os module."""
        box = rig.over(_build)
        for operation in (box.tree.stat, box.tree.mkdir, box.tree.unlink, box.tree.scandir, box.tree.read_bytes):
            with pytest.raises(ValueError, match="null"):
                operation("a\0b")

    def test_too_many_symlinks(self, rig: Rig) -> None:
        """A chain of 40 symbolic links is followed, one of 41 is ELOOP."""
        box = rig.over({"l0": "end", **{f"l{number}": Symlink(f"l{number - 1}") for number in range(1, 42)}})
        assert box.tree.read_bytes("l40") == b"end"
        with pytest.raises(OSError) as caught:
            box.tree.read_bytes("l41")
        assert caught.value.errno == errno.ELOOP
