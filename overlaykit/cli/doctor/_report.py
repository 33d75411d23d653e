"""All checks in their order."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from ... import __version__, linux
from .._context import nearest_existing
from ._check import Check, Status
from ._kernel import check_kernel
from ._storage import check_storage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ...plugin import PluginManager

__all__ = ["check_all"]


def check_all(store: Path, plugins: PluginManager) -> Iterator[Check]:
    """Yield every check.

    :param store: the directory of the store, which need not exist.
    :param plugins: the drivers and what is wrong with plugins.
    """
    yield Check("overlaykit", Status.OK, f"{__version__} on Python {platform.python_version()}")
    yield _native()
    yield from check_kernel()
    existing = nearest_existing(store)
    yield from check_storage(store, existing)
    yield from _drivers(plugins, existing)
    for problem in plugins.problems:
        yield Check("plugin", Status.BAD, str(problem), f"or leave it out: OVERLAYKIT_DISABLE_PLUGINS={problem.plugin}")


def _native() -> Check:
    if linux.available():
        return Check("native module", Status.OK, "built and loaded")
    return Check(
        "native module",
        Status.WARN,
        "missing: of our drivers only memory works",
        "install a C compiler and install overlaykit again, on Linux",
    )


def _drivers(plugins: PluginManager, existing: Path) -> Iterator[Check]:
    lasting = False
    for name, driver in plugins.drivers.items():
        probe = plugins.probe(name, existing if driver.spec.needs_path else None)
        lasting = lasting or (probe.usable and driver.spec.needs_path)
        status = Status.OK if probe.usable else Status.WARN
        yield Check(f"driver {name}", status, probe.reason or ("usable" if probe.usable else "not usable"), probe.fix)
    if not lasting:
        yield Check(
            "drivers", Status.BAD, "none that keeps snapshots on a disk can be used here", "see the lines above"
        )
