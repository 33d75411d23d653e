"""COPY and ADD: from a context, a stage, an image or an address into a snapshot."""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import threading
from typing import TYPE_CHECKING, Any

from .. import errors
from ..values import replace
from . import dockerfile as ast
from ._sources import Remotes, Source, WrittenFile
from ._stage import Work
from .context import Ignore, StatCache, check_mode, content_digest, select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..changeset import CompressedWriter, WrittenLayer
    from ..store import Working
    from ..tree import Tree
    from ._control import Control
    from ._events import Step
    from ._origins import Origins
    from ._request import BuildRequest
    from ._stage import StageBuild
    from ._store import BuildStore
    from .context import CopyOptions, CopyPlan

__all__ = ["TransferSteps"]

_LARGEST = 16 << 20
"""Bytes of a .dockerignore."""


class TransferSteps:
    """Copies the files of one build."""

    def __init__(
        self, store: BuildStore, request: BuildRequest, origins: Origins, remotes: Remotes, control: Control
    ) -> None:
        self._store = store
        self._remotes = remotes
        self._request = request
        self._origins = origins
        self._control = control
        self._ignore: Ignore | None = None
        self._stats: dict[str, StatCache] = {}
        self._lock = threading.Lock()
        #: The Dockerfile's name, which may have a ``.dockerignore`` of its own.
        self.dockerfile = "Dockerfile"

    # -- for COPY and ADD ----------------------------------------------------------------------------------------------

    def plan(self, stage: StageBuild, one: ast.Transfer) -> Work:
        """Return what a COPY or ADD does.

        :raises BuildError: a source is not there.
        """
        place = stage.source_of(one)
        try:
            return self._plan(stage, one)
        except errors.BuildError as error:
            raise errors.BuildError(f"{place}: {error}") from error

    def _plan(self, stage: StageBuild, one: ast.Transfer) -> Work:
        origin = None if one.origin is None else stage.planned.origins[str(one.origin)]
        mode = str(one.mode or "")
        check_mode(mode)
        exclude = Ignore(str(word) for word in one.exclude)
        found = [(str(source), self._remotes.find(str(source), one, stage.reporter)) for source in one.sources]
        paths = [path for path, remote in found if remote is None]
        owned = self._origins.stack(origin) is not None
        files: list[Source] = [WrittenFile(self._store, document) for document in one.documents]
        files += [remote for _, remote in found if remote is not None]
        target = stage.config.path(str(one.target))
        directory = target.endswith("/") or str(one.target) in (".", "..") or len(paths) + len(files) > 1
        with self._opened(origin) as (tree, ignore):
            entries = select(tree, paths, ignore=ignore, exclude=exclude, parents=one.parents) if paths else []
            stats = self._stats_of(origin)
            digest = content_digest(tree, entries, owners=owned and one.owner is None, stats=stats)
        unpack = isinstance(one, ast.Add) and one.unpack is not False
        parts: dict[str, Any] = {
            "content": digest,
            "files": [file.key for file in files],
            "target": target,
            "directory": directory,
            "owner": str(one.owner or ""),
            "mode": mode,
            "unpack": unpack,
            "remote": isinstance(one, ast.Add) and bool(one.unpack),
        }

        def options_in(into: Tree) -> CopyOptions:
            from .context import CopyOptions

            owner = _owner(into, str(one.owner)) if one.owner else None
            return CopyOptions(target, directory or one.parents, owner, owner or (0, 0), mode)

        def do(working: Working, _: Step) -> None:
            into = working.tree
            options = options_in(into)
            if entries:
                # What was selected is what the key is of: whatever is not as it was then is an error.
                with self._opened(origin) as opened:
                    self._copy(opened[0], entries, into, options, unpack=unpack, owned=owned, stats=stats)
            for file in files:
                self._file(file, into, options, unpack=file.is_remote and isinstance(one, ast.Add) and bool(one.unpack))

        def pack(below: Tree, alone: bool) -> _PackedCopy | None:
            from .context import plan_copy

            options = _owned(options_in(below), keep=owned)
            with self._opened(origin) as (tree, _):
                epoch = self._request.epoch
                plan = plan_copy(tree, entries, below, options, alone=alone, stats=stats, epoch=epoch)
            return None if plan is None else _PackedCopy(plan, lambda: self._opened(origin), self._control.check)

        # An archive is known by what is in it; nothing else is there to look for in directories.
        plain = bool(entries) and not files and not (unpack and any(len(group) == 1 for group in entries))
        return Work("copy", parts, do, linked=one.link, pack=pack if plain else None)

    def _copy(
        self,
        tree: Tree,
        found: Any,
        into: Tree,
        options: CopyOptions,
        *,
        unpack: bool,
        owned: bool,
        stats: StatCache | None,
    ) -> None:
        from .context import copy_entries

        plain = _owned(options, keep=owned)
        if unpack:
            from ._archive import unpacked
        for group in found:
            if unpack and len(group) == 1:
                with unpacked(self._store, tree, group[0].source) as archive:
                    if archive is not None:
                        self._archive(archive, into, options)
                        continue
            copy_entries(tree, [group], into, plain, self._control.check, stats)

    def _archive(self, archive: Tree, into: Tree, options: CopyOptions) -> None:
        """An archive's files keep the owners that it says."""
        from .context import copy_entries

        entries = select(archive, ["."], ignore=Ignore(), exclude=Ignore())
        copy_entries(archive, entries, into, _directory(options), self._control.check)

    def _file(self, file: Source, into: Tree, options: CopyOptions, *, unpack: bool) -> None:
        from .context import copy_entries

        with file.tree() as tree:
            if unpack:
                from ._archive import unpacked

                with unpacked(self._store, tree, file.name) as archive:
                    if archive is not None:
                        self._archive(archive, into, options)
                        return
            entries = select(tree, [file.name], ignore=Ignore(), exclude=Ignore())
            plain = options if options.owner else _with_owner(options, (0, 0))
            if file.name == ".":
                plain = _directory(plain)
            copy_entries(tree, entries, into, plain, self._control.check)

    # -- for mounts ----------------------------------------------------------------------------------------------------

    def digest(self, origin: ast.Origin | None, source: str) -> str:
        """Return what a path of a directory is by content."""
        with self._opened(origin) as (tree, ignore):
            return content_digest(tree, select(tree, [source], ignore=ignore, exclude=Ignore()), owners=False)

    def copy(self, origin: ast.Origin | None, source: str, into: Tree) -> None:
        """Copy a path of a directory to the same path of an empty tree."""
        from .context import CopyOptions, copy_entries

        with self._opened(origin) as (tree, ignore):
            entries = select(tree, [source], ignore=ignore, exclude=Ignore())
            options = CopyOptions(posixpath.join("/", source), directory=False, owner=(0, 0))
            copy_entries(tree, entries, into, options, self._control.check)

    # -- what is known of directories ----------------------------------------------------------------------------------

    def _stats_of(self, origin: ast.Origin | None) -> StatCache | None:
        directory = self._origins.directory(origin)
        if directory is None:
            return None
        name = hashlib.sha256(os.fsencode(os.path.abspath(directory))).hexdigest()[:32]
        with self._lock:
            if name not in self._stats:
                path = self._store.path
                self._stats[name] = StatCache(None if path is None else path / "build" / "stats" / name)
            return self._stats[name]

    def save_stats(self) -> None:
        """Keep what is known of the files of directories."""
        for stats in self._stats.values():
            stats.save()

    # -- what is left out ----------------------------------------------------------------------------------------------

    def left_out(self) -> Callable[[str], bool] | None:
        """Return what tells whether the context's ``.dockerignore`` leaves a path out.

        :returns: ``None`` where there is none, or one with exceptions: a directory that is left out may then have
            files that are not.
        """
        with self._opened(None) as (_, ignore):
            return ignore.matches if ignore and not ignore.keeps else None

    @contextlib.contextmanager
    def _opened(self, origin: ast.Origin | None) -> Iterator[tuple[Tree, Ignore]]:
        with self._origins.open(origin) as tree:
            if self._origins.stack(origin) is not None:
                yield tree, Ignore()
            elif origin is None:
                if self._ignore is None:
                    self._ignore = self._read_ignore(tree, self.dockerfile)
                yield tree, self._ignore
            else:
                yield tree, self._read_ignore(tree, "")

    def _read_ignore(self, tree: Tree, dockerfile: str) -> Ignore:
        given = self._request.dockerfile
        if dockerfile and isinstance(given, str | os.PathLike):
            beside = f"{os.fspath(given)}.dockerignore"
            if os.path.isfile(beside):
                with open(beside, encoding="utf-8", errors="surrogateescape") as file:
                    return Ignore.read(file.read(_LARGEST))
        for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
            if tree.is_file(name):
                return Ignore.read(tree.read_bytes(name)[:_LARGEST].decode("utf-8", "surrogateescape"))
        return Ignore()


