"""The driver as data; importing this imports nothing of the driver."""

from __future__ import annotations

from types import MappingProxyType

from overlaykit.driver import Capability, DriverSpec
from overlaykit.plugin import hookimpl

SPEC = DriverSpec(
    name="overlayfs",
    factory="overlaykit_overlayfs._driver:OverlayfsDriver",
    probe="overlaykit_overlayfs._probe:probe",
    priority=100,
    capabilities=frozenset(Capability),
    options=MappingProxyType(
        {
            "volatile": "yes: never sync active snapshots; no (default): only with durability none",
        }
    ),
    late_probe=True,
    summary="the kernel's overlay file system by detached mounts, with or without root",
)


@hookimpl
def overlaykit_register_drivers() -> list[DriverSpec]:
    """Register the driver."""
    return [SPEC]
