"""Drivers that are wrong in one thing each: the memory driver with one mistake, and the test that must find it."""

from __future__ import annotations

import dataclasses
import errno
import os
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from overlaykit_memory import MemoryDriver
from overlaykit_memory._driver import CAPABILITIES
from overlaykit_memory._tree import MemoryTree

from overlaykit.driver import Aspect, Capability, Change, ChangeKind, DriverSpec, Mount, Probe, Usage

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator, Sequence

    from overlaykit.driver import DriverConfig, SnapshotId
    from overlaykit.tree import RenameFlag, StrOrBytesPath, TreeEntry


def probe(root: Path | None) -> Probe:
    return Probe(usable=True, reason="a mutant always works", capabilities=CAPABILITIES)


class Mutant(MemoryDriver):
    """The driver without a mistake: its trees are of a class that a mutant can exchange."""

    killer: ClassVar[str] = ""
    Tree: ClassVar[type[MemoryTree]] = MemoryTree
    needs_path: ClassVar[bool] = False
    claims: ClassVar[frozenset[Capability]] = frozenset()

    def tree(self, id: SnapshotId, *, readonly: bool) -> MemoryTree:
        snapshot = self._get(id)
        return self.Tree(snapshot, readonly=readonly or snapshot.frozen)

    def chain(self, id: SnapshotId) -> list[object]:
        found, at = [], self._get(id)
        while at is not None:
            found.append(at)
            at = at.parent
        return found


def spec_of(mutant: type[Mutant]) -> DriverSpec:
    return DriverSpec(
        name="mutant-" + mutant.__name__.lower(),
        factory=f"{__name__}:{mutant.__name__}",
        probe=f"{__name__}:probe",
        capabilities=CAPABILITIES | mutant.claims,
        needs_path=mutant.needs_path,
        summary="wrong in one thing",
    )


def below(tree: MemoryTree) -> MemoryTree | None:
    """The tree of the parent, writable as no driver may make it."""
    parent = tree._snapshot.parent
    if parent is None:
        return None
    parent.frozen = False
    return MemoryTree(parent, readonly=False)


def is_lower(tree: MemoryTree, path: StrOrBytesPath) -> bool:
    """Whether a file still is the parent's."""
    try:
        return tree.stat(path).st_ino not in tree._snapshot.own
    except OSError:
        return False


# -- layers ------------------------------------------------------------------------------------------------------------


class LowerWrittenThrough(Mutant):
    killer = "copy_on_write.layer_below_never_changes[write]"

    class Tree(MemoryTree):
        def write_bytes(self, path: StrOrBytesPath, data: bytes | bytearray | memoryview) -> int:
            lower = below(self)
            if lower is not None and lower.is_file(path):
                lower.write_bytes(path, data)
            return super().write_bytes(path, data)


class SiblingsShare(Mutant):
    killer = "isolation.siblings"

    def prepare(self, id: SnapshotId, parent: SnapshotId | None) -> None:
        for other in list(self._snapshots.values()):
            if parent is not None and not other.frozen and other.parent is self._get(parent):
                self._snapshots[id] = other
                return
        super().prepare(id, parent)


class CommittedIsWritable(Mutant):
    killer = "errno.view_is_readonly[write]"

    def commit(self, id: SnapshotId, new: SnapshotId) -> None:
        super().commit(id, new)
        self._get(new).frozen = False

    def tree(self, id: SnapshotId, *, readonly: bool) -> MemoryTree:
        return MemoryTree(self._get(id), readonly=False)


class DeepLayersLost(Mutant):
    killer = "stacking.many_layers[128]"

    def prepare(self, id: SnapshotId, parent: SnapshotId | None) -> None:
        super().prepare(id, parent)
        if len(self.chain(id)) == 101:
            with self.tree(id, readonly=False) as tree:
                if tree.exists("own/0"):
                    tree.unlink("own/0")


class RootModeLost(Mutant):
    killer = "lifecycle.root_mode_is_kept_and_inherited"

    def prepare(self, id: SnapshotId, parent: SnapshotId | None) -> None:
        super().prepare(id, parent)
        with self.tree(id, readonly=False) as tree:
            tree.chmod("", 0o755)


