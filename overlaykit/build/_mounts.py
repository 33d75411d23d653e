"""What ``RUN --mount`` mounts: for the cache key, and for the process (Dockerfile reference, "RUN --mount")."""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import stat
from typing import TYPE_CHECKING, Any

from .. import errors
from . import dockerfile as ast
from ._request import load_secret
from ._scratch import remove_directory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import ExitStack
    from pathlib import Path

    from ..image import ImageStore
    from ..runtime import RunMount
    from ..tree import Tree
    from ._control import Control
    from ._locks import KeyLocks
    from ._origins import Origins
    from ._request import BuildRequest
    from ._transfer import TransferSteps

__all__ = ["RunMounts", "mount_targets", "remove_cache_mounts"]

_PRIVATE = 64
"""How many private caches of one id are looked at, before it is one too many."""


class RunMounts:
    """Prepares the mounts of RUN instructions."""

    def __init__(
        self,
        store: ImageStore,
        request: BuildRequest,
        origins: Origins,
        transfers: TransferSteps,
        locks: KeyLocks,
        control: Control,
    ) -> None:
        self._store = store
        self._request = request
        self._origins = origins
        self._transfers = transfers
        self._locks = locks
        self._control = control

    def describe(self, mount: ast.Mount, origins: Mapping[str, ast.Origin], target: str) -> dict[str, Any]:
        """Return what the result of a RUN may depend on: never the value of a secret, never what a cache holds."""
        told: dict[str, Any] = {"target": target}
        match mount:
            case ast.BindMount():
                told |= {"type": "bind", "source": mount.source, "readonly": mount.readonly}
                told["content"] = self._identity(mount, origins)
            case ast.CacheMount():
                told |= {"type": "cache", "id": mount.id}
            case ast.SecretMount():
                told |= {"type": "secret", "id": mount.id, "env": mount.env}
            case ast.TmpfsMount():
                told |= {"type": "tmpfs", "size": mount.size}
            case ast.SshMount():
                told |= {"type": "ssh", "id": mount.id}
        return told

    def _identity(self, mount: ast.BindMount, origins: Mapping[str, ast.Origin]) -> str:
        origin = None if mount.origin is None else origins[str(mount.origin)]
        stack = self._origins.stack(origin)
        if stack is not None:
            return stack.top or ""
        return self._transfers.digest(origin, mount.source)

    # -- for the process -----------------------------------------------------------------------------------------------

    def prepare(
        self, mount: ast.Mount, origins: Mapping[str, ast.Origin], target: str, held: ExitStack, env: dict[str, str]
    ) -> RunMount | None:
        """Return what to mount, which lasts as long as ``held``.

        :param env: gets the variables that the mount sets.
        :raises BuildError: the caller gave no such secret or agent.
        """
        from ..runtime import FileMount, TmpfsMount

        match mount:
            case ast.BindMount():
                return self._bind(mount, origins, target, held)
            case ast.CacheMount():
                return self._cache(mount, origins, target, held)
            case ast.TmpfsMount():
                return TmpfsMount(target, size=mount.size or None)
            case ast.SecretMount():
                data = self._secret(mount)
                if data is None:
                    return None
                if mount.env is not None:
                    env[mount.env] = data.decode("utf-8", "surrogateescape")
                    if mount.target is None:
                        return None
                return FileMount(target, data, mount.mode, mount.uid, mount.gid)
            case ast.SshMount():
                return self._agent(mount, target, held, env)
        return None

    def _agent(self, mount: ast.SshMount, target: str, held: ExitStack, env: dict[str, str]) -> RunMount | None:
        from ..runtime import BindMount
        from ._agents import forwarded

        agent = self._request.agents.get(mount.id)
        if agent is None:
            if mount.required:
                raise errors.BuildError(
                    f"the SSH agent {mount.id!r} is required and was not given: give it with --ssh {mount.id}"
                )
            return None
        path = held.enter_context(forwarded(self._store, mount.id, agent, mount.mode, (mount.uid, mount.gid)))
        # The first one counts, as in BuildKit.
        env.setdefault("SSH_AUTH_SOCK", target)
        return BindMount(str(path), target)

    def _secret(self, mount: ast.SecretMount) -> bytes | None:
        secret = self._request.secrets.get(mount.id)
        if secret is not None:
            return load_secret(mount.id, secret)
        if mount.required:
            raise errors.BuildError(
                f"the secret {mount.id!r} is required and was not given: give it with --secret id={mount.id},src=FILE"
            )
        return None

    def _bind(self, mount: ast.BindMount, origins: Mapping[str, ast.Origin], target: str, held: ExitStack) -> RunMount:
        from ..runtime import BindMount, FileMount

        origin = None if mount.origin is None else origins[str(mount.origin)]
        stack = self._origins.stack(origin)
        if stack is not None:
            if mount.readonly and stack.top is not None:
                tree = held.enter_context(self._store.tree(stack.top, readonly=True))
            else:
                # What is written goes with it.
                tree = held.enter_context(self._store.snapshot(stack.top)).tree
        else:
            # Of a directory only what .dockerignore leaves, and nothing that somebody changes meanwhile.
            from ..store import begin_layer

            tree = held.enter_context(begin_layer(self._store, None)).tree
            self._transfers.copy(origin, mount.source, tree)
        if tree.is_file(mount.source) and not _can_be_shown(tree):
            status = tree.stat(mount.source)
            mode = stat.S_IMODE(status.st_mode)
            return FileMount(
                target, tree.read_bytes(mount.source), mode, status.st_uid, status.st_gid, readonly=mount.readonly
            )
        return BindMount(_inside(tree, mount.source, held, readonly=mount.readonly), target, readonly=mount.readonly)

    def _cache(
        self, mount: ast.CacheMount, origins: Mapping[str, ast.Origin], target: str, held: ExitStack
    ) -> RunMount:
        from ..runtime import BindMount

        assert self._store.path is not None
        base = self._store.path / "build" / "mounts"
        name = hashlib.sha256(mount.id.encode()).hexdigest()[:32]
        if mount.sharing == "private":
            name = self._private(name, held)
        elif mount.sharing == "locked":
            held.enter_context(self._locks.hold(f"mount-{name}", self._control.check))
        path = base / name
        if not path.is_dir():
            with self._locks.hold(f"making-{name}", self._control.check):
                if not path.is_dir():
                    self._make_cache(mount, origins, path)
        return BindMount(str(path), target, readonly=mount.readonly)

    def _private(self, name: str, held: ExitStack) -> str:
        for number in range(_PRIVATE):
            one = f"{name}-{number}"
            lock = self._locks.try_hold(f"mount-{one}")
            if lock is not None:
                held.enter_context(lock)
                return one
        raise errors.BuildError(f"{_PRIVATE} steps use a private cache of one id at once: share it, or build less")

    def _make_cache(self, mount: ast.CacheMount, origins: Mapping[str, ast.Origin], path: Path) -> None:
        from ..tree import HostTree, copy_tree

        new = path.with_name(f"{path.name}.new")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if new.exists():  # of a process that was killed
            remove_directory(new)
        new.mkdir(mode=0o700)
        if mount.origin is not None:
            with self._origins.open(origins[str(mount.origin)]) as tree, contextlib.ExitStack() as held:
                source = _inside(tree, mount.source, held)
                with (
                    HostTree(os.open(f"/proc/self/fd/{source}", os.O_RDONLY | os.O_DIRECTORY), readonly=True) as below,
                    HostTree(os.open(new, os.O_RDONLY | os.O_DIRECTORY)) as copy,
                ):
                    copy_tree(below, copy, owners=os.geteuid() == 0)
        new.chmod(mount.mode)
        if mount.uid or mount.gid:
            # Without privileges there is one user, whose it is anyway.
            with contextlib.suppress(PermissionError):
                os.chown(new, mount.uid, mount.gid)
        new.rename(path)


