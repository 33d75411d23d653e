"""The one state machine that applies layers, for all drivers.

What an entry means is decided here, against what the layer itself has put so far and the tree below; a writer stores
it. Whiteouts are settled at the end, so that their place among the entries does not matter (OCI image specification,
layer.md, "Whiteouts"). Where one arrives too late, because something was decided by what it hides, :class:`Restart` is
raised.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from .. import errors
from ..driver import NodeAttributes, NodeKind, join_path
from ..values import value_class
from ._below import Below
from ._nodes import Node, Put
from ._paths import META, NAME, OPAQUE, UNFIT, WHITEOUT, is_below_meta, is_whiteout, refused, show, unfit
from ._tar import TarKind, TarReader, TarRun

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from ..driver import LayerWriter
    from ._below import LowerTree
    from ._limits import Limits
    from ._tar import TarEntry

__all__ = ["Applied", "Restart", "apply_layer"]

_IMPLICIT = NodeAttributes(0o755)
_LINKS = 40
"""Symbolic links followed for one path, as the kernel has it."""

_NODES = {TarKind.FIFO: NodeKind.FIFO, TarKind.CHARACTER: NodeKind.CHARACTER, TarKind.BLOCK: NodeKind.BLOCK}


@value_class
class Applied:
    """What was applied.

    :param entries: members of the archive.
    :param bytes: bytes of content of its files.
    :param skipped: sockets, and what AUFS kept for itself: left out.
    """

    entries: int
    bytes: int
    skipped: int


class Restart(Exception):
    """The layer must be applied again, to a new snapshot.

    :param hidden: the whiteouts and opaque markers of the whole layer, as the archive has their paths.
    """

    def __init__(self, hidden: frozenset[bytes]) -> None:
        super().__init__("a whiteout hides what was used before it came")
        self.hidden = hidden


def apply_layer(
    chunks: Iterable[bytes | memoryview],
    writer: LayerWriter,
    lower: Callable[[], LowerTree] | None,
    *,
    limits: Limits,
    hidden: Iterable[bytes] | None = None,
) -> Applied:
    """Apply a layer.

    :param chunks: its uncompressed archive.
    :param writer: of the new snapshot; not closed.
    :param lower: returns the tree of its parent, once, when that is first looked at; ``None`` for a base.
    :param limits: what is refused.
    :param hidden: of a second try: what :class:`Restart` had.
    :raises LayerFormatError: the archive is damaged, or has what no layer may have.
    :raises LimitError: it exceeds a limit.
    :raises Restart: a whiteout came too late; only where ``hidden`` is ``None``.
    :raises UnsupportedError: something in it cannot be kept by this driver, on this file system, or by this user.
    :raises OSError: the storage takes no more.
    """
    machine = _Machine(writer, lower, limits, final=hidden is not None)
    for path in sorted(hidden or (), key=lambda path: (path.count(b"/"), path)):
        machine.hide(path)
    reader = TarReader(chunks, limits)
    members = iter(reader)
    for item in members:
        try:
            if isinstance(item, TarRun):
                machine.run(item)
            else:
                machine.entry(item, reader)
        except _TooLateError:
            found = set(machine.whiteouts)
            found.update(item.path for item in members if not isinstance(item, TarRun) and is_whiteout(item.path))
            raise Restart(frozenset(found)) from None
        except OSError as error:
            if isinstance(error, errors.OverlaykitError) or error.errno not in UNFIT:
                raise
            raise unfit(error, None if isinstance(item, TarRun) else item.path) from error
    machine.settle()
    return Applied(reader.entries, machine.bytes, machine.skipped)


class _TooLateError(Exception):
    """A whiteout hides what was used before it came."""


class _LoopError(Exception):
    """A path runs through more symbolic links than the kernel would follow."""


class _Machine:
    def __init__(
        self, writer: LayerWriter, lower: Callable[[], LowerTree] | None, limits: Limits, *, final: bool
    ) -> None:
        self._writer = writer
        self._lower = Below(lower)
        self._limits = limits
        self._final = final
        self._root = Node(b"", None)
        self._root.put = Put.DIRECTORY
        self._known: dict[bytes, Node] = {b"": self._root}
        self._belows: dict[bytes, Node | None] = {}
        self._root_given = False
        self.whiteouts: list[bytes] = []
        self.bytes = 0
        self.skipped = 0

    # -- entries -----------------------------------------------------------------------------------------------------

    def run(self, run: TarRun) -> None:
        """Take small files of one directory."""
        directory = self._directory(run.directory)
        names = run.names
        if directory.children:
            for name in directory.children.keys() & set(names):
                self._replace(directory, name)
        directory.files.update(names)
        self._writer.files(directory.path, run)
        self.bytes += run.size

    def entry(self, entry: TarEntry, reader: TarReader) -> None:
        """Take any other member."""
        if is_whiteout(entry.path):
            self.whiteouts.append(entry.path)
            if not self._final:
                self.hide(entry.path)
            return
        if entry.kind is TarKind.SOCKET or is_below_meta(entry.path):
            self.skipped += 1
            return
        components = self._components(entry.path)
        if not components or components[-1] == b"..":
            self._root_entry(entry, components)
            return
        name = components.pop()
        parent = self._resolve(components, entry.path)
        if entry.kind is TarKind.DIRECTORY:
            self._put_directory(parent, name, entry.attributes)
            return
        path = join_path(parent.path, name)
        if entry.kind is TarKind.HARDLINK:
            self._link(entry, parent, name, path)
            return
        self._replace(parent, name)
        if entry.kind is TarKind.FILE:
            self._file(entry, path, reader)
        elif entry.kind is TarKind.SYMLINK:
            if not entry.target or b"\0" in entry.target:
                raise refused(entry.path, "is a symbolic link without a target")
            self._writer.symlink(path, entry.target, entry.attributes)
            node = parent.child(name)
            node.put, node.target = Put.SYMLINK, entry.target
            return
        else:
            if entry.kind is TarKind.CHARACTER and entry.device == 0:
                raise refused(entry.path, "is a character device 0:0, which is overlayfs's whiteout")
            self._writer.node(path, _NODES[entry.kind], entry.attributes, entry.device)
        parent.files.add(name)

    def _file(self, entry: TarEntry, path: bytes, reader: TarReader) -> None:
        # The stream counts what is stored; holes come on top of that.
        self._limits.check(
            "expanded", self.bytes + entry.size, f"the layer's files up to {show(entry.path)} are longer"
        )
        sink = self._writer.file(path, entry.attributes, entry.size)
        try:
            for piece in reader.data():
                if isinstance(piece, int):
                    sink.skip(piece)
                else:
                    sink.write(piece)
        finally:
            sink.close()
        self.bytes += entry.size

    def _link(self, entry: TarEntry, parent: Node, name: bytes, path: bytes) -> None:
        where = self._components(entry.target)
        if not where or where[-1] == b"..":
            raise refused(entry.path, f"is a hard link to a directory, {show(entry.target)}")
        last = where.pop()
        above = self._find(where, entry.target)
        if above is None:
            raise self._no_target(entry)
        node = above.children.get(last)
        target = join_path(above.path, last)
        if target == path or target.startswith(path + b"/"):
            raise refused(entry.path, "is a hard link to itself, or to what is below it")
        if not above.has_put(last):
            found = self._look(above.child(last))
            if found is None:
                raise self._no_target(entry)
            if stat.S_ISDIR(found.st_mode):
                raise refused(entry.path, f"is a hard link to a directory, {show(entry.target)}")
            # What is only below is copied up into this layer: its parents must be there.
            self._resolve(where, entry.target)
        elif node is not None and node.put is Put.DIRECTORY:
            raise refused(entry.path, f"is a hard link to a directory, {show(entry.target)}")
        self._replace(parent, name)
        self._writer.link(path, target)
        if node is not None and node.put is Put.SYMLINK:
            linked = parent.child(name)
            linked.put, linked.target = Put.SYMLINK, node.target
        else:
            parent.files.add(name)

    @staticmethod
    def _no_target(entry: TarEntry) -> errors.LayerFormatError:
        return errors.LayerFormatError(
            f"the layer's hard link {show(entry.path)} leads to {show(entry.target)}, which is neither below nor "
            "before it in the layer: make the layer again"
        )

    def _root_entry(self, entry: TarEntry, components: list[bytes]) -> None:
        if entry.kind is not TarKind.DIRECTORY:
            raise refused(entry.path, "is no directory and stands where the root or a parent is")
        node = self._resolve(components, entry.path)
        self._give(node, entry.attributes)

    def _put_directory(self, parent: Node, name: bytes, attributes: NodeAttributes) -> Node:
        node = parent.child(name)
        if node.put is not Put.DIRECTORY:
            if parent.has_put(name):
                # Where a file of this layer was, nothing of below comes back.
                self._replace(parent, name)
                node = parent.child(name)
                node.fresh = True
            elif node.seen:
                self._known = {b"": self._root}
            node.put = Put.DIRECTORY
        self._give(node, attributes)
        return node

    def _give(self, node: Node, attributes: NodeAttributes) -> None:
        self._writer.directory(node.path, attributes)
        node.mtime = attributes.mtime
        if node is self._root:
            self._root_given = True

    def _replace(self, parent: Node, name: bytes) -> None:
        """Something else takes the place of what is known of a name."""
        parent.files.discard(name)
        node = parent.children.get(name)
        if node is None:
            return
        if node.put is not Put.NOTHING or node.seen or node.seen_below:
            self._known = {b"": self._root}
        if node.put is Put.DIRECTORY:
            # A writer may hold on to directories that it was given.
            self._writer.remove(node.path)
        seen = node.seen
        node.forget()
        if seen:
            node.put, node.fresh = Put.NOTHING, False
        else:
            del parent.children[name]

    # -- whiteouts ---------------------------------------------------------------------------------------------------

    def hide(self, path: bytes) -> None:
        """Take a whiteout or an opaque marker.

        :raises LayerFormatError: it can be none.
        """
        components = self._components(path)
        name = components.pop()
        if name.startswith(META) and name != OPAQUE:
            self.skipped += 1
            return
        hidden = name[len(WHITEOUT) :]
        if hidden in (b"", b".", b".."):
            raise refused(path, "is a whiteout of nothing")
        directory = self._below(components)
        if directory is None:
            return
        if name == OPAQUE:
            if directory.opaque:
                return
            late = directory.seen_below
            directory.opaque = True
        else:
            if hidden in directory.hidden:
                return
            node = directory.children.get(hidden)
            late = node is not None and (node.seen or node.seen_below)
            directory.hidden.add(hidden)
        if late and not self._final:
            raise _TooLateError

    def _below(self, components: list[bytes]) -> Node | None:
        """Return the directory of the layers below that a whiteout's path leads to, ``None`` where there is none.

        Whiteouts speak of the layers below alone: nothing that this layer puts leads them elsewhere.
        """
        key = b"/".join(components)
        if key not in self._belows:
            self._belows[key] = self._find_below(components)
        return self._belows[key]

    def _find_below(self, components: list[bytes]) -> Node | None:
        try:
            return self._walk(components, self._step_below)
        except _LoopError:
            return None

    def _step_below(self, node: Node, name: bytes, left: int) -> Node | bytes | None:
        child = node.child(name)
        found = self._lower.at(child)
        if found is None or not (stat.S_ISDIR(found.st_mode) or stat.S_ISLNK(found.st_mode)):
            return None
        hidden = child.is_hidden()
        if stat.S_ISDIR(found.st_mode):
            return None if hidden else child
        if hidden and not self._final:
            # What comes first counts by depth, not by the place in the archive.
            raise _TooLateError
        if hidden:
            return None
        child.see()
        return self._lower.target(child)

    def settle(self) -> None:
        """Hide what whiteouts hide, and set the times of directories."""
        for node in list(self._root.walk()):
            if (node.opaque or node.hidden or node.fresh) and not node.is_hidden() and not node.is_replaced():
                self._settle(node)
        if not self._root_given:
            self._give(self._root, self._lower.attributes(b"") if self._lower else _IMPLICIT)
        directories = [(node.path, node.mtime) for node in self._root.walk() if node.put is Put.DIRECTORY]
        self._writer.settle(reversed(directories))

    def _settle(self, node: Node) -> None:
        if node.opaque or node.fresh:
            if self._lower.is_directory(node):
                self._make(node)
                self._writer.hide_children(node.path, node.put_below())
            return
        for name in sorted(node.hidden):
            child = node.children.get(name)
            if not node.has_put(name):
                if self._lower.at(node.child(name)) is not None:
                    self._make(node)
                    self._writer.hide(join_path(node.path, name))
            elif child is not None and child.put is Put.DIRECTORY and self._lower.is_directory(child):
                self._writer.hide_children(child.path, child.put_below())

    def _make(self, node: Node) -> None:
        """Put a directory of below, and its parents, into this layer."""
        missing = []
        while node.put is not Put.DIRECTORY and node.parent is not None:
            missing.append(node)
            node = node.parent
        for one in reversed(missing):
            one.put = Put.DIRECTORY
            self._give(one, self._lower.attributes(one.path))

    # -- paths -------------------------------------------------------------------------------------------------------

    def _components(self, path: bytes) -> list[bytes]:
        components = [name for name in path.split(b"/") if name not in (b"", b".")]
        self._limits.check("depth", len(components), f"{show(path)} is deeper")
        for name in components:
            if len(name) > NAME:
                raise refused(path, f"has a component of {len(name)} bytes, and a name has {NAME} at most")
        for name in components[:-1]:
            if name.startswith(WHITEOUT) and not name.startswith(META):
                raise refused(path, "lies below a whiteout")
        return components

    def _directory(self, path: bytes) -> Node:
        node = self._known.get(path)
        if node is None:
            node = self._resolve(self._components(path), path)
            if len(self._known) > _KNOWN:
                self._known = {b"": self._root}
            self._known[path] = node
        return node

    def _resolve(self, components: list[bytes], path: bytes) -> Node:
        """Return the directory that a path leads to; make what is missing, put what is only below into this layer."""
        node = self._follow(components, path, making=True)
        assert node is not None
        return node

    def _find(self, components: list[bytes], path: bytes) -> Node | None:
        """Return the directory that a path leads to, ``None`` where there is none."""
        return self._follow(components, path, making=False)

    def _follow(self, components: list[bytes], path: bytes, *, making: bool) -> Node | None:
        def step(node: Node, name: bytes, left: int) -> Node | bytes | None:
            child = node.children.get(name)
            if child is not None and child.put is Put.DIRECTORY:
                return child
            target = self._target(node, name)
            if target is None:
                return self._step(node, name, making)
            self._limits.check("depth", left + target.count(b"/") + 1, f"{show(path)} leads deeper")
            return target

        try:
            return self._walk(components, step)
        except _LoopError:
            raise refused(path, "runs through a loop of symbolic links") from None

    def _walk(self, components: list[bytes], step: Callable[[Node, bytes, int], Node | bytes | None]) -> Node | None:
        """Go along names and the targets of symbolic links, from the root and never out of it.

        :param step: called with a directory, a name in it, and how many names are left; returns the directory to go
            into, the target of a symbolic link, or ``None`` where the way ends.
        """
        node, links, pending = self._root, 0, components[::-1]
        while pending:
            name = pending.pop()
            if name in (b"", b"."):
                continue
            if name == b"..":
                node = node.parent or self._root
                continue
            found = step(node, name, len(pending))
            if found is None:
                return None
            if isinstance(found, Node):
                node = found
                continue
            links += 1
            if links > _LINKS:
                raise _LoopError
            if found.startswith(b"/"):
                node = self._root
            pending.extend(found.split(b"/")[::-1])
        return node

    def _target(self, node: Node, name: bytes) -> bytes | None:
        """Return where a symbolic link leads, ``None`` where there is none."""
        child = node.children.get(name)
        if child is not None and child.put is Put.SYMLINK:
            return child.target
        if node.has_put(name):
            return None
        child = node.child(name)
        found = self._look(child, see=False)
        if found is None or not stat.S_ISLNK(found.st_mode):
            return None
        child.see()
        return self._lower.target(child)

    def _step(self, node: Node, name: bytes, making: bool) -> Node | None:
        """Go into what is no directory of this layer and no symbolic link."""
        put = node.has_put(name)
        below = None if put else self._look(node.child(name), see=making)
        directory = below is not None and stat.S_ISDIR(below.st_mode)
        if not making:
            return node.child(name) if directory else None
        if not directory:
            return self._put_directory(node, name, _IMPLICIT)
        child = node.child(name)
        child.put = Put.DIRECTORY
        self._give(child, self._lower.attributes(child.path))
        return child

    # -- below -------------------------------------------------------------------------------------------------------

    def _look(self, node: Node, *, see: bool = True) -> os.stat_result | None:
        """Return what the layers below have at a path, as far as this layer does not hide it."""
        if node.is_hidden():
            return None
        found = self._lower.at(node)
        if found is not None and see:
            node.see()
        return found


_KNOWN = 65536
"""Directories whose nodes are kept by the path that the archive has for them."""
