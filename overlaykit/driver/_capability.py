"""Named promises of a driver."""

from __future__ import annotations

import enum

__all__ = ["Capability"]


class Capability(enum.StrEnum):
    """A promise beyond the core of stacking, copy-on-write and whiteouts, which every driver keeps.

    The conformance suite tests a capability where it is declared, and that it is refused where it is not.
    """

    #: Trees have :attr:`Tree.host_path` and files a ``fileno()``: mmap, subprocesses, cwd, UNIX sockets work.
    HOST_PATH = "host-path"
    #: :meth:`Driver.mounts` says what a host would mount(2).
    HOST_MOUNT = "host-mount"
    #: Snapshots outlive the driver object and the process.
    PERSISTENT = "persistent"
    #: 500 layers work; without it at least 128 do.
    DEEP_STACK = "deep-stack"
    #: Permission bits and owners are enforced against the calling process, as the kernel does.
    PERMISSIONS = "permissions"
    #: chown to any owner; without it EPERM for an owner that is not the caller.
    OWNERSHIP = "ownership"
    #: mknod of block and character devices; without it EPERM.
    DEVICE_NODES = "device-nodes"
    #: ``trusted.*`` extended attributes; without it EPERM.
    TRUSTED_XATTRS = "trusted-xattrs"
    #: POSIX ACLs by ``system.posix_acl_access`` and ``system.posix_acl_default``; without it EOPNOTSUPP.
    ACL = "acl"
    #: ``O_TMPFILE`` in :meth:`Tree.open_raw`; without it EOPNOTSUPP.
    TMPFILE = "tmpfile"
    #: ``RenameFlag.EXCHANGE``; without it EINVAL.
    EXCHANGE = "exchange"
    #: Holes stay holes: ``st_blocks`` of a sparse file is far below its size, through copy-up and commit.
    SPARSE = "sparse"
    #: :meth:`Driver.rebase`: a layer can be written before its parent is there; without it layers come one by one.
    REBASE = "rebase"
    #: A committed snapshot cannot be changed from outside unnoticed: :meth:`Driver.verify` finds it.
    VERIFY = "verify"
