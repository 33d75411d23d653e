"""From a tree and what a user wants to a running process."""

from __future__ import annotations

import contextlib
import os

from .. import errors, linux
from ..values import replace
from ._bundle import Bundle
from ._capabilities import choose_capabilities
from ._command import command, environment, working_directory
from ._config import MOUNT_POINTS, Parts, bundle_config
from ._network import network_files
from ._privileges import Privileges, one_user_alone
from ._program import check_program
from ._seccomp import seccomp_section
from ._stubs import Stubs
from ._users import find_user
from ._values import ProcessSpec, RunOptions, Stdio

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Any

    from ..tree import Tree
    from ._runner import Runner, RunningProcess

__all__ = ["process_in", "start"]


def start(
    tree: Tree,
    options: RunOptions | None = None,
    *,
    place: str | os.PathLike[str],
    config: Mapping[str, Any] | None = None,
    runner: Runner | None = None,
    stdio: Stdio | None = None,
    id: str | None = None,
    stubs: Stubs | None = None,
    fresh: Callable[[], Tree] | None = None,
) -> RunningProcess:
    """Start a process in a writable tree.

    What has to be there for the container's mounts, and is missing, is made in the tree, and taken away again when the
    process is closed: the tree shows what the process did and nothing else.

    :param tree: of an active snapshot; open until the process has ended.
    :param place: a directory that containers may share and that stays empty: it is made if it is missing. Each
        container covers it, for itself alone.
    :param config: the image's ``config`` (``Env``, ``User``, ``Entrypoint`` ...); ``None`` for none.
    :param runner: what :func:`find_runner` returns by default.
    :param stdio: its standard streams; by default those of this process.
    :param id: a name that no other container has; by default a random one.
    :param stubs: what several processes that run in one tree at the same time share.
    :param fresh: opens the same snapshot's tree once more. Without privileges a detached mount of a plain directory, as
        the directory driver's trees are, can be shown to one process alone: it gets such a tree of its own. Without
        this, one process can be run in ``tree``, and nothing more.
    :returns: the process. Close it: best by ``with``.
    :raises CapabilityError: the driver has no host paths: nothing can be run in its trees.
    :raises RuntimeNotFoundError: there is no runtime here.
    :raises RunError: something that was asked for is not there: a user, a capability, a program.
    """
    from ._find import find_runner

    options = options or RunOptions()
    with _Root(tree, fresh) as root:
        return _start(
            root,
            tree,
            options,
            os.path.realpath(place),
            config or {},
            runner or find_runner(terminal=options.terminal),
            stdio,
            id,
            stubs,
        )


def _start(
    root: int,
    tree: Tree,
    options: RunOptions,
    place: str,
    config: Mapping[str, Any],
    runner: Runner,
    stdio: Stdio | None,
    id: str | None,
    stubs: Stubs | None,
) -> RunningProcess:
    os.makedirs(place, mode=0o700, exist_ok=True)
    name = id or os.urandom(8).hex()
    privileges = Privileges.find()
    hostname = _hostname(options, name)
    process = process_in(tree, options, config, hostname)
    if process.terminal:
        from ._terminal import size_of

        process = replace(process, size=size_of((stdio or Stdio()).stdin))
    mounts = (*network_files(options.network, hostname), *options.mounts)
    check_program(tree, process, [f"/{name}" for name in MOUNT_POINTS] + [one.target for one in options.mounts])
    stubs = Stubs(tree) if stubs is None else stubs
    stubs.enter(process.cwd, mounts, (config.get("Volumes") or ()) if options.volumes else ())
    with contextlib.ExitStack() as undo:
        undo.callback(stubs.leave)
        parts = Parts(place)
        document = bundle_config(
            process,
            parts.mounts(mounts),
            place=place,
            hostname=hostname,
            own_network=options.network == "none",
            readonly=options.read_only,
            privileges=privileges,
            seccomp=seccomp_section(options.seccomp, process.capabilities),
            limits=options.limits,
            cgroup=f"/overlaykit/{name}",
            annotations=options.annotations,
            unmasked=options.unmasked,
        )
        bundle = Bundle(
            name,
            place,
            root,
            document,
            tuple(parts.files),
            tuple(parts.sources),
            options.limits,
            privileges,
        )
        running = runner.start(bundle, stdio or Stdio())
        undo.pop_all()
    return stubs.watch(running)


def process_in(tree: Tree, options: RunOptions, config: Mapping[str, Any], hostname: str) -> ProcessSpec:
    """Return the process that options and an image's configuration mean, with users looked up in the tree.

    :raises RunError: there is no such user, capability or command.
    """
    user = find_user(tree, options.user if options.user is not None else str(config.get("User") or ""))
    rootless = not linux.is_mount_admin()
    if rootless and (user.uid or user.gid):
        raise errors.RunError(
            f"the process would be user {user.uid} and group {user.gid}, and {one_user_alone()}; or run it as root, or "
            "with the user 0 (-u 0)"
        )
    return ProcessSpec(
        command(config, options),
        environment(config, options, user, hostname),
        working_directory(config, options),
        user.uid,
        user.gid,
        () if rootless else user.groups,  # a user namespace with one group has no others
        _possible(choose_capabilities(options.cap_add, options.cap_drop)),
        options.no_new_privileges,
        options.terminal,
    )


def _possible(capabilities: tuple[str, ...]) -> tuple[str, ...]:
    """Leave out what this process itself can never have: no runtime could give it."""
    from ._capabilities import ALL

    if not linux.is_mount_admin():
        return capabilities  # all of them are there in a new user namespace
    with open("/proc/self/status", "rb") as file:
        bounding = int(file.read().partition(b"\nCapBnd:")[2].split(None, 1)[0], 16)
    return tuple(one for one in capabilities if bounding >> ALL.index(one) & 1)


def _hostname(options: RunOptions, id: str) -> str:
    if options.hostname is not None:
        return options.hostname
    return os.uname().nodename if options.network == "host" else id[:12]


class _Root:
    """A descriptor of a tree's root that a mount namespace to come can have."""

    def __init__(self, tree: Tree, fresh: Callable[[], Tree] | None) -> None:
        self._tree = tree
        self._fresh = fresh
        self._held = contextlib.ExitStack()

    def __enter__(self) -> int:
        try:
            root = self._open(self._tree)
            if linux.is_mount_admin():
                if self._tree.readonly:
                    root = linux.clone_directory(root, readonly=True)
                    self._held.callback(os.close, root)
            elif self._fresh is not None and not linux.is_overlay(root):
                root = self._open(self._held.enter_context(self._fresh()))
        except BaseException:
            self._held.close()
            raise
        return root

    def _open(self, tree: Tree) -> int:
        try:
            root = os.open(tree.host_path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except errors.CapabilityError as error:
            raise errors.CapabilityError(
                "nothing can be run in this snapshot: its driver has no host path that could be a process's root; "
                "use the driver overlayfs or directory",
                capability=error.capability,
            ) from error
        self._held.callback(os.close, root)
        return root

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()
