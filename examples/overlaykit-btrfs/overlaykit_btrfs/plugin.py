"""What the plugin manager loads: data alone, so that listing drivers imports none of them."""

from __future__ import annotations

from collections.abc import Iterable

from overlaykit.driver import Capability, DriverSpec
from overlaykit.plugin import hookimpl

__all__ = ["CAPABILITIES", "FOR_ROOT", "overlaykit_register_drivers"]

FOR_ROOT = frozenset({Capability.DEVICE_NODES, Capability.OWNERSHIP, Capability.TRUSTED_XATTRS})
"""What only root can offer."""

# Named one by one: a newer overlaykit may know capabilities that this driver does not have.
CAPABILITIES = FOR_ROOT | {
    Capability.ACL,
    Capability.DEEP_STACK,
    Capability.EXCHANGE,
    Capability.HOST_MOUNT,
    Capability.HOST_PATH,
    Capability.PERMISSIONS,
    Capability.PERSISTENT,
    Capability.SPARSE,
    Capability.TMPFILE,
    Capability.VERIFY,
}
"""The most that the driver offers anywhere."""


@hookimpl
def overlaykit_register_drivers() -> Iterable[DriverSpec]:
    """Register the driver."""
    return [
        DriverSpec(
            name="btrfs",
            factory="overlaykit_btrfs:BtrfsDriver",
            probe="overlaykit_btrfs:probe",
            priority=60,  # above "directory", which copies; below "overlayfs", which is faster to remove
            capabilities=CAPABILITIES,
            summary="Btrfs subvolumes: a snapshot of any size at once, blocks shared",
        )
    ]