class _PackedCopy:
    """A copy that goes straight into its layer.

    :param opened: opens where the files are.
    :param check: whether to go on.
    """

    def __init__(
        self,
        plan: CopyPlan,
        opened: Callable[[], contextlib.AbstractContextManager[tuple[Tree, Ignore]]],
        check: Callable[[], object],
    ) -> None:
        self._plan = plan
        self._opened = opened
        self._check = check

    @property
    def empty(self) -> bool:
        """Whether nothing changes."""
        return not self._plan

    def write(self, out: CompressedWriter) -> WrittenLayer:
        """Write the archive.

        :raises BuildError: a file changed since it was selected, or may not be read.
        """
        from ..changeset import WrittenLayer

        with self._opened() as (tree, _):
            size = self._plan.write(tree, out, self._check)
        return WrittenLayer(len(self._plan), size, 0)


def _owned(options: CopyOptions, *, keep: bool) -> CopyOptions:
    """Give files to root, unless they are given to somebody or may keep their owners."""
    return options if keep or options.owner else _with_owner(options, (0, 0))


def _owner(tree: Tree, text: str) -> tuple[int, int]:
    from ..runtime import find_user

    name, colon, group = text.partition(":")
    if name.isdecimal() and not colon:
        return int(name), int(name)  # as BuildKit has it: the number counts for both
    try:
        user = find_user(tree, text if group or not colon else name)
    except errors.RunError as error:
        raise errors.BuildError(f"--chown={text}: {error}") from error
    return user.uid, user.gid


def _with_owner(options: CopyOptions, owner: tuple[int, int]) -> CopyOptions:
    return replace(options, owner=owner)


def _directory(options: CopyOptions) -> CopyOptions:
    return replace(options, directory=True)
