"""The directory driver: every snapshot is a whole directory, copied from its parent as cheaply as can be."""

from __future__ import annotations

from overlaykit.lazy import lazy_names

TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._driver import DirectoryDriver
    from ._probe import probe

__all__ = ["DirectoryDriver", "probe"]

_MODULES = {
    "DirectoryDriver": "_driver",
    "probe": "_probe",
}

# The plugin module is part of this package: listing the drivers imports it and must not import the driver.
__getattr__, __dir__ = lazy_names(globals(), _MODULES)
