"""What the plugin manager loads: the driver as data."""

from __future__ import annotations

from overlaykit.driver import Capability, DriverSpec
from overlaykit.plugin import hookimpl

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable

CAPABILITIES = frozenset(
    {
        Capability.ACL,
        Capability.DEEP_STACK,
        Capability.DEVICE_NODES,
        Capability.EXCHANGE,
        Capability.OWNERSHIP,
        Capability.SPARSE,
        Capability.TRUSTED_XATTRS,
    }
)
"""What the driver offers, everywhere."""


@hookimpl
def overlaykit_register_drivers() -> Iterable[DriverSpec]:
    """Register the memory driver."""
    return [
        DriverSpec(
            name="memory",
            factory="overlaykit_memory:MemoryDriver",
            probe="overlaykit_memory:probe",
            priority=10,
            capabilities=CAPABILITIES,
            needs_path=False,
            summary="trees in memory, gone with the process; no disk, no privileges, any platform",
        )
    ]