# -- whiteouts ---------------------------------------------------------------------------------------------------------


def _resurrect(driver: Mutant, id: SnapshotId, at_root: bool) -> None:
    snapshot = driver._get(id)
    if snapshot.parent is None:
        return
    lower = MemoryTree(snapshot.parent, readonly=True)
    with driver.tree(id, readonly=False) as tree:
        for path, _, entries in list(lower.walk()):
            for entry in entries:
                if (path == "") is at_root and tree.is_dir(path) and not tree.exists(entry.path, follow_symlinks=False):
                    tree.write_bytes(entry.path, b"risen")


class DeletedFileReturns(Mutant):
    killer = "whiteouts.deleted_file"

    def commit(self, id: SnapshotId, new: SnapshotId) -> None:
        _resurrect(self, id, at_root=False)
        super().commit(id, new)


class RootWhiteoutMissed(Mutant):
    killer = "whiteouts.deleted_file_at_the_root"

    def commit(self, id: SnapshotId, new: SnapshotId) -> None:
        _resurrect(self, id, at_root=True)
        super().commit(id, new)


def _bring_children(tree: MemoryTree, path: StrOrBytesPath, generations: int) -> None:
    snapshot = tree._snapshot
    for _ in range(generations):
        snapshot = snapshot.parent if snapshot is not None else None
    if snapshot is None:
        return
    lower = MemoryTree(snapshot, readonly=True)
    if lower.is_dir(path):
        for entry in lower.scandir(path):
            if entry.format == stat.S_IFREG:
                tree.write_bytes(entry.path, lower.read_bytes(entry.path))


class OpaqueIgnored(Mutant):
    killer = "whiteouts.recreated_in_one_layer"

    class Tree(MemoryTree):
        def mkdir(self, path: StrOrBytesPath, mode: int = 0o777) -> None:
            super().mkdir(path, mode)
            _bring_children(self, path, 1)


class OpaqueForgottenLater(Mutant):
    killer = "whiteouts.recreated_in_the_next_layer_but_one"

    class Tree(MemoryTree):
        def mkdir(self, path: StrOrBytesPath, mode: int = 0o777) -> None:
            super().mkdir(path, mode)
            _bring_children(self, path, 3)


class WhiteoutShows(Mutant):
    killer = "whiteouts.no_marker_is_ever_seen"

    class Tree(MemoryTree):
        def unlink(self, path: StrOrBytesPath) -> None:
            lower = below(self)
            super().unlink(path)
            if lower is not None and lower.exists(path):
                head, _, name = os.fsdecode(path).rpartition("/")
                super().write_bytes(f"{head}/.wh.{name}", b"")


class FullDirectoryIsRemoved(Mutant):
    killer = "errno.on_lower_files[rmdir-full]"

    class Tree(MemoryTree):
        def rmdir(self, path: StrOrBytesPath) -> None:
            for entry in list(self.scandir(path)):
                if is_lower(self, entry.path):
                    self.unlink(entry.path)
            super().rmdir(path)


# -- copy-up -----------------------------------------------------------------------------------------------------------


class HardLinkBroken(Mutant):
    killer = "links.change_through_one_name[write]"

    class Tree(MemoryTree):
        def write_bytes(self, path: StrOrBytesPath, data: bytes | bytearray | memoryview) -> int:
            if is_lower(self, path) and self.stat(path).st_nlink > 1 and not self.is_symlink(path):
                self.unlink(path)
            return super().write_bytes(path, data)


class MtimeLost(Mutant):
    killer = "times.metadata_changes_keep_the_time"

    class Tree(MemoryTree):
        def chmod(self, path: StrOrBytesPath, mode: int, *, follow_symlinks: bool = True) -> None:
            lower = is_lower(self, path)
            super().chmod(path, mode, follow_symlinks=follow_symlinks)
            if lower:
                self.utime(path)


