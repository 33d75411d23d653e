"""What the plugin manager loads: the driver as data."""

from __future__ import annotations

from overlaykit.driver import Capability, DriverSpec
from overlaykit.plugin import hookimpl

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable


@hookimpl
def overlaykit_register_drivers() -> Iterable[DriverSpec]:
    """Register the directory driver."""
    return [
        DriverSpec(
            name="directory",
            factory="overlaykit_directory:DirectoryDriver",
            probe="overlaykit_directory:probe",
            priority=50,
            capabilities=frozenset(Capability) - {Capability.REBASE},
            summary="whole copies in directories, reflinked where that works; any Linux, no privileges",
        )
    ]
