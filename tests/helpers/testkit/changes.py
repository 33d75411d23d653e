"""Random changes to a tree, the same ones to any number of trees."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Protocol, cast

__all__ = ["ACTIONS", "Host", "Step", "changes", "perform"]

CLOCK = 1_600_000_000_123_456_789


class Operations(Protocol):
    """What the changes need; a :class:`overlaykit.tree.Tree` has it."""

    def open(self, path: str, mode: str) -> IO[bytes]: ...
    def lstat(self, path: str) -> os.stat_result: ...
    def mkdir(self, path: str, mode: int = ...) -> None: ...
    def unlink(self, path: str) -> None: ...
    def rename(self, src: str, dst: str) -> None: ...
    def link(self, src: str, dst: str) -> None: ...
    def symlink(self, target: str, path: str) -> None: ...
    def chmod(self, path: str, mode: int) -> None: ...
    def chown(self, path: str, uid: int, gid: int, *, follow_symlinks: bool) -> None: ...
    def utime(self, path: str, *, ns: tuple[int, int], follow_symlinks: bool) -> None: ...
    def truncate(self, path: str, length: int) -> None: ...
    def mknod(self, path: str, mode: int) -> None: ...
    def setxattr(self, path: str, name: str, value: bytes) -> None: ...
    def removexattr(self, path: str, name: str) -> None: ...
    def rmtree(self, path: str) -> None: ...


class Host:
    """A directory of the host, changed with nothing but :mod:`os`: the reference."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)

    def open(self, path: str, mode: str) -> IO[bytes]:
        return cast("IO[bytes]", open(self.root / path, mode))

    def lstat(self, path: str) -> os.stat_result:
        return os.lstat(self.root / path)

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        os.mkdir(self.root / path, mode)

    def unlink(self, path: str) -> None:
        os.unlink(self.root / path)

    def rename(self, src: str, dst: str) -> None:
        os.rename(self.root / src, self.root / dst)

    def link(self, src: str, dst: str) -> None:
        os.link(self.root / src, self.root / dst, follow_symlinks=False)

    def symlink(self, target: str, path: str) -> None:
        os.symlink(target, self.root / path)

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(self.root / path, mode)

    def chown(self, path: str, uid: int, gid: int, *, follow_symlinks: bool) -> None:
        os.chown(self.root / path, uid, gid, follow_symlinks=follow_symlinks)

    def utime(self, path: str, *, ns: tuple[int, int], follow_symlinks: bool) -> None:
        os.utime(self.root / path, ns=ns, follow_symlinks=follow_symlinks)

    def truncate(self, path: str, length: int) -> None:
        os.truncate(self.root / path, length)

    def mknod(self, path: str, mode: int) -> None:
        os.mknod(self.root / path, mode)

    def setxattr(self, path: str, name: str, value: bytes) -> None:
        os.setxattr(self.root / path, name, value)

    def removexattr(self, path: str, name: str) -> None:
        os.removexattr(self.root / path, name)

    def rmtree(self, path: str) -> None:
        shutil.rmtree(self.root / path)


@dataclass(frozen=True, slots=True)
class Step:
    """One change.

    :param action: one of :data:`ACTIONS`.
    :param path: what is changed.
    :param other: the second path, the target of a symbolic link or the name of an attribute.
    :param data: bytes to write.
    :param number: a mode, a length, a time or an owner.
    :param touched: the paths whose modification time the change sets to the moment it happens; each gets
        :attr:`when` instead, so that the same steps give the same tree.
    :param when: nanoseconds since the epoch.
    :param error: the errno that the reference gave, 0 for none.
    """

    action: str
    path: str
    other: str = ""
    data: bytes = b""
    number: int = 0
    touched: tuple[str, ...] = ()
    when: int = 0
    error: int = 0


def perform(tree: Operations, step: Step) -> int:
    """Make one change.

    :returns: the errno it failed with, 0 for none.
    """
    try:
        _perform(tree, step)
    except OSError as error:
        return error.errno or -1
    for path in step.touched:
        with contextlib.suppress(FileNotFoundError):
            tree.utime(path, ns=(step.when, step.when), follow_symlinks=False)
    return 0


