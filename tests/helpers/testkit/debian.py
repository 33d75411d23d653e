"""A minimal Debian as test data: made by mmdebstrap, changed as administrators change one."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from overlaykit.tree import Aspect, Change, ChangeKind
from testkit.loops import need_root, need_tool

if TYPE_CHECKING:
    from overlaykit.tree import Tree
    from testkit.dump import Dump, Node

__all__ = ["give_to_nobody", "make_base", "make_second", "replay"]

NOBODY = 65534
PURGED = ("e2fsprogs", "logsave", "tzdata", "usrmerge", "util-linux-extra", "adduser", "mount")
# A file capability, cap_net_raw+ep, as the kernel keeps it: revision 2 with the effective bit, little endian.
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
# An ACL, user::rw-,user:1000:r--,group::r--,mask::r--,other::r--: version 2, then tag, permissions, id.
ACL = bytes.fromhex("02000000 01000600ffffffff 02000400e8030000 04000400ffffffff 10000400ffffffff 20000400ffffffff")


def make_base(directory: Path) -> None:
    """Make a minimal Debian of this machine's own release, from this machine's own package sources."""
    need_root()
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    # It mounts and unmounts below the directory, which is no business of this machine's other processes.
    apart = [need_tool("unshare"), "--mount", "--propagation=private"]
    command = [*apart, need_tool("mmdebstrap"), "--quiet", "--mode=root", "--variant=minbase", release, str(directory)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    for path in directory.rglob("*"):
        if path.is_socket():
            path.unlink()


def make_second(base: Path, second: Path) -> None:
    """Make the tree that the second layer leads to: packages purged, files edited, directories replaced."""
    subprocess.run(["cp", "-a", base, second], check=True)
    _purge(second)
    _edit(second)
    _replace(second)
    _decorate(second)


def _purge(root: Path) -> None:
    query = ["chroot", os.fspath(root), "dpkg-query", "-W", "-f", "${Package}\n"]
    installed = subprocess.run(query, check=True, capture_output=True, text=True).stdout.split()
    names = [name for name in PURGED if name in installed]
    assert len(names) > 2, installed
    command = ["chroot", os.fspath(root), "dpkg", "--purge", "--force-depends", *names]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    done = subprocess.run(
        command, check=False, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _edit(root: Path) -> None:
    with open(root / "etc/profile", "a") as profile:
        profile.write("export EDITOR=vi\n")
    same = root / "etc/debian_version"
    before = same.stat()
    same.write_bytes(same.read_bytes()[::-1])
    os.utime(same, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.truncate(root / "etc/bash.bashrc", 100)
    (root / "etc/hostname").write_text("second\n")
    (root / "usr/bin/env").chmod(0o4711)
    os.chown(root / "var/log", 7, 8)
    os.utime(root / "etc/fstab", ns=(1, 1_234_567_890_123_456_789))


def _replace(root: Path) -> None:
    shutil.rmtree(root / "usr/share/lintian")
    (root / "usr/share/lintian").write_text("a directory before\n")
    shutil.rmtree(root / "usr/share/man")
    (root / "usr/share/man").symlink_to("/usr/share/doc")
    shutil.rmtree(root / "var/cache")
    (root / "var/cache").mkdir()
    (root / "var/cache/apt").write_text("made again, another type\n")
    link = next(path for path in sorted((root / "usr/bin").iterdir()) if path.is_symlink())
    link.unlink()
    link.mkdir()
    (link / "inside").write_text("a link before\n")
    (root / "usr/share/common-licenses").rename(root / "usr/share/licenses")
    perl = root / "usr/bin/perl"
    content, mode = perl.read_bytes(), perl.stat().st_mode
    perl.unlink()
    perl.write_bytes(content)
    perl.chmod(mode)


def _decorate(root: Path) -> None:
    odd = root / "opt"
    os.mkdir(os.fsencode(odd) + b"/\xff\xfe not UTF-8")
    (odd / "new\nline").write_text("x")
    (odd / ("n" * 255)).write_text("x")
    (odd / ".wh.plain").write_text("a plain name in a tree\n")
    (odd / "a,b:c\\d").write_text("x")
    with open(odd / "sparse", "wb") as sparse:
        sparse.write(b"start")
        sparse.seek(8 << 20)
        sparse.write(b"end")
    os.link(root / "etc/passwd", odd / "passwd")
    os.link(odd / "sparse", odd / "sparse too")
    os.mkfifo(odd / "fifo", 0o600)
    (odd / "sticky").mkdir()
    (odd / "sticky").chmod(0o3777)
    os.setxattr(root / "usr", "user.note", b"on a directory of the base")
    os.setxattr(root / "etc/passwd", "user.empty", b"")
    os.setxattr(root / "etc/group", "system.posix_acl_access", ACL)
    os.setxattr(root / "usr/bin/id", "security.capability", CAPABILITY)
    os.setxattr(odd / "a,b:c\\d", "trusted.test", b"\x00\xff")


def give_to_nobody(source: Path, target: Path) -> None:
    """Copy a tree as a user without privileges would have it: all of it owned by that user, no device nodes."""
    subprocess.run(["cp", "-a", source, target], check=True)
    for directory, names, files in os.walk(target):
        for path in (os.path.join(directory, name) for name in (*names, *files)):
            status = os.lstat(path)
            if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
                os.unlink(path)
                continue
            times = (status.st_atime_ns, status.st_mtime_ns)
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
            for name in os.listxattr(path, follow_symlinks=False):
                if not name.startswith("user."):
                    os.removexattr(path, name, follow_symlinks=False)
            if not stat.S_ISLNK(status.st_mode):
                os.chmod(path, stat.S_IMODE(status.st_mode) | stat.S_IRUSR | (stat.S_IXUSR & -os.path.isdir(path)))
            os.utime(path, ns=times, follow_symlinks=False)
    os.chown(target, NOBODY, NOBODY)


def replay(changes: list[Change], source: Path, wanted: Dump, tree: Tree, *, superuser: bool) -> None:
    """Make ``changes`` in a tree, taking what is new from ``source``, a directory that holds ``wanted``."""
    for change in changes:
        node = wanted.get(change.path)
        renewed = Aspect.TYPE | Aspect.LINKS | Aspect.TARGET | Aspect.DEVICE
        if node is None or change.aspects & renewed:
            _remove(tree, change.path)
        if node is None:
            continue
        if change.kind is ChangeKind.ADDED or change.aspects & renewed:
            _make(tree, change.path, node, source)
        elif Aspect.CONTENT in change.aspects:
            tree.write_bytes(change.path, (source / change.path).read_bytes())
        _attributes(tree, change.path, node, superuser=superuser)
    touched = {change.path for change in changes}
    touched |= {os.path.dirname(path) or "." for path in touched}
    for path in sorted(touched, key=os.fsencode, reverse=True):
        if path in wanted:
            tree.utime(path, ns=(wanted[path].mtime, wanted[path].mtime), follow_symlinks=False)


def _remove(tree: Tree, path: str) -> None:
    if tree.is_dir(path, follow_symlinks=False):
        tree.rmtree(path)
    else:
        tree.unlink(path)


def _make(tree: Tree, path: str, node: Node, source: Path) -> None:
    if node.first != path:
        tree.link(node.first, path)
    elif node.format == stat.S_IFDIR:
        tree.mkdir(path)
    elif node.format == stat.S_IFLNK:
        tree.symlink(node.target, path)
    elif node.format == stat.S_IFREG:
        tree.write_bytes(path, (source / path).read_bytes())
    else:
        tree.mknod(path, node.format | 0o600, node.device)


def _attributes(tree: Tree, path: str, node: Node, *, superuser: bool) -> None:
    status = tree.lstat(path)
    if superuser and (status.st_uid, status.st_gid) != node.owner:
        tree.chown(path, *node.owner, follow_symlinks=False)
    for name in tree.listxattr(path, follow_symlinks=False):
        if name not in dict(node.xattrs):
            tree.removexattr(path, name, follow_symlinks=False)
    for name, value in node.xattrs:
        if name != "security.capability":
            tree.setxattr(path, name, value, follow_symlinks=False)
    if node.format != stat.S_IFLNK and stat.S_IMODE(tree.lstat(path).st_mode) != node.mode:
        tree.chmod(path, node.mode)
    if "security.capability" in dict(node.xattrs):
        tree.setxattr(path, "security.capability", dict(node.xattrs)["security.capability"])
