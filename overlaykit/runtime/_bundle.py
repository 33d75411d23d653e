"""A bundle: what the OCI runtime specification calls a root file system with its ``config.json``.

Nothing of it is on a disk. A runner makes a tmpfs over :attr:`Bundle.place` in a mount namespace of its own, and in it
``config.json``, ``rootfs``, ``files/N`` and ``mounts/N``, to whose absolute paths the document refers. So there is
nothing to clean up, whoever is killed.
"""

from __future__ import annotations

from ..values import field, value_class
from ._privileges import Privileges
from ._values import Limits

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ._values import FileMount

__all__ = ["Bundle"]


@value_class
class Bundle:
    """What a runner starts.

    :param id: a name for the container that no other one has.
    :param place: an empty directory of this machine, that bundles may share: each covers it, for itself alone.
    :param root: a descriptor of the root directory; a detached mount or any other directory. It is cloned where the
        kernel can (Linux 6.15), so that it can be run in again, and moved where it cannot.
    :param config: the document of ``config.json`` (OCI runtime specification 1.0).
    :param files: what becomes ``files/N``.
    :param sources: descriptors of what becomes ``mounts/N``.
    :param limits: for runners that make the cgroup themselves; ``config`` has them too.
    :param privileges: the caller's.
    """

    id: str
    place: str
    root: int
    config: Mapping[str, Any]
    files: tuple[FileMount, ...] = ()
    sources: tuple[int, ...] = ()
    limits: Limits = field(default_factory=Limits)
    privileges: Privileges = Privileges.ROOT

    @property
    def rootless(self) -> bool:
        """The runner begins with a user namespace that has the caller's user and group alone, as 0."""
        return self.privileges is Privileges.USER

    @property
    def groups(self) -> bool:
        """Control groups are made anywhere; else where the caller was given a part of their tree."""
        return self.privileges is Privileges.ROOT
