"""The drivers of all plugins by name, with the names that two of them claim."""

from __future__ import annotations

from types import MappingProxyType

from ..errors import DriverConflictError, UnknownDriverError
from ._close import close_matches
from ._values import PluginProblem

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ._values import RegisteredDriver

__all__ = ["DriverRegistry"]


class DriverRegistry:
    """Drivers by name. A name that two plugins claim belongs to neither: which one was meant cannot be known."""

    def __init__(self) -> None:
        self._claims: dict[str, list[RegisteredDriver]] = {}

    def add(self, drivers: Iterable[RegisteredDriver]) -> None:
        """Add the drivers of one plugin."""
        for driver in drivers:
            self._claims.setdefault(driver.spec.name, []).append(driver)

    def discard(self, plugin: str) -> None:
        """Forget the drivers of one plugin; the other claimant of a name then has it."""
        for name, claims in list(self._claims.items()):
            left = [driver for driver in claims if driver.plugin != plugin]
            if left:
                self._claims[name] = left
            else:
                del self._claims[name]

    @property
    def drivers(self) -> Mapping[str, RegisteredDriver]:
        """The drivers that can be had, by name, in alphabetical order."""
        return MappingProxyType({name: claims[0] for name, claims in sorted(self._claims.items()) if len(claims) == 1})

    def get(self, name: str, problems: Iterable[PluginProblem]) -> RegisteredDriver:
        """Return a driver.

        :param name: its name.
        :param problems: what is known to be wrong with plugins, to explain why a name is missing.
        :raises UnknownDriverError: there is none of this name.
        :raises DriverConflictError: two plugins bring one of this name.
        """
        claims = self._claims.get(name, [])
        if len(claims) == 1:
            return claims[0]
        if claims:
            raise DriverConflictError(_conflict(name, claims), distributions=_distributions(claims))
        raise UnknownDriverError(self._unknown(name, problems), known=tuple(self.drivers))

    def conflicts(self) -> Iterator[PluginProblem]:
        """Yield a problem for each plugin whose driver's name another one claims too."""
        for name, claims in sorted(self._claims.items()):
            if len(claims) > 1:
                message = _conflict(name, claims)
                for driver in claims:
                    yield PluginProblem(driver.plugin, driver.distribution, driver.version, message)

    def _unknown(self, name: str, problems: Iterable[PluginProblem]) -> str:
        for problem in problems:
            if problem.plugin == name:
                return f"there is no driver {name!r}: {problem}"
        close = close_matches(name, self._claims)
        if close:
            return f"there is no driver {name!r}; did you mean {close}?"
        known = ", ".join(self.drivers) or "none"
        return f"there is no driver {name!r}; known: {known} (a plugin brings further ones: pip install it)"


def _distributions(claims: Iterable[RegisteredDriver]) -> list[str]:
    return [driver.distribution or f"plugin {driver.plugin}" for driver in claims]


def _conflict(name: str, claims: Iterable[RegisteredDriver]) -> str:
    origins = " and by ".join(
        f"{driver.distribution} {driver.version}" if driver.distribution else str(driver.origin) for driver in claims
    )
    return (
        f"the driver name {name!r} is registered by {origins}: neither is used; uninstall one of them or name it in "
        "OVERLAYKIT_DISABLE_PLUGINS"
    )
