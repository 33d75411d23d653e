"""Versions of the driver contract: drivers of older ones are made drivers of this one, a step at a time."""

from __future__ import annotations

from ..driver import API_VERSION

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..driver import Driver, DriverSpec

__all__ = ["STEPS", "Step", "oldest_version", "raise_driver", "raise_spec", "spoken_version"]


class Step:
    """How a driver of one version of the contract becomes one of the next.

    :param spec: makes a specification as the next version means it; its ``api`` stays what the plugin says.
    :param driver: wraps a driver object, or returns it as it is.
    """

    __slots__ = ("driver", "spec")

    def __init__(self, *, spec: Callable[[DriverSpec], DriverSpec], driver: Callable[[Driver], Driver]) -> None:
        self.spec = spec
        self.driver = driver


#: By the version that a step begins with. There is one version so far, and so no step.
STEPS: Mapping[int, Step] = {}


def spoken_version() -> int:
    """Return the version of the contract that this overlaykit speaks."""
    return API_VERSION


def oldest_version() -> int:
    """Return the oldest version that it still understands: the one from which steps lead here without a gap."""
    version = spoken_version()
    while version - 1 in STEPS:
        version -= 1
    return version


def raise_spec(spec: DriverSpec) -> DriverSpec:
    """Return a specification as this version means it.

    :param spec: one whose ``api`` is understood.
    """
    for version in range(spec.api, spoken_version()):
        spec = STEPS[version].spec(spec)
    return spec


def raise_driver(api: int, driver: Driver) -> Driver:
    """Return a driver object that keeps this version of the contract.

    :param api: the version that it was written for, one that is understood.
    """
    for version in range(api, spoken_version()):
        driver = STEPS[version].driver(driver)
    return driver
