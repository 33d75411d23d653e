"""Which driver a store gets, and why."""

from __future__ import annotations

from functools import partial

from ..errors import DriverUnavailableError
from ._open import run_probe
from ._values import Choice

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ._values import RegisteredDriver

__all__ = ["choose_best", "choose_named"]


def choose_named(driver: RegisteredDriver, root: Path | None, *, made_before: bool) -> Choice:
    """Take the driver that was asked for.

    :param made_before: it has made the store that is to be opened.
    :raises DriverUnavailableError: it does not work here.
    """
    name = driver.spec.name
    if made_before and driver.spec.late_probe:
        return Choice(driver, partial(run_probe, driver, root), f"{name} was asked for")
    probe = run_probe(driver, root)
    if not probe.usable:
        raise DriverUnavailableError(
            f"the driver {name} cannot be used here: {_why_not(probe.reason, probe.fix)}",
            reason=probe.reason,
            fix=probe.fix,
        )
    return Choice(driver, probe, f"{name} was asked for")


def choose_best(drivers: Iterable[RegisteredDriver], root: Path | None) -> Choice:
    """Take the usable driver of highest priority; of equals the first by name.

    A store with a path gets a driver that keeps its snapshots there, one without a path gets one that needs none.

    :param drivers: those there are.
    :param root: the directory of the store, or its nearest existing ancestor; ``None`` for a store without a path.
    :raises DriverUnavailableError: none works here; the message says why of each.
    """
    fitting = [d for d in drivers if d.spec.priority >= 0 and d.spec.needs_path == (root is not None)]
    passed: list[str] = []
    fixes: list[str] = []
    for driver in sorted(fitting, key=lambda d: (-d.spec.priority, d.spec.name)):
        name = driver.spec.name
        probe = run_probe(driver, root)
        if probe.usable:
            return Choice(driver, probe, "; ".join([f"{name} is the best driver that works here", *passed]))
        passed.append(f"not {name}: {_why_not(probe.reason, probe.fix)}")
        if probe.fix:
            fixes.append(f"for {name}: {probe.fix}")
    where = "without a path" if root is None else f"in {root}"
    reason = "; ".join(passed) or f"no driver is installed for a store {where}"
    raise DriverUnavailableError(f"no driver works {where}: {reason}", reason=reason, fix="; ".join(fixes))


def _why_not(reason: str, fix: str) -> str:
    return f"{reason or 'its probe gives no reason'} (to fix it: {fix})" if fix else reason or "its probe says no"