def _perform(tree: Operations, step: Step) -> None:
    path, other = step.path, step.other
    match step.action:
        case "write" | "create":
            _write(tree, path, "wb", step.data)
        case "append":
            _write(tree, path, "ab", step.data)
        case "edit":
            before = tree.lstat(path)
            _write(tree, path, "r+b", step.data[: before.st_size])
            tree.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns), follow_symlinks=False)
        case "truncate":
            tree.truncate(path, step.number)
        case "chmod":
            tree.chmod(path, step.number)
        case "chown":
            tree.chown(path, step.number, step.number + 1, follow_symlinks=False)
        case "utime":
            tree.utime(path, ns=(step.number, step.number), follow_symlinks=False)
        case "setxattr":
            tree.setxattr(path, other, step.data)
        case "removexattr":
            tree.removexattr(path, other)
        case "rename-file" | "rename-over" | "rename-directory" | "rename-onto-directory":
            tree.rename(path, other)
        case "link":
            tree.link(path, other)
        case "symlink":
            tree.symlink(other, path)
        case "retarget":
            tree.unlink(path)
            tree.symlink(other, path)
        case "unlink" | "unlink-directory":
            tree.unlink(path)
        case "rmtree":
            tree.rmtree(path)
        case "mkdir" | "mkdir-existing":
            tree.mkdir(path, step.number)
        case "mkfifo":
            tree.mknod(path, stat.S_IFIFO | 0o640)
        case "remake":
            tree.rmtree(path)
            tree.mkdir(path)
            _write(tree, other, "wb", step.data)
        case "file-to-directory":
            tree.unlink(path)
            tree.mkdir(path)
            _write(tree, other, "wb", step.data)
        case "directory-to-file":
            tree.rmtree(path)
            _write(tree, path, "wb", step.data)
        case "directory-to-symlink":
            tree.rmtree(path)
            tree.symlink(other, path)
        case "replace":
            _write(tree, other, "wb", step.data)
            tree.rename(other, path)
        case _:
            raise ValueError(step.action)


def _write(tree: Operations, path: str, mode: str, data: bytes) -> None:
    with tree.open(path, mode) as file:
        file.write(data)


ACTIONS = (
    "write",
    "create",
    "append",
    "edit",
    "truncate",
    "chmod",
    "chown",
    "utime",
    "setxattr",
    "removexattr",
    "rename-file",
    "rename-over",
    "rename-directory",
    "rename-onto-directory",
    "link",
    "symlink",
    "retarget",
    "unlink",
    "unlink-directory",
    "rmtree",
    "mkdir",
    "mkdir-existing",
    "mkfifo",
    "remake",
    "file-to-directory",
    "directory-to-file",
    "directory-to-symlink",
    "replace",
)
"""Every kind of change; a few are meant to fail, with the same errno everywhere."""


