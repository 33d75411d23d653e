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
    from ._document import SCHEMA, SCHEMA_VERSION, report_document, write_json
    from ._level import Level
    from ._page import report_page
    from ._report import Reporter
    from ._result import Outcome, Result, RunFacts, summarize
    from ._sources import Source, source_of
    from ._suite import Suite

__all__ = [
    "SCHEMA",
    "SCHEMA_VERSION",
    "CoreSuite",
    "FullSuite",
    "Level",
    "Outcome",
    "Reporter",
    "Result",
    "RunFacts",
    "Source",
    "Suite",
    "report_document",
    "report_page",
    "source_of",
    "summarize",
    "write_json",
]

_LATER = {
    "CoreSuite": "_all",
    "FullSuite": "_all",
    "Level": "_level",
    "Outcome": "_result",
    "Reporter": "_report",
    "Result": "_result",
    "RunFacts": "_result",
    "SCHEMA": "_document",
    "SCHEMA_VERSION": "_document",
    "Source": "_sources",
    "Suite": "_suite",
    "report_document": "_document",
    "report_page": "_page",
    "source_of": "_sources",
    "summarize": "_result",
    "write_json": "_document",
}


def __getattr__(name: str) -> object:
    # The pytest plugin below this package is imported in every pytest run of an environment; the suite is not.
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LATER[name]}", __name__), name)
