"""What the plugin manager loads: data alone, so that listing drivers imports none of them."""

from __future__ import annotations

from collections.abc import Iterable

from overlaykit.driver import Capability, DriverSpec
from overlaykit.plugin import hookimpl

__all__ = ["CAPABILITIES", "overlaykit_register_drivers"]

# Named one by one: a newer overlaykit may know capabilities that this driver does not have.
CAPABILITIES = frozenset(
    {
        Capability.ACL,
        Capability.DEEP_STACK,
        Capability.DEVICE_NODES,
        Capability.EXCHANGE,
        Capability.OWNERSHIP,
        Capability.PERSISTENT,
        Capability.SPARSE,
        Capability.TRUSTED_XATTRS,
    }
)
"""What the driver offers, everywhere and to everybody: owners and devices are rows."""


@hookimpl
def overlaykit_register_drivers() -> Iterable[DriverSpec]:
    """Register the driver."""
    return [
        DriverSpec(
            name="sqlite",
            factory="overlaykit_sqlite:SqliteDriver",
            probe="overlaykit_sqlite:probe",
            priority=5,  # what nothing else can take: no host path, and slower than a file system
            capabilities=CAPABILITIES,
            summary="one SQLite file; no file system, no privileges, any platform",
        )
    ]
