"""What the plugin manager loads: data alone, so that listing drivers imports none of them."""

from __future__ import annotations

from collections.abc import Iterable

from overlaykit.driver import Capability, DriverSpec
from overlaykit.plugin import hookimpl

# Named one by one: a newer overlaykit may know capabilities that this driver does not have.
CAPABILITIES = frozenset(
    {
        Capability.HOST_PATH,
        Capability.PERSISTENT,
        Capability.DEEP_STACK,
        Capability.PERMISSIONS,
        Capability.OWNERSHIP,
        Capability.DEVICE_NODES,
        Capability.TRUSTED_XATTRS,
        Capability.ACL,
        Capability.TMPFILE,
        Capability.EXCHANGE,
        Capability.SPARSE,
    }
)


@hookimpl
def overlaykit_register_drivers() -> Iterable[DriverSpec]:
    return [
        DriverSpec(
            name="plain",
            factory="overlaykit_plain:PlainDriver",
            probe="overlaykit_plain:probe",
            priority=-1,  # to be asked for by name; "auto" never takes it
            capabilities=CAPABILITIES,
            summary="an example: every snapshot a directory, copied by Python",
        )
    ]