class NanosecondsLost(Mutant):
    killer = "times.nanoseconds[1400000000111222333]"

    class Tree(MemoryTree):
        def utime(
            self, path: StrOrBytesPath, *, ns: tuple[int, int] | None = None, follow_symlinks: bool = True
        ) -> None:
            rounded = None if ns is None else (ns[0] // 1000 * 1000, ns[1] // 1000 * 1000)
            super().utime(path, ns=rounded, follow_symlinks=follow_symlinks)


class XattrLost(Mutant):
    killer = "xattrs.copied_up_for_another_reason"

    class Tree(MemoryTree):
        def write_bytes(self, path: StrOrBytesPath, data: bytes | bytearray | memoryview) -> int:
            names = self.listxattr(path) if is_lower(self, path) else []
            written = super().write_bytes(path, data)
            for name in names:
                self.removexattr(path, name)
            return written


class ModeLost(Mutant):
    killer = "copy_on_write.change_is_the_same_without_layers[write]"

    class Tree(MemoryTree):
        def write_bytes(self, path: StrOrBytesPath, data: bytes | bytearray | memoryview) -> int:
            lower = is_lower(self, path)
            written = super().write_bytes(path, data)
            if lower:
                self.chmod(path, 0o644)
            return written


class InodeChanges(Mutant):
    killer = "copy_on_write.file_inode_is_stable"

    class Tree(MemoryTree):
        def stat(self, path: StrOrBytesPath = "", *, follow_symlinks: bool = True) -> os.stat_result:
            result = super().stat(path, follow_symlinks=follow_symlinks)
            if stat.S_ISREG(result.st_mode) and result.st_ino in self._snapshot.own:
                fields = list(result.__reduce__()[1][0])
                fields[1] += 1 << 40
                return os.stat_result(fields, result.__reduce__()[1][1])
            return result


class ParentTimeTouched(Mutant):
    killer = "copy_on_write.parents_keep_their_attributes"

    class Tree(MemoryTree):
        def write_bytes(self, path: StrOrBytesPath, data: bytes | bytearray | memoryview) -> int:
            lower = is_lower(self, path)
            written = super().write_bytes(path, data)
            if lower:
                self.utime(os.fsdecode(path).rpartition("/")[0])
            return written


class AppendLosesContent(Mutant):
    killer = "copy_on_write.append"

    class Tree(MemoryTree):
        def open_raw(self, path: StrOrBytesPath, flags: int, mode: int = 0o666) -> io.RawIOBase:
            return super().open_raw(path, flags | (os.O_TRUNC if flags & os.O_APPEND else 0), mode)


class ExclusiveIgnored(Mutant):
    killer = "files.exclusive_creation"

    class Tree(MemoryTree):
        def open_raw(self, path: StrOrBytesPath, flags: int, mode: int = 0o666) -> io.RawIOBase:
            return super().open_raw(path, flags & ~os.O_EXCL, mode)


class RenameLosesChild(Mutant):
    killer = "renames.directory"

    class Tree(MemoryTree):
        def rename(self, src: StrOrBytesPath, dst: StrOrBytesPath, *, flags: RenameFlag = 0) -> None:  # type: ignore[assignment]
            super().rename(src, dst, flags=flags)
            if self.is_dir(dst, follow_symlinks=False):
                for entry in [one for one in self.scandir(dst) if one.format == stat.S_IFREG][:1]:
                    self.unlink(entry.path)


class DirectoryIsNotRenamed(Mutant):
    killer = "renames.directory_into_another"

    class Tree(MemoryTree):
        def rename(self, src: StrOrBytesPath, dst: StrOrBytesPath, *, flags: RenameFlag = 0) -> None:  # type: ignore[assignment]
            if self.is_dir(src, follow_symlinks=False) and is_lower(self, src):
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), src, None, dst)
            super().rename(src, dst, flags=flags)


class WrongErrno(Mutant):
    killer = "errno.on_own_files[unlink-directory]"

    class Tree(MemoryTree):
        def unlink(self, path: StrOrBytesPath) -> None:
            if self.is_dir(path, follow_symlinks=False):
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)
            super().unlink(path)


class ListedTwice(Mutant):
    killer = "stacking.listing_names_each_once"

    class Tree(MemoryTree):
        def scandir(self, path: StrOrBytesPath = "") -> Iterator[TreeEntry]:
            entries = list(super().scandir(path))
            lower = below(self)
            again = [
                one for one in entries if lower is not None and one.format == stat.S_IFREG and lower.exists(one.path)
            ]
            return iter(entries + again)


