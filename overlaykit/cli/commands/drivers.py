"""``overlaykit drivers``: what can store snapshots here, and what would make the others usable."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from ...errors import DriverUnavailableError
from .._context import nearest_existing
from .._text import one_line

if TYPE_CHECKING:
    import argparse

    from ...driver import Probe
    from ...plugin import RegisteredDriver
    from .._context import Context
    from .._output import Output
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare no arguments: there are none."""


def run(context: Context, arguments: argparse.Namespace) -> int:
    """List the drivers with what their probes say of the place where the store is.

    :returns: 0, also where none is usable: to say so is what was asked for.
    """
    plugins, output = context.plugins(), context.output
    root = nearest_existing(context.store_path)
    found = [
        (driver, plugins.probe(name, root if driver.spec.needs_path else None))
        for name, driver in plugins.drivers.items()
    ]
    found.sort(key=lambda pair: (-pair[0].spec.priority, pair[0].spec.name))
    try:
        choice = plugins.choose("auto", root)
        auto, why = choice.driver.spec.name, choice.why
    except DriverUnavailableError as error:
        auto, why = None, error.message
    if output.json:
        output.document(
            {
                "root": str(root),
                "auto": auto,
                "why": why,
                "drivers": [_as_json(driver, probe) for driver, probe in found],
                "problems": [str(problem) for problem in plugins.problems],
            }
        )
        return 0
    for driver, probe in found:
        _write(output, driver, probe)
    output.line(f"auto in {output.name(str(root))}: {one_line(why)}")
    for problem in plugins.problems:
        output.line(output.style("problem", "red") + f": {one_line(str(problem))}")
    return 0


def _write(output: Output, driver: RegisteredDriver, probe: Probe) -> None:
    spec = driver.spec
    state = output.style("usable", "green") if probe.usable else output.style("not usable", "red")
    output.line(f"{output.style(spec.name, 'bold')}  {_origin(driver)}  {state}")
    capabilities = sorted(probe.capabilities if probe.usable else spec.capabilities)
    facts = [
        ("", spec.summary),
        ("because", probe.reason),
        ("to fix it", probe.fix),
        ("capabilities", ", ".join(capabilities)),
        ("options", ", ".join(sorted(spec.options))),
        *probe.details.items(),
    ]
    for name, text in facts:
        if text:
            indent = f"    {one_line(name)}: " if name else "    "
            said = one_line(text)
            output.line(
                textwrap.fill(said, 80, initial_indent=indent, subsequent_indent="      ", break_on_hyphens=False)
            )
    output.line()


def _origin(driver: RegisteredDriver) -> str:
    return one_line(f"{driver.distribution} {driver.version}" if driver.distribution else f"plugin {driver.plugin}")


def _as_json(driver: RegisteredDriver, probe: Probe) -> dict[str, Any]:
    spec = driver.spec
    return {
        "name": spec.name,
        "summary": spec.summary,
        "plugin": driver.plugin,
        "distribution": driver.distribution,
        "version": driver.version,
        "priority": spec.priority,
        "needs_path": spec.needs_path,
        "usable": probe.usable,
        "reason": probe.reason,
        "fix": probe.fix,
        "capabilities": sorted(probe.capabilities),
        "declares": sorted(spec.capabilities),
        "options": dict(spec.options),
        "details": dict(probe.details),
    }
