"""Control groups for a container whose first process can be born in one.

To move a process into a group, of either version, takes the kernel longer than a container takes to start. So devices
are guarded by a group of the second version wherever there is its tree, and the process begins in that. Limits come
from groups of the first version where the machine has both.
"""

from __future__ import annotations

import contextlib
import os

from ._cgroup import ROOT, Cgroup, is_unified, sweep
from ._cgroup2 import UnifiedCgroup
from ._values import Limits

__all__ = ["GuardedCgroup", "open_groups", "remove_groups"]

TYPE_CHECKING = False

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self, TypeAlias

    from ._bundle import Bundle
    from ._delegated import DelegatedCgroup

    Groups: TypeAlias = "GuardedCgroup | DelegatedCgroup"

_NAME = "overlaykit"


class GuardedCgroup:
    """The groups of one container.

    :ivar into: a descriptor of the group to be born in; ``None`` where there can be none.
    :ivar descriptors: ``cgroup.procs`` of the groups that the process is to enter besides.
    :ivar guards_devices: whether the container opens only the devices that every container has.
    """

    def __init__(self, id: str, limits: Limits) -> None:
        """Make them.

        :param id: the container's.
        :raises RunError: a limit is refused.
        """
        self.into: int | None = None
        self._groups = contextlib.ExitStack()
        unified = is_unified()
        root = ROOT if unified else f"{ROOT}/unified"
        further: Cgroup | UnifiedCgroup | None = None
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            if os.path.exists(f"{root}/cgroup.procs"):
                born = self._groups.enter_context(UnifiedCgroup(id, limits if unified else Limits(), root=root))
                if born.guards_devices:
                    self.into = os.open(f"{root}/{_NAME}/{id}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                    sweep(f"{root}/{_NAME}")
                elif unified:
                    further = born
                else:
                    born.close()
            if not unified and (self.into is None or limits):
                further = self._groups.enter_context(Cgroup(id, limits, devices=self.into is None))
            self.descriptors = [] if further is None else list(further.descriptors)
            self.guards_devices = self.into is not None or (further is not None and further.guards_devices)
            undo.pop_all()

    def close(self) -> None:
        """Remove them; what still runs in them keeps them until the next container comes after its end."""
        if self.into is not None:
            os.close(self.into)
            self.into = None
        self._groups.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_groups(bundle: Bundle) -> Groups:
    """Make the groups of a container, as far as its caller may.

    :raises RunError: a limit is refused.
    """
    if bundle.groups:
        return GuardedCgroup(bundle.id, bundle.limits)
    from ._delegated import delegated_group

    return delegated_group(bundle.id, bundle.limits)


def remove_groups(id: str) -> None:
    """Remove the groups that a runtime made for a container, and leaves where it is killed."""
    with contextlib.suppress(FileNotFoundError):
        for place in (ROOT, *(entry.path for entry in os.scandir(ROOT) if entry.is_dir(follow_symlinks=False))):
            with contextlib.suppress(OSError):
                os.rmdir(f"{place}/{_NAME}/{id}")