class TruncateScribbles(Mutant):
    killer = "properties.random_operations"

    class Tree(MemoryTree):
        def truncate(self, path: StrOrBytesPath, length: int) -> None:
            size = self.stat(path).st_size
            super().truncate(path, length)
            if 0 < length < size:
                with self.open_raw(path, os.O_WRONLY) as file:
                    file.write(b"?")


class CaseFolded(Mutant):
    killer = "names.case_matters"

    class Tree(MemoryTree):
        def write_bytes(self, path: StrOrBytesPath, data: bytes | bytearray | memoryview) -> int:
            return super().write_bytes(os.fsdecode(path).lower(), data)


class ClosedTreeWorks(Mutant):
    killer = "closed.operation_on_a_closed_tree[statvfs]"

    class Tree(MemoryTree):
        def statvfs(self) -> os.statvfs_result:
            return MemoryTree(self._snapshot, readonly=True).statvfs()


class SealIgnored(Mutant):
    killer = "lifecycle.commit_with_an_open_writer"

    class Tree(MemoryTree):
        def seal(self) -> None:
            self._check_open()


# -- changes -----------------------------------------------------------------------------------------------------------


class SameSizeEditMissed(Mutant):
    killer = "changes.same_size_edit_with_the_old_time"

    def changes(self, id: SnapshotId, parent: SnapshotId | None) -> Iterator[Change]:
        return (one for one in super().changes(id, parent) if one.aspects != Aspect.CONTENT)


class CopiedUpIsChanged(Mutant):
    killer = "changes.chmod_to_the_same_mode"

    def changes(self, id: SnapshotId, parent: SnapshotId | None) -> Iterator[Change]:
        listed = list(super().changes(id, parent))
        with self.tree(id, readonly=True) as tree:
            if parent is not None:
                for path, _, entries in tree.walk():
                    for entry in entries:
                        if not is_lower(tree, entry.path) and entry.path not in {one.path for one in listed}:
                            listed.append(Change(ChangeKind.MODIFIED, entry.path, Aspect.MODE))
                    del path
        return iter(listed)


class XattrChangeMissed(Mutant):
    killer = "aspects.xattr_alone"

    def changes(self, id: SnapshotId, parent: SnapshotId | None) -> Iterator[Change]:
        return (one for one in super().changes(id, parent) if one.aspects != Aspect.XATTRS)


class LinkChangeMissed(Mutant):
    killer = "aspects.hard_link_broken"

    def changes(self, id: SnapshotId, parent: SnapshotId | None) -> Iterator[Change]:
        return (one for one in super().changes(id, parent) if one.aspects != Aspect.LINKS)


class DeletedChildrenListed(Mutant):
    killer = "changes.deleted_directory_stands_alone"

    def changes(self, id: SnapshotId, parent: SnapshotId | None) -> Iterator[Change]:
        for one in super().changes(id, parent):
            yield one
            if one.kind is ChangeKind.DELETED and parent is not None:
                with self.tree(parent, readonly=True) as tree:
                    if tree.is_dir(one.path):
                        yield from (Change(ChangeKind.DELETED, entry.path) for entry in tree.scandir(one.path))


class AddedChildrenMissed(Mutant):
    killer = "changes.added_directory_lists_all"

    def changes(self, id: SnapshotId, parent: SnapshotId | None) -> Iterator[Change]:
        listed: set[str] = set()
        for one in super().changes(id, parent):
            if one.kind is ChangeKind.ADDED and one.path.rpartition("/")[0] in listed:
                continue
            listed.add(one.path)
            yield one


class ChangesUnordered(Mutant):
    killer = "changes.order"

    def changes(self, id: SnapshotId, parent: SnapshotId | None) -> Iterator[Change]:
        return iter(sorted(super().changes(id, parent), key=lambda one: os.fsencode(one.path)))


# -- snapshots ---------------------------------------------------------------------------------------------------------


class RemoveLeavesStorage(Mutant):
    killer = "lifecycle.remove_active"
    needs_path = True

    def __init__(self, config: DriverConfig) -> None:
        super().__init__(config)
        self._made = 0

    def prepare(self, id: SnapshotId, parent: SnapshotId | None) -> None:
        super().prepare(id, parent)
        assert self.config.root is not None
        (self.config.root / id).touch()


