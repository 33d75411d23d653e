"""What the plugin manager loads: data alone, so that listing drivers imports none of them."""

from __future__ import annotations

from collections.abc import Iterable

from overlaykit.driver import Capability, DriverSpec
from overlaykit.plugin import hookimpl


@hookimpl
def overlaykit_register_drivers() -> Iterable[DriverSpec]:
    return [
        DriverSpec(
            name="plain",
            factory="overlaykit_plain:PlainDriver",
            probe="overlaykit_plain:probe",
            priority=-1,  # to be asked for by name; "auto" never takes it
            capabilities=frozenset(Capability) - {Capability.HOST_MOUNT, Capability.VERIFY},
            summary="an example: every snapshot a directory, copied by Python",
        )
    ]