def remove_cache_mounts(directory: Path) -> None:
    """Remove what cache mounts hold; the caller is alone."""
    if directory.exists():
        remove_directory(directory)


def mount_targets(mounts: Sequence[ast.Mount], cwd: str) -> list[str]:
    """Return where each of a RUN's mounts goes: absolute paths.

    :param cwd: the working directory.
    """
    found, agents = [], 0
    for mount in mounts:
        if mount.target is not None:
            found.append(posixpath.normpath(posixpath.join(cwd, str(mount.target))))
        elif isinstance(mount, ast.SecretMount):
            found.append(f"/run/secrets/{posixpath.basename(mount.id)}")
        else:
            found.append(f"/run/buildkit/ssh_agent.{agents}")
        agents += isinstance(mount, ast.SshMount)
    return found


def _can_be_shown(tree: Tree) -> bool:
    """Tell whether another process can mount a file of a tree.

    Without privileges, one in a detached mount of a plain directory belongs to the user namespace that made it.
    """
    from .. import linux

    if linux.is_mount_admin():
        return True
    root = os.open(tree.host_path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return linux.is_overlay(root)
    finally:
        os.close(root)


def _inside(tree: Tree, path: str, held: ExitStack, *, readonly: bool = True) -> int:
    """Return a descriptor of what is at a path of a tree, that another mount namespace can have."""
    from .. import linux

    root = os.open(tree.host_path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    held.callback(os.close, root)
    relative = path.strip("/")
    found = root
    if relative and relative != ".":
        try:
            found = linux.openat2(root, relative, os.O_PATH)
        except FileNotFoundError as error:
            raise errors.BuildError(f"there is no {path[:200]} to mount: check the mount's source") from error
        held.callback(os.close, found)
    if linux.is_mount_admin():
        # From another namespace not every detached mount can be cloned.
        with contextlib.suppress(OSError):
            found = linux.clone_directory(found, readonly=readonly)
            held.callback(os.close, found)
    return found