class RemovedReturns(Mutant):
    killer = "lifecycle.remove_then_prepare_again"

    def __init__(self, config: DriverConfig) -> None:
        super().__init__(config)
        self._removed: list[SnapshotId] = []

    def remove(self, id: SnapshotId) -> None:
        self._removed.append(id)
        super().remove(id)

    def ids(self) -> Iterator[SnapshotId]:
        yield from super().ids()
        yield from self._removed[-1:]


class CommitKeepsTheOldId(Mutant):
    killer = "lifecycle.commit_replaces_the_id"

    def commit(self, id: SnapshotId, new: SnapshotId) -> None:
        snapshot = self._get(id)
        super().commit(id, new)
        self._snapshots[id] = snapshot


class UsageIsConstant(Mutant):
    killer = "lifecycle.usage_grows"

    def usage(self, id: SnapshotId) -> Usage:
        self._get(id)
        return Usage(2 << 20, 8)


class LayerChangesOnDisk(Mutant):
    """Changes a committed layer's file behind everyone's back; only who does not ask the driver sees it."""

    killer = "copy_on_write.write"
    needs_path = True

    def commit(self, id: SnapshotId, new: SnapshotId) -> None:
        super().commit(id, new)
        assert self.config.root is not None
        (self.config.root / f"layer-{new}").write_text("content")

    def prepare(self, id: SnapshotId, parent: SnapshotId | None) -> None:
        super().prepare(id, parent)
        self._parent = parent

    def remove(self, id: SnapshotId) -> None:
        super().remove(id)
        assert self.config.root is not None
        (self.config.root / f"layer-{id}").unlink(missing_ok=True)

    def tree(self, id: SnapshotId, *, readonly: bool) -> MemoryTree:
        tree = super().tree(id, readonly=readonly)
        assert self.config.root is not None
        layer = self.config.root / f"layer-{self._parent}"
        if not readonly and layer.exists():
            layer.write_text("CONTENT")
        return tree


# -- claims and leaks --------------------------------------------------------------------------------------------------


class ClaimsBeyondItsSpecification(Mutant):
    killer = "capabilities.object_claims_no_more_than_the_specification"

    def __init__(self, config: DriverConfig) -> None:
        super().__init__(config)
        self.capabilities = self.capabilities | {Capability.TMPFILE}


class ClaimsMounts(Mutant):
    killer = "lifecycle.mounts"
    claims = frozenset({Capability.HOST_MOUNT})

    def __init__(self, config: DriverConfig) -> None:
        super().__init__(config)
        self.capabilities = self.capabilities | {Capability.HOST_MOUNT}


class MountsUnasked(Mutant):
    killer = "lifecycle.mounts_are_refused"

    def mounts(self, id: SnapshotId, *, readonly: bool) -> Sequence[Mount]:
        return [Mount("bind", "/")]


class LeaksDescriptor(Mutant):
    killer = "stacking.topmost_file_wins"

    def prepare(self, id: SnapshotId, parent: SnapshotId | None) -> None:
        super().prepare(id, parent)
        os.open("/", os.O_RDONLY)


class LeaksThread(Mutant):
    killer = "stacking.directories_merge"

    def prepare(self, id: SnapshotId, parent: SnapshotId | None) -> None:
        super().prepare(id, parent)
        threading.Thread(target=threading.Event().wait, daemon=True).start()


MUTANTS = [
    value
    for value in list(globals().values())
    if isinstance(value, type) and issubclass(value, Mutant) and value.killer
]


@dataclasses.dataclass(frozen=True)
class Subject:
    """A class of tests to make: a driver, and the theme that its killer is of."""

    name: str
    spec: DriverSpec
    theme: str


def subjects() -> list[Subject]:
    found = [Subject(mutant.__name__, spec_of(mutant), mutant.killer.partition(".")[0]) for mutant in MUTANTS]
    themes = sorted({subject.theme for subject in found})
    return found + [Subject(f"Unmutated_{theme}", spec_of(Mutant), theme) for theme in themes]
