"""The driver."""

from __future__ import annotations

import errno
import os
import stat
import threading
from functools import cached_property, partial
from pathlib import Path

from overlaykit import errors, linux
from overlaykit.driver import Capability, Driver, DriverConfig, Durability, Mount, SnapshotId, Usage
from overlaykit.values import replace

from ._layout import Layers, Layout, boot_id, sync_directory, write_file
from ._links import LinkIndex, encode_links
from ._probe import probe, uses_userxattr
from ._shared import Settings, Shared

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from overlaykit.driver import LayerWriter, Probe
    from overlaykit.tree import Change

    from ._changes import UpperTree
    from ._tree import OverlayTree

__all__ = ["OverlayfsDriver"]


_NO_MOUNT = frozenset(
    # ENOSPC: user.max_user_namespaces (user_namespaces(7)).
    {errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENODEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOSPC, errno.EUSERS}
)
"""What mounting fails with where it is not allowed, or there is no overlayfs."""


class OverlayfsDriver(Driver):
    """Keeps each snapshot as an upper directory of overlayfs, and shows it by a detached mount.

    :param config: ``root`` is needed; ``options`` may have ``volatile``: ``yes`` or ``no``.
    :raises StoreFormatError: the root holds something else.
    :raises UnsupportedError: the native module is missing, or this user cannot read layers made by root.
    :raises ValueError: an option's value is none.
    """

    def __init__(self, config: DriverConfig) -> None:
        super().__init__(config)
        del self.capabilities  # found out when asked for
        if config.root is None:
            raise ValueError("the overlayfs driver needs a directory")
        if not linux.available():
            self._usable(probe(config.root))
        volatile = config.options.get("volatile", "no")
        if volatile not in ("yes", "no"):
            raise ValueError(f"option volatile is yes or no, not {volatile!r}")
        rootless = not linux.is_mount_admin()
        self._layout = Layout(config.root, uses_userxattr(os.fspath(config.root)))
        userxattr = self._layout.format.userxattr
        if not userxattr and uses_userxattr(self._layout.root):
            self._layout.close()
            raise errors.UnsupportedError(
                f"the layers in {config.root} were made by root, with attributes that this user cannot read; "
                "work as root, or use a store of your own",
                filename=self._layout.root,
            )
        self._attributes = "user.overlay." if userxattr else "trusted.overlay."
        self._settings = Settings(
            rootless, userxattr, volatile == "yes" or config.durability is Durability.NONE, boot_id()
        )
        self._transient: set[str] = set()
        self._index = LinkIndex(self._layout, self._attributes)
        self._lock = threading.Lock()
        self._shared: dict[str, Shared] = {}
        self._usage: dict[str, Usage] = {}
        """Of what was just committed: to be asked for next, and known from its description."""

    @cached_property
    def capabilities(self) -> frozenset[Capability]:  # type: ignore[override]
        """See :attr:`Driver.capabilities`.

        :raises DriverUnavailableError: nothing can be mounted here.
        """
        return self._usable(self.config.probe or probe(Path(self._layout.staging)))

    def _usable(self, found: Probe) -> frozenset[Capability]:
        if not found.usable:
            raise errors.DriverUnavailableError(
                f"overlayfs does not work in {self.config.root}: {found.reason}; {found.fix}",
                reason=found.reason,
                fix=found.fix,
            )
        return found.capabilities

    # -- life of a snapshot --------------------------------------------------------------------------------------

    def prepare(self, id: SnapshotId, parent: SnapshotId | None) -> None:
        chain = () if parent is None else self._chain(parent)
        full = self.config.durability is Durability.FULL
        staged = self._layout.stage(id)
        upper = staged + "/fs"
        os.mkdir(staged, 0o700)
        os.mkdir(upper, 0o755)
        os.mkdir(staged + "/work", 0o700)
        layers = Layers(self._settings.boot if self._settings.volatile else "", chain)
        write_file(staged + "/layers", layers.encode(), durable=full)
        if parent is None:
            os.chmod(upper, 0o755)  # noqa: S103 - what the contract says, whatever the umask
        else:
            self._copy_root(self._layout.fs(parent), upper)
        if full:
            for path in (upper, staged + "/work", staged):
                sync_directory(path)
        os.rename(staged, f"{self._layout.snapshots}/{id}")
        if full:
            sync_directory(self._layout.snapshots)

    def transient(self, id: SnapshotId) -> None:
        with self._lock:
            self._transient.add(id)

    def persist(self, id: SnapshotId) -> None:
        with self._lock:
            self._transient.discard(id)
            shared = self._shared.get(id)
        if self._settings.volatile:
            return
        if shared is None:
            self._persist(id)
        else:
            shared.persist(partial(self._persist, id))

    def _persist(self, id: str) -> None:
        """Write what was mounted volatile to the disk, after which it may be mounted as any other."""
        layout = self._layout
        layers = layout.layers(id)
        if layers.boot:
            self._sync(id, layers)
            work = layout.file(id, "work")
            layout.discard(work)
            os.mkdir(work, 0o700)

    def _chain(self, parent: SnapshotId) -> tuple[str, ...]:
        """Return what is below a snapshot over ``parent``, uppermost first."""
        chain = (parent, *self._layout.layers(parent).chain)
        if len(chain) > linux.MAX_LOWERS:
            raise errors.UnsupportedError(
                f"{len(chain)} layers are below the new snapshot and the kernel's overlayfs stacks at most "
                f"{linux.MAX_LOWERS}: copy the parent's tree into a new base layer, or use another driver"
            )
        return chain

    def rebase(self, id: SnapshotId, parent: SnapshotId) -> None:
        if Capability.REBASE not in self.capabilities:
            super().rebase(id, parent)
        layers = Layers(self._layout.layers(id).boot, self._chain(parent))
        self._layout.replace(id, "layers", layers.encode(), durable=self.config.durability is Durability.FULL)

    def _copy_root(self, source: str, target: str) -> None:
        """Give a new upper the attributes of the parent's root, which are those of the parent's own layer."""
        status = os.stat(source)
        made = os.stat(target)
        if (made.st_uid, made.st_gid) != (status.st_uid, status.st_gid):
            os.chown(target, status.st_uid, status.st_gid)
        own = self._attributes
        for name in os.listxattr(source):
            if not name.startswith(own) or name.startswith(own + "overlay."):
                os.setxattr(target, name, os.getxattr(source, name))
        if made.st_mode != status.st_mode:
            os.chmod(target, stat.S_IMODE(status.st_mode))
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))

    def commit(self, id: SnapshotId, new: SnapshotId) -> None:
        shared = self._open_shared(id)
        if shared is not None:
            shared.settle()
        layout = self._layout
        layers = layout.current_layers(id, self._settings.boot)
        if len(layers.chain) >= linux.MAX_LOWERS:
            raise errors.UnsupportedError(
                f"this would be layer {len(layers.chain) + 1} and the kernel's overlayfs stacks at most "
                f"{linux.MAX_LOWERS}: copy the tree into a new base layer, or use another driver"
            )
        if os.path.lexists(layout.file(id, "journal")):
            self.tree(id, readonly=False).close()  # finishes what a dead process left
        usage = self._describe(id)
        if self.config.durability is not Durability.NONE:
            self._sync(id, layers)
        os.rename(f"{layout.snapshots}/{id}", f"{layout.snapshots}/{new}")
        if self.config.durability is not Durability.NONE:
            sync_directory(layout.snapshots)
        layout.discard(layout.file(new, "work"))
        if usage is not None:
            self._usage[new] = Usage(usage.bytes, usage.inodes)

    def _describe(self, id: str) -> linux.TreeUsage | None:
        """Write down what is committed: for :meth:`verify`, and to keep hard links together."""
        layout = self._layout
        scan = self._scan(id)
        write_file(layout.file(id, "manifest"), scan.to_bytes())
        links = encode_links(os.stat(layout.fs(id)).st_ino, scan)
        if links is not None:
            write_file(layout.file(id, "links"), links)
        return scan.usage

    def _sync(self, id: str, layers: Layers) -> None:
        fd = os.open(self._layout.file(id, ""), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            linux.syncfs(fd)
            if layers.boot:
                self._layout.replace(id, "layers", Layers("", layers.chain).encode(), durable=True)
                os.fsync(fd)
        finally:
            os.close(fd)

    def remove(self, id: SnapshotId) -> None:
        shared = self._open_shared(id)
        if shared is not None:
            shared.end()
        self._layout.discard(f"{self._layout.snapshots}/{id}")
        self._index.forget(id)
        with self._lock:
            self._transient.discard(id)
        self._usage.pop(id, None)
        if self.config.durability is Durability.FULL:
            sync_directory(self._layout.snapshots)

    # -- looking at one ------------------------------------------------------------------------------------------

    def _open_shared(self, id: str) -> Shared | None:
        with self._lock:
            return self._shared.get(id)

    def _take(self, id: str) -> Shared:
        with self._lock:
            shared = self._shared.get(id)
            if shared is None:
                settings = self._settings
                if id in self._transient:
                    settings = replace(settings, volatile=True)
                shared = self._shared[id] = Shared(self._layout, settings, self._index, id, self._forget)
            return shared

    def _forget(self, shared: Shared) -> None:
        with self._lock:
            if self._shared.get(shared.id) is shared:
                del self._shared[shared.id]

    def tree(self, id: SnapshotId, *, readonly: bool) -> OverlayTree:
        try:
            while True:
                tree = self._take(id).open_tree(readonly)
                if tree is not None:
                    return tree
        except OSError as error:
            if error.errno in _NO_MOUNT and not isinstance(error, errors.OverlaykitError):
                self._check_usable(error)
            raise

    def _check_usable(self, cause: OSError) -> None:
        """Say what is wrong where nothing can be mounted here at all, and what would help."""
        room = os.statvfs(self._layout.root)
        if room.f_bavail and room.f_favail:  # else it is the disk that is full
            try:
                _ = self.capabilities
            except errors.DriverUnavailableError as unavailable:
                raise unavailable from cause

    def _upper(self, id: str) -> UpperTree:
        from ._changes import UpperTree

        return UpperTree(os.open(self._layout.fs(id), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), self._attributes)

    def _scan(self, id: str) -> linux.Scan:
        fd = os.open(self._layout.fs(id), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return linux.scan_layer(fd, self._attributes)
        finally:
            os.close(fd)

    def writer(self, id: SnapshotId, parent: SnapshotId | None) -> LayerWriter:
        if Capability.OWNERSHIP not in self.capabilities:
            return super().writer(id, parent)
        from ._writer import UpperWriter

        root = os.open(self._layout.fs(id), os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        return UpperWriter(root, self._attributes, lambda: self.tree(id, readonly=False))

    def kept_writer(self, id: SnapshotId, parent: SnapshotId | None, *, partial: bool) -> LayerWriter:
        from ._kept import KeptUpperWriter, NamespaceUpperWriter

        root = os.open(self._layout.fs(id), os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        below = None if parent is None else lambda: self.tree(parent, readonly=True)
        writer = NamespaceUpperWriter if partial else KeptUpperWriter
        return writer(root, self._attributes, lambda: self.tree(id, readonly=False), below)

    def usage(self, id: SnapshotId) -> Usage:
        committed = self._usage.pop(id, None)
        if committed is not None:
            return committed
        fd = os.open(self._layout.fs(id), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            usage = linux.tree_usage(fd)
        finally:
            os.close(fd)
        return Usage(usage.bytes, usage.inodes)

    def ids(self) -> Iterator[SnapshotId]:
        return map(SnapshotId, self._layout.ids())

    def changes(self, id: SnapshotId, parent: SnapshotId | None) -> Iterator[Change]:
        """Yield how a snapshot differs from its parent; the work depends on what was changed alone.

        It is looked at as it was when this was called: what is written to an active one meanwhile may show or not.
        """
        from ._changes import Comparison, compare_root

        scan = self._scan(id)
        token = f".{self._layout.format.token}-"
        with self._upper(id) as upper:
            if parent is None:
                yield from compare_root(scan, upper, token)
                return
            links = self._index.of(self._layout.layers(id).chain)
            with self.tree(parent, readonly=True) as before:
                yield from Comparison(scan, upper, before, token, links).changes()

    def mounts(self, id: SnapshotId, *, readonly: bool) -> Sequence[Mount]:
        """Return one mount.

        mount(2) takes 4095 bytes of options and cuts off the rest: for more than some 40 layers use
        :func:`overlaykit.linux.attach` on a tree's descriptor.
        """
        layout = self._layout
        chain = self._layout.layers(id).chain
        if readonly and not chain:
            return [Mount("bind", layout.fs(id), ("ro", "rbind"))]
        lowers = [layout.fs(lower) for lower in chain] or [layout.empty]
        options = ["userxattr"] if self._settings.userxattr else []
        if readonly:
            lowers.insert(0, layout.fs(id))
        else:
            if self._settings.volatile:
                options.append("volatile")
            options.append("upperdir=" + _escape(layout.fs(id), "\\,"))
            options.append("workdir=" + _escape(layout.file(id, "work"), "\\,"))
        options.append("lowerdir=" + ":".join(_escape(lower, "\\,:") for lower in lowers))
        return [Mount("overlay", "overlay", tuple(options))]

    def verify(self, id: SnapshotId) -> None:
        """Check that nobody changed a committed layer behind the driver's back, by inode and change times.

        A store that was copied to another place has other inodes; there names, types, modes, owners, sizes and
        modification times count.

        :raises SnapshotDamagedError: somebody did; the message names the first path.
        """
        try:
            with open(self._layout.file(id, "manifest"), "rb") as file:
                expected = linux.Scan.from_bytes(file.read())
        except (FileNotFoundError, ValueError) as error:
            raise errors.SnapshotDamagedError(
                f"the manifest of snapshot {id} is missing or damaged; remove the snapshot",
                filename=self._layout.fs(id),
            ) from error
        try:
            found = self._scan(id)
        except FileNotFoundError as error:
            raise errors.SnapshotDamagedError(
                f"the layer of snapshot {id} is gone; remove the snapshot", filename=self._layout.fs(id)
            ) from error
        from ._manifest import compare_manifest

        difference = compare_manifest(expected, found)
        if difference is not None:
            what, path = difference
            raise errors.SnapshotDamagedError(
                f"snapshot {id} was changed after its commit: {path or '.'} {what}; remove the snapshot",
                filename=f"{self._layout.fs(id)}/{path}",
            )

    # -- the rest ------------------------------------------------------------------------------------------------

    def cleanup(self) -> None:
        self._layout.cleanup()

    def close(self) -> None:
        with self._lock:
            shared = list(self._shared.values())
        for each in shared:
            each.end()
        self._layout.close()


def _escape(path: str, special: str) -> str:
    return "".join("\\" + character if character in special else character for character in path)
