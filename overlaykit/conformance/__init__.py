"""The suite that every driver is held to.

Three doors lead in:

* ``pytest --pyargs overlaykit.conformance --overlaykit-driver NAME`` runs it on a registered driver, without code;
* ``overlaykit conformance NAME`` is the same run with a table at its end;
* a class that inherits runs it in the author's own test module, on any :class:`~overlaykit.driver.DriverSpec`::

      from overlaykit.conformance import FullSuite

      class TestMine(FullSuite):
          driver = DriverSpec(name="mine", factory="mine.driver:Mine", probe="mine.driver:probe")

:class:`CoreSuite` is what no driver may fail; :class:`FullSuite` adds the capabilities, each tested where the driver
declares it and tested to be refused where it does not. Needs the extra ``conformance`` (pytest, hypothesis).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._all import CoreSuite, FullSuite
    from ._suite import Suite

__all__ = ["CoreSuite", "FullSuite", "Suite"]


def __getattr__(name: str) -> object:
    # The pytest plugin below this package is imported in every pytest run of an environment; the suite is not.
    if name in {"CoreSuite", "FullSuite"}:
        from . import _all

        return getattr(_all, name)
    if name == "Suite":
        from ._suite import Suite

        return Suite
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
