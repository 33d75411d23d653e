"""What a process is run with, as values: nothing here looks at a machine or an image."""

from __future__ import annotations

from ..values import field, value_class

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    Network = Literal["host", "none"]
else:
    Network = str

__all__ = [
    "BindMount",
    "FileMount",
    "Limits",
    "Network",
    "ProcessSpec",
    "RunMount",
    "RunOptions",
    "Stdio",
    "TmpfsMount",
]

"""``host``: that of the machine; ``none``: a loopback interface alone."""


@value_class
class BindMount:
    """A directory or a file of this machine, or of another tree, shown in the container.

    :param source: an absolute path, or a descriptor (``O_PATH`` will do) of a file or a directory, also one in a mount
        that is attached nowhere, such as the tree of another snapshot: open it with
        :func:`overlaykit.linux.openat2`. The caller keeps it open until the process has started.
    :param target: the absolute path in the container; made there if it is missing.
    :param readonly: every write through it is EROFS.
    """

    source: str | int
    target: str
    readonly: bool = False


@value_class
class TmpfsMount:
    """An empty file system in memory.

    :param target: the absolute path in the container; made there if it is missing.
    :param size: the most bytes that it takes; ``None`` for the kernel's default, half of the memory.
    :param mode: permission bits of its root.
    :param options: further mount options, as ``("noexec",)``; ``nosuid`` and ``nodev`` always hold.
    """

    target: str
    size: int | None = None
    mode: int = 0o1777
    options: tuple[str, ...] = ()


@value_class
class FileMount:
    """A file that the container sees and that is on no disk: a secret, a hosts file.

    :param target: the absolute path in the container; made there, empty, if it is missing.
    :param data: its content.
    :param mode: permission bits.
    :param uid: its owner in the container.
    :param gid: its group in the container.
    :param readonly: every write to it is EROFS.
    """

    target: str
    data: bytes
    mode: int = 0o444
    uid: int = 0
    gid: int = 0
    readonly: bool = True


RunMount = BindMount | TmpfsMount | FileMount
"""Whatever can be put into a container besides its own tree."""


@value_class
class Limits:
    """What the processes of a container may use together; ``None`` is no limit.

    :param memory: bytes; beyond them the kernel kills.
    :param cpus: processors' worth of time, as ``1.5``.
    :param pids: processes and threads.
    """

    memory: int | None = None
    cpus: float | None = None
    pids: int | None = None

    def __bool__(self) -> bool:
        return any(one is not None for one in (self.memory, self.cpus, self.pids))


@value_class
class ProcessSpec:
    """A process in a container, with all that the image says looked up; ids and paths are the container's.

    :param args: the program and its arguments; the program is looked for in the ``PATH`` of ``env``.
    :param env: the whole environment.
    :param cwd: an absolute path.
    :param groups: supplementary groups.
    :param capabilities: names as ``CAP_CHOWN``; those that the process has and that programs can gain.
    :param no_new_privileges: set-uid programs gain nothing (``PR_SET_NO_NEW_PRIVS``).
    :param terminal: standard streams are a new terminal of the container's.
    :param size: the terminal's rows and columns; ``None`` for what the runtime gives it.
    """

    args: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    capabilities: tuple[str, ...] = ()
    no_new_privileges: bool = False
    terminal: bool = False
    size: tuple[int, int] | None = None


@value_class
class RunOptions:
    """How a container is run, as a user says it: what is ``None`` or empty is as the image has it, or Docker's default.

    :param args: in place of the image's ``Cmd``, or of what an exec names.
    :param entrypoint: in place of the image's ``Entrypoint``, which takes its ``Cmd`` away with it; ``()`` for none.
    :param env: over the image's ``Env``.
    :param cwd: made in the container if it is missing.
    :param user: ``USER[:GROUP]``, by name or number, looked up in the container.
    :param read_only: the container's own tree is read-only; mounts are not.
    :param hostname: with ``network="host"`` that of the machine.
    :param cap_add: capabilities besides the default ones, with or without ``CAP_``; ``ALL``.
    :param cap_drop: taken away before ``cap_add`` is given.
    :param seccomp: ``"default"``, ``"unconfined"``, or the JSON text of a profile in Docker's form.
    :param unmasked: nothing of ``/proc`` and ``/sys`` is hidden or made read-only that the kernel lets the container
        write, as Docker's ``systempaths=unconfined`` has it.
    :param volumes: make the image's ``Volumes`` directories, as a container's own.
    :param annotations: of the bundle, for whoever looks at it.
    """

    args: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    user: str | None = None
    mounts: tuple[RunMount, ...] = ()
    read_only: bool = False
    network: Network = "host"
    hostname: str | None = None
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    seccomp: str = "default"
    no_new_privileges: bool = False
    unmasked: bool = False
    limits: Limits = field(default_factory=Limits)
    terminal: bool = False
    volumes: bool = True
    annotations: Mapping[str, str] = field(default_factory=dict)


@value_class
class Stdio:
    """Descriptors of this process that are the container's standard streams, untouched: nothing is copied between.

    A negative one is ``/dev/null``. They stay the caller's.
    """

    stdin: int = 0
    stdout: int = 1
    stderr: int = 2
