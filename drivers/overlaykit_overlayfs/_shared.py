"""What the trees of one snapshot have in common: one mount that takes the writes.

Two mounts must never share an upper directory. So the first writable tree of a snapshot mounts it *hot*, with the
upper, and all others show that mount, the read-only ones through a read-only second view of it. While no tree is
writable, read-only trees are *cold*: a mount of their own in which the upper is just the uppermost layer, which
disturbs nobody who writes to it elsewhere. When the snapshot gets hot or cold, the trees that are open are shown the
other mount in the descriptor that they have.
"""

from __future__ import annotations

import errno
import os
import threading
import weakref
from contextlib import suppress

from overlaykit import errors, linux
from overlaykit.tree import HostTree
from overlaykit.values import replace, value_class

from ._journal import Journal
from ._layout import Layers, Layout
from ._tree import OverlayTree

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._links import LinkIndex, Links

__all__ = ["Settings", "Shared"]


@value_class
class Settings:
    """How a driver mounts.

    :param rootless: in user namespaces.
    :param userxattr: with overlayfs' attributes in ``user.overlay.*``.
    :param volatile: without syncing the upper.
    :param boot: the machine's present boot.
    """

    rootless: bool
    userxattr: bool
    volatile: bool
    boot: str


class Shared:
    """The open trees of one snapshot in one driver object.

    :param forget: called when nothing of it is open any more.
    :ivar naming: held while names are moved about.
    """

    def __init__(
        self, layout: Layout, settings: Settings, index: LinkIndex, id: str, forget: Callable[[Shared], None]
    ) -> None:
        self.id = id
        self.naming = threading.RLock()
        self.journal = Journal(layout, id)
        self._layout = layout
        self._settings = settings
        self._index = index
        self._forget = forget
        self._lock = threading.RLock()
        # Of its own: raw() is called with `naming` held, which _heat() takes while it holds `_lock`.
        self._raw_lock = threading.Lock()
        self._writers = 0
        self._touched = False
        self._readers: weakref.WeakSet[OverlayTree] = weakref.WeakSet()
        self._hot: int | None = None
        self._hot_readonly: int | None = None
        self._raw: HostTree | None = None
        self._links: list[Links] | None = None
        self._over = False
        self._persist: Callable[[], None] | None = None

    # -- for OverlayTree -----------------------------------------------------------------------------------------

    @property
    def links(self) -> list[Links]:
        """The links of the layers below; empty where there are none, as usual."""
        if self._links is None:
            self._links = self._index.of(self._layout.layers(self.id).chain)
        return self._links

    @property
    def rootless(self) -> bool:
        """Whether the mounts are made in user namespaces."""
        return self._settings.rootless

    @property
    def hides(self) -> bool:
        """Whether passing objects may be in the tree: something is being moved, here or, while cold, elsewhere."""
        return self.journal.active or self._hot is None

    def raw(self) -> HostTree:
        """Return the merged view without what :class:`OverlayTree` adds; for the holder of :attr:`naming`."""
        with self._raw_lock:
            if self._hot is None:
                raise errors.StoreClosedError("the tree is closed; open it again")
            if self._raw is None:
                self._raw = HostTree(os.dup(self._hot))
            return self._raw

    # -- opening and closing -------------------------------------------------------------------------------------

    def open_tree(self, readonly: bool) -> OverlayTree | None:
        """Open one more tree; ``None`` where this object has ended meanwhile and the caller must take another."""
        with self._lock:
            if self._over:
                return None
            try:
                return self._open_reader() if readonly else self._open_writer()
            except BaseException:
                self._end_if_unused()
                raise

    def _open_writer(self) -> OverlayTree:
        if self._hot is None:
            self._heat()
        assert self._hot is not None
        tree = self._tree(os.dup(self._hot), False)
        self._writers += 1
        return tree

    def _open_reader(self) -> OverlayTree:
        tree = self._tree(self._mount_cold() if self._hot is None else self._dup_readonly(), True)
        self._readers.add(tree)
        return tree

    def _tree(self, fd: int, readonly: bool) -> OverlayTree:
        try:
            return OverlayTree(fd, self, writer=not readonly)
        except BaseException:
            os.close(fd)
            raise

    def close_tree(self, tree: OverlayTree) -> None:
        """Close a tree, once."""
        with self._lock:
            if tree.closed:
                return
            tree.close_descriptor()
            if not tree.writer:
                self._readers.discard(tree)
            elif not self._over:
                self._writers -= 1
                self._touched |= tree.touched
                if not self._writers:
                    self._cool()
            self._end_if_unused()

    def settle(self) -> None:
        """Unmount the upper before a commit.

        :raises LayerInUseError: a tree is open for writing, or a file that was opened in one.
        """
        with self._lock:
            if self._writers:
                raise errors.LayerInUseError(f"a tree of snapshot {self.id} is open for writing; close it first")
            if self._hot is not None:
                self.raw().seal()
                self._cool()
            self._end_if_unused()

    def persist(self, persist: Callable[[], None]) -> None:
        """Mount it volatile no more, and let what was written so far persist: now, or when it is unmounted.

        :param persist: what does that.
        """
        with self._lock:
            self._settings = replace(self._settings, volatile=False)
            if self._hot is None:
                persist()
            else:
                self._persist = persist

    def end(self) -> None:
        """Let go of the mount; the trees that are open keep theirs."""
        with self._lock:
            self._over = True
            self._close_hot()
            self._forget(self)

    def _end_if_unused(self) -> None:
        if not self._over and self._hot is None and not self._readers:
            self.end()

    # -- hot and cold --------------------------------------------------------------------------------------------

    def _heat(self) -> None:
        self._hot, self._hot_readonly = self._mount_hot()
        try:
            if self.journal.exists():
                with self.naming:
                    self.journal.recover(self.raw())
            for reader in self._readers:
                fd = self._dup_readonly()
                try:
                    reader.show(fd)
                finally:
                    os.close(fd)
        except BaseException:
            self._close_hot()
            raise

    def _cool(self) -> None:
        """Unmount the upper, unless a file in it is still open for writing: the mount is kept then."""
        assert self._hot is not None
        try:
            if self._touched:
                linux.set_readonly(self._hot, rootless=self._settings.rootless)
            for reader in self._readers:
                fd = self._mount_cold()
                try:
                    reader.show(fd)
                finally:
                    os.close(fd)
        except OSError:
            return  # EBUSY; or what would replace it cannot be had: to keep the mount is always right
        self._close_hot()

    def _close_hot(self) -> None:
        with self._raw_lock:
            if self._raw is not None:
                self._raw.close()
            for fd in (self._hot, self._hot_readonly):
                if fd is not None:
                    os.close(fd)
            self._raw = self._hot = self._hot_readonly = None
        self._touched = False
        persist, self._persist = self._persist, None
        if persist is not None:
            persist()

    def _dup_readonly(self) -> int:
        """Return a read-only view of the hot mount; a plain one where the kernel cannot, and manners must do."""
        assert self._hot is not None
        if self._hot_readonly is None and not self._settings.rootless:
            with suppress(OSError):  # before Linux 6.15
                self._hot_readonly = linux.clone_directory(self._hot, readonly=True, rootless=False)
        return os.dup(self._hot if self._hot_readonly is None else self._hot_readonly)

    def _mount_hot(self) -> tuple[int, int | None]:
        layers = self._layout.current_layers(self.id, self._settings.boot)
        settings = self._settings
        work = self._layout.file(self.id, "work")
        if settings.volatile and not layers.boot:
            layers = Layers(settings.boot, layers.chain)
            self._layout.replace(self.id, "layers", layers.encode(), durable=False)
        if not os.access(work, os.F_OK):  # a commit was begun
            os.mkdir(work, 0o700)
        elif layers.boot and os.access(work + "/work", os.F_OK):
            # The kernel refuses an upper that was mounted volatile. In the same boot nothing of it can be lost.
            self._layout.discard(work)
            os.mkdir(work, 0o700)
        lowers = list(map(self._layout.fs, layers.chain)) or [self._layout.empty]
        mount = linux.overlay_mount_pair if settings.rootless else _mount_single
        made = mount(
            lowers,
            self._layout.fs(self.id),
            work,
            volatile=settings.volatile,
            userxattr=settings.userxattr,
            rootless=settings.rootless,
        )
        if os.fstatvfs(made[0]).f_flag & os.ST_RDONLY:
            # The kernel found no room for its work directory, and says so in its log alone (ovl_get_workdir).
            for fd in made:
                if fd is not None:
                    os.close(fd)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), work)
        return made

    def _mount_cold(self) -> int:
        chain = self._layout.layers(self.id).chain
        settings = self._settings
        layers = [self._layout.fs(self.id), *map(self._layout.fs, chain)]
        if len(layers) == 1:
            layers.append(self._layout.empty)  # the kernel wants two
        if len(layers) <= linux.MAX_LOWERS:
            return linux.overlay_mount(layers, readonly=True, userxattr=settings.userxattr, rootless=settings.rootless)
        # One too many for layers; as an upper it does not count. Nothing is written through this mount.
        work = self._layout.stage(f"work-{self.id}-{threading.get_ident()}")
        os.mkdir(work, 0o700)
        try:
            return linux.overlay_mount(
                layers[1:],
                layers[0],
                work,
                readonly=True,
                userxattr=settings.userxattr,
                rootless=settings.rootless,
            )
        finally:
            self._layout.discard(work)


def _mount_single(
    lowers: list[str], upper: str, work: str, *, volatile: bool, userxattr: bool, rootless: bool
) -> tuple[int, None]:
    return linux.overlay_mount(lowers, upper, work, volatile=volatile, userxattr=userxattr, rootless=rootless), None
