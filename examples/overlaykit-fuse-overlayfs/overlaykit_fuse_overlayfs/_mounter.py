"""The program that mounts, ``python -I -S _mounter.py SOCKET POINT``, in namespaces of its own, until SOCKET closes.

Each message on the socket is the options of a mount; the answer is one descriptor of it, or what went wrong. The mount
is attached to POINT for a moment, in this process's mount namespace that nobody else is in; what is handed out is a
clone that is attached nowhere. So it lives as long as somebody holds a descriptor in it, and whoever is killed leaves
none: with the last descriptor the kernel ends the mount, and fuse-overlayfs with it.

It imports nothing but the standard library's lightest, and no overlaykit: it starts in some 20 ms.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_REC, _MS_SLAVE, _MNT_DETACH = 0x4000, 1 << 19, 2
_PR_SET_CHILD_SUBREAPER, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 36, 47, 2
_CAP_SYS_ADMIN = 21
_OPEN_TREE, _OPEN_TREE_CLONE, _AT_FDCWD = 428, 1, -100

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), what)
    return result


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def _keep_capability(number: int) -> None:
    """Keep one capability through exec(2), which else only root does: it has to be inheritable, then ambient."""
    header = _Header(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    _check(_libc.capget(ctypes.byref(header), data), "capget")
    data[2] |= 1 << number
    _check(_libc.capset(ctypes.byref(header), data), "capset")
    _check(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0), "prctl")


def _enter_namespaces() -> None:
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        _check(_libc.unshare(_CLONE_NEWNS), "unshare")
    else:
        _check(_libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS), "unshare")
        _write("/proc/self/setgroups", "deny")
        # As itself, not as root: for root fuse-overlayfs mounts with allow_other, which lets nobody in from outside
        # of this user namespace, not even its owner.
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
        _keep_capability(_CAP_SYS_ADMIN)
    _check(_libc.mount(b"none", b"/", None, _MS_REC | _MS_SLAVE, None), "mount")


def _mount(options: str, point: str) -> int:
    reading, writing = os.pipe()
    try:
        actions = [(os.POSIX_SPAWN_DUP2, writing, 1), (os.POSIX_SPAWN_DUP2, writing, 2)]
        words = ["fuse-overlayfs", "-o", options, point]
        child = os.posix_spawnp(words[0], words, os.environ, file_actions=actions)
    finally:
        os.close(writing)
    with open(reading, "rb") as said:
        # It ends when the mount is there, and goes on in the background with its output closed.
        output = said.read().decode(errors="replace").strip()
    _, status = os.waitpid(child, 0)
    if status:
        raise OSError(5, output or f"fuse-overlayfs ended with {os.waitstatus_to_exitcode(status)}", point)
    try:
        return _check(_libc.syscall(_OPEN_TREE, _AT_FDCWD, os.fsencode(point), _OPEN_TREE_CLONE | os.O_CLOEXEC), point)
    finally:
        _check(_libc.umount2(os.fsencode(point), _MNT_DETACH), point)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _next(channel: socket.socket) -> bytes:
    """Return the options of the next mount; none when the other side is gone, by its own will or killed."""
    try:
        return channel.recv(1 << 20)
    except ConnectionResetError:
        return b""


def main() -> None:
    """Serve until the other side is gone."""
    channel, point = socket.socket(fileno=int(sys.argv[1])), sys.argv[2]
    try:
        _enter_namespaces()
        channel.send(b"ready")
    except OSError as error:
        channel.send(f"{error.errno} {error.strerror} ({error.filename})".encode())
        return
    # Each fuse-overlayfs in the background becomes a child of this process, which looks after those that have ended.
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")
    while options := _next(channel):
        _reap()
        try:
            descriptor = _mount(os.fsdecode(options), point)
        except OSError as error:
            channel.send(f"{error.errno} {error.strerror}".encode())
        else:
            socket.send_fds(channel, [b"mounted"], [descriptor])
            os.close(descriptor)


if __name__ == "__main__":
    main()
