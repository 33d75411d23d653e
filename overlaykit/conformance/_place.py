"""Where a test failed: the line of the suite, and the line of the driver."""

from __future__ import annotations

import linecache
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from ..driver import DriverSpec

__all__ = ["places"]

_SUITE = f"{__package__}.test_"


def places(spec: DriverSpec, traceback: TracebackType | None) -> list[str]:
    """Return the innermost line of the suite and that of the driver, each with the text that stands there.

    :param spec: of the driver; its own is what lies in the package of its factory.
    :param traceback: of the exception that failed the test.
    """
    package = re.split("[.:]", spec.factory)[0]
    found: dict[str, str] = {}
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__", ""))
        whose = "suite" if module.startswith(_SUITE) else "driver" if module.partition(".")[0] == package else ""
        if whose:
            code, number = traceback.tb_frame.f_code, traceback.tb_lineno
            text = linecache.getline(code.co_filename, number, traceback.tb_frame.f_globals).strip()
            found[whose] = f"{module}, line {number}: {text}"
        traceback = traceback.tb_next
    return list(found.values())