def changes(root: str | os.PathLike[str], *, seed: int, count: int, superuser: bool) -> list[Step]:
    """Change a directory of the host at random and return what was done, to be done again elsewhere.

    :param root: the directory.
    :param seed: decides everything.
    :param count: how many; every action comes about equally often.
    :param superuser: whether owners are changed and permissions taken from the owner.
    """
    chance = random.Random(seed)
    actions = [name for name in ACTIONS if superuser or name != "chown"]
    order = (actions * (count // len(actions) + 1))[:count]
    chance.shuffle(order)
    host = Host(root)
    chooser = _Chooser(host.root, chance, superuser)
    steps = []
    for number, action in enumerate(order):
        if number % 5 == 0:
            chooser.look()
        step = chooser.step(action, number)
        while not chooser.is_inside(step):
            step = chooser.step(action, number)
        steps.append(replace(step, error=perform(host, step)))
    return steps


class _Chooser:
    """Chooses what one change is about, from what the directory holds now."""

    def __init__(self, root: Path, chance: random.Random, superuser: bool) -> None:
        self.root, self.chance, self.superuser = root.resolve(), chance, superuser
        self.number = 0
        self.attributes: list[tuple[str, str]] = []

    def look(self) -> None:
        """Take note of what there is."""
        self.below: dict[str, int] = {}
        self.files: list[str] = []
        self.links: list[str] = []
        self._look("")
        self.directories = sorted(path for path, below in self.below.items() if path and below < 300)
        self.files.sort()
        self.links.sort()

    def _look(self, directory: str) -> int:
        below = 0
        for entry in os.scandir(self.root / directory):
            path = os.path.join(directory, entry.name)
            below += 1
            if entry.is_dir(follow_symlinks=False):
                below += self._look(path)
            elif entry.is_symlink():
                self.links.append(path)
            elif entry.is_file(follow_symlinks=False):
                self.files.append(path)
        self.below[directory] = below
        return below

    def is_inside(self, step: Step) -> bool:
        """Tell whether no symbolic link that was made since the last look leads the reference out of its directory."""
        parent = os.path.dirname(self.root / step.path)
        known = step.path in self.links or not os.path.islink(self.root / step.path)
        return known and os.path.realpath(parent) == parent

    def step(self, action: str, number: int) -> Step:
        """Return the next change."""
        chance = self.chance
        self.number = number
        step = Step(
            action,
            chance.choice(self.files),
            data=chance.randbytes(chance.randrange(1, 20_000)),
            number=chance.randrange(CLOCK),
            when=CLOCK + number * 1_000_000_007,
        )
        match action:
            case "create" | "mkfifo":
                step = replace(step, path=self._new())
            case "mkdir":
                step = replace(step, path=self._new(), number=chance.choice([0o777, 0o755, 0o700, 0o750]))
            case "mkdir-existing":
                step = replace(step, path=chance.choice(self.files + self.directories), number=0o755)
            case "truncate":
                step = replace(step, number=chance.randrange(20_000))
            case "chmod":
                mode = chance.randrange(0o10000) | (0 if self.superuser else 0o700)
                step = replace(step, path=chance.choice(self.files + self.directories), number=mode)
            case "chown":
                anything = self.files + self.directories + self.links
                step = replace(step, path=chance.choice(anything), number=chance.randrange(60_000))
            case "utime":
                step = replace(step, path=chance.choice(self.files + self.directories + self.links))
            case "setxattr":
                name = f"user.{chance.choice('abc')}"
                step = replace(step, path=chance.choice(self.files + self.directories), other=name, data=step.data[:40])
                self.attributes.append((step.path, name))
            case "removexattr":
                path, name = chance.choice([*self.attributes, (step.path, "user.none")])
                step = replace(step, path=path, other=name)
            case "rename-file" | "link":
                path = chance.choice(self.files + self.links)
                step = replace(step, path=path, other=self._new())
            case "rename-over":
                step = replace(step, other=chance.choice(self.files + self.links))
            case "rename-directory":
                path = chance.choice(self.directories)
                step = replace(step, path=path, other=self._new(outside=path))
            case "rename-onto-directory":
                path = chance.choice(self.directories)
                others = [other for other in self.directories if not _within(other, path) and not _within(path, other)]
                step = replace(step, path=path, other=chance.choice(others))
            case "symlink":
                step = replace(step, path=self._new(), other=chance.choice(["/etc/passwd", "../x", "nowhere", "."]))
            case "retarget":
                step = replace(step, path=chance.choice(self.links), other=f"target-{self.number}")
            case "unlink":
                step = replace(step, path=chance.choice(self.files + self.links))
            case "unlink-directory" | "rmtree" | "directory-to-file":
                step = replace(step, path=chance.choice(self.directories))
            case "directory-to-symlink":
                step = replace(step, path=chance.choice(self.directories), other="elsewhere")
            case "remake":
                path = chance.choice(self.directories)
                inside = [name for name in self.files + self.directories if os.path.dirname(name) == path]
                step = replace(step, path=path, other=chance.choice([*inside, f"{path}/new"]))
            case "file-to-directory":
                step = replace(step, other=os.path.join(step.path, "inside"))
            case "replace":
                step = replace(step, other=f"{step.path}.tmp"[-250:])
        touched = _touched(step)
        if action in ("write", "append") and not os.path.lexists(self.root / step.path):
            touched += (os.path.dirname(step.path),)  # the path has gone since the last look: the file is made
        return replace(step, touched=touched)

    def _new(self, outside: str | None = None) -> str:
        parents = [path for path in self.directories if outside is None or not _within(path, outside)]
        name = self.chance.choice(["new", "späte", "with space", "-dash", "new\nline", ".wh.plain", "\udcff\udcfe"])
        return os.path.join(self.chance.choice(parents), f"{name}-{self.number}")


def _within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory}/")


def _touched(step: Step) -> tuple[str, ...]:
    path, other = step.path, step.other
    parent = os.path.dirname(path)
    match step.action:
        case "chmod" | "chown" | "utime" | "setxattr" | "removexattr" | "edit":
            return ()
        case "write" | "append" | "truncate":
            return (path,)
        case "rename-file" | "rename-over" | "rename-directory" | "rename-onto-directory" | "link":
            return (parent, os.path.dirname(other))
        case "remake" | "file-to-directory":
            return (other, path, parent)
    return (path, parent)
