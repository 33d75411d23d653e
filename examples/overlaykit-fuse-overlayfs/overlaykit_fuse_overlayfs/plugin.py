"""What the plugin manager loads: data alone, so that listing drivers imports none of them."""

from __future__ import annotations

from collections.abc import Iterable

from overlaykit.driver import Capability, DriverSpec
from overlaykit.plugin import hookimpl

from ._known import KNOWN_FAILURES

__all__ = ["ALWAYS", "CAPABILITIES", "FOR_ROOT", "overlaykit_register_drivers"]

# Named one by one: a newer overlaykit may know capabilities that this driver does not have.
ALWAYS = frozenset({Capability.HOST_PATH, Capability.PERMISSIONS, Capability.PERSISTENT})
"""What the driver offers anywhere."""

FOR_ROOT = frozenset({Capability.ACL, Capability.DEVICE_NODES, Capability.OWNERSHIP, Capability.TRUSTED_XATTRS})
"""What only root can have, where the place has it."""

CAPABILITIES = ALWAYS | FOR_ROOT
"""The most that the driver offers anywhere."""


@hookimpl
def overlaykit_register_drivers() -> Iterable[DriverSpec]:
    """Register the driver."""
    return [
        DriverSpec(
            name="fuse-overlayfs",
            factory="overlaykit_fuse_overlayfs:FuseOverlayfsDriver",
            probe="overlaykit_fuse_overlayfs:probe",
            priority=20,  # what it gets wrong, "directory" does not, which copies
            capabilities=CAPABILITIES,
            summary="layers merged by the program fuse-overlayfs, with or without root",
            known_failures=KNOWN_FAILURES,
        )
    ]
