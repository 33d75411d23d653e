"""What the plugin manager loads: data alone, so that listing drivers imports none of them."""

from __future__ import annotations

from collections.abc import Iterable

from overlaykit.driver import Capability, DriverSpec
from overlaykit.plugin import hookimpl

__all__ = ["ALWAYS", "CAPABILITIES", "overlaykit_register_drivers"]

# Named one by one: a newer overlaykit may know capabilities that this driver does not have.
ALWAYS = frozenset(
    {
        Capability.DEEP_STACK,
        Capability.HOST_MOUNT,
        Capability.HOST_PATH,
        Capability.PERMISSIONS,
        Capability.PERSISTENT,
        Capability.VERIFY,
    }
)
"""What the driver offers anywhere."""

CAPABILITIES = ALWAYS | {
    Capability.ACL,
    Capability.DEVICE_NODES,
    Capability.EXCHANGE,
    Capability.OWNERSHIP,
    Capability.SPARSE,
    Capability.TMPFILE,
    Capability.TRUSTED_XATTRS,
}
"""The most that it offers: the rest depends on mount options and on the caller."""


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
