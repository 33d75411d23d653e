"""What the plugin manager tells of plugins, their drivers and their commands."""

from __future__ import annotations

from ..values import field, value_class

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..driver import DriverSpec, Probe
    from ._spec import CommandSpec

__all__ = ["Choice", "Origin", "PluginProblem", "PluginWarning", "RegisteredCommand", "RegisteredDriver"]


class PluginWarning(UserWarning):
    """A plugin failed where the failure must not undo what was done: in a hook that is called after the fact."""


@value_class
class Origin:
    """Where a plugin comes from.

    :param plugin: its name: that of the entry point, or what a program registered it as.
    :param distribution: the installed distribution that brings it; empty for one registered by a program.
    :param version: that distribution's version; empty for one registered by a program.
    """

    plugin: str
    distribution: str = ""
    version: str = ""

    def __str__(self) -> str:
        if not self.distribution:
            return f"plugin {self.plugin!r}"
        return f"plugin {self.plugin!r} of {self.distribution} {self.version}"


@value_class
class PluginProblem:
    """A plugin that cannot be used, or a driver or command of it that cannot.

    :param plugin: the plugin's name.
    :param distribution: the distribution that brings it; empty for one registered by a program.
    :param version: that distribution's version.
    :param message: one line: what is wrong and the way out.
    :param error: the exception behind it, for those who debug the plugin.
    """

    plugin: str
    distribution: str
    version: str
    message: str
    error: BaseException | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{Origin(self.plugin, self.distribution, self.version)}: {self.message}"


@value_class
class RegisteredDriver:
    """A driver and the plugin that brings it.

    :param spec: the driver as data.
    :param distribution: the distribution that brings it; empty for one registered by a program.
    :param version: that distribution's version.
    :param plugin: the name of the plugin.
    """

    spec: DriverSpec
    distribution: str
    version: str
    plugin: str

    @property
    def origin(self) -> Origin:
        """Where it comes from."""
        return Origin(self.plugin, self.distribution, self.version)


@value_class
class RegisteredCommand:
    """A command of the command line and the plugin that brings it.

    :param spec: the command as data.
    :param origin: where it comes from.
    """

    spec: CommandSpec
    origin: Origin


class Choice:
    """The driver that was chosen.

    :param driver: which one.
    :param probe: what its probe said, or what asks it.
    :param why: one line for people: why this one, and why those that would have been preferred are not it.
    """

    __slots__ = ("_probe", "driver", "why")

    def __init__(self, driver: RegisteredDriver, probe: Probe | Callable[[], Probe], why: str) -> None:
        self.driver = driver
        self._probe = probe
        self.why = why

    @property
    def asked(self) -> Probe | None:
        """What its probe said, if it was asked."""
        return None if callable(self._probe) else self._probe

    @property
    def probe(self) -> Probe:
        """What its probe says; it is asked where that was not needed yet."""
        if callable(self._probe):
            self._probe = self._probe()
        return self._probe

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.driver.spec.name}: {self.why}>"
