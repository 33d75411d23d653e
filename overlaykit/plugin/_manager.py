"""The plugin manager: loads plugins one by one, so that a broken one is reported and the others go on."""

from __future__ import annotations

import functools
import sys
from types import MappingProxyType

from .. import __version__
from ..errors import PluginError
from ._check import check_commands, check_drivers
from ._choose import choose_best, choose_named
from ._close import close_matches
from ._discover import disabled_plugins, installed_plugins, is_traced
from ._faults import RefusedError, refusing
from ._hooks import call_after_commit, call_before_remove
from ._marker import PROJECT, mark
from ._open import check_options, create_driver, run_probe
from ._registry import DriverRegistry
from ._values import Origin, PluginProblem, RegisteredCommand, RegisteredDriver

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pluggy

    from ..driver import Driver, DriverConfig, DriverSpec, Probe, SnapshotInfo
    from ._discover import Installed
    from ._spec import StoreInfo
    from ._values import Choice

__all__ = ["PluginManager", "load_plugins", "reset_plugins"]

AUTO = "auto"


class PluginManager:
    """Knows the plugins, their drivers and their commands. A new one is empty; :func:`load_plugins` fills one.

    Where a plugin fails (at import, in a hook, by what it hands over) it is left out as a whole and
    :attr:`problems` says so; no other plugin notices.
    """

    def __init__(self) -> None:
        self._made_hooks: pluggy.PluginManager | None = None
        self._own: dict[str, object] = {}
        self._drivers = DriverRegistry()
        self._commands: dict[str, RegisteredCommand] = {}
        self._problems: list[PluginProblem] = []
        self._disabled: list[Origin] = []
        self._origins: dict[str, Origin] = {}
        self._traced = is_traced()

    @property
    def _hooks(self) -> pluggy.PluginManager:
        """pluggy's manager, made when it is first needed."""
        if self._made_hooks is None:
            hooks = _hook_manager()
            if self._traced:
                hooks.trace.root.setwriter(_write_trace)
                hooks.enable_tracing()
            for name, plugin in self._own.items():
                hooks.register(plugin, name)
            self._made_hooks = hooks
        return self._made_hooks

    def _trace(self, message: str) -> None:
        if self._traced:
            self._hooks.trace.get("plugins")(message)

    def _is_hooked(self, hook: str) -> bool:
        """Tell whether a plugin may implement a hook."""
        return self._made_hooks is not None or any(hasattr(plugin, hook) for plugin in self._own.values())

    # -- plugins ---------------------------------------------------------------------------------------------------

    def load_installed(self) -> None:
        """Load every installed plugin that ``OVERLAYKIT_DISABLE_PLUGINS`` does not name."""
        disabled = disabled_plugins()
        for installed in installed_plugins():
            if disabled(installed.origin):
                self._trace(f"{installed.origin}: disabled by OVERLAYKIT_DISABLE_PLUGINS")
                self._disabled.append(installed.origin)
                continue
            self._load(installed)

    def register(self, plugin: object, name: str) -> None:
        """Add a plugin by code: for programs and tests.

        :param plugin: a module, or an object with the hooks as methods.
        :param name: what to call it; not taken yet.
        :raises PluginError: it cannot be used; the message says why and nothing of it stays.
        """
        try:
            with refusing("looking at it"):
                self._add(plugin, Origin(name), "")
        except RefusedError as error:
            raise PluginError(f"the plugin {name!r} cannot be used: {error}") from error

    def unregister(self, name: str) -> None:
        """Take a plugin out, its drivers and commands included.

        :raises PluginError: no plugin has this name.
        """
        if not self._hooks.has_plugin(name):
            raise PluginError(f"there is no plugin {name!r}; there are: {', '.join(self.plugins) or 'none'}")
        self._hooks.unregister(name=name)
        del self._origins[name]
        self._drivers.discard(name)
        self._commands = {key: value for key, value in self._commands.items() if value.origin.plugin != name}

    @property
    def plugins(self) -> Sequence[str]:
        """The names of the plugins in use, in the order in which they were loaded."""
        return tuple(name for name, plugin in self._hooks.list_name_plugin() if plugin is not None)

    @property
    def disabled(self) -> Sequence[Origin]:
        """The installed plugins that the environment switches off."""
        return tuple(self._disabled)

    @property
    def problems(self) -> Sequence[PluginProblem]:
        """What is wrong with plugins: those that could not be loaded and names that two of them claim."""
        return (*self._problems, *self._drivers.conflicts())

    @property
    def commands(self) -> Mapping[str, RegisteredCommand]:
        """The commands that plugins bring, by name."""
        return MappingProxyType(self._commands)

    # -- drivers ---------------------------------------------------------------------------------------------------

    @property
    def drivers(self) -> Mapping[str, RegisteredDriver]:
        """The drivers by name, in alphabetical order, without those whose name two plugins claim."""
        return self._drivers.drivers

    def get(self, name: str) -> RegisteredDriver:
        """Return a driver.

        :raises UnknownDriverError: there is none of this name; the message has close matches.
        :raises DriverConflictError: two plugins bring one of this name.
        """
        return self._drivers.get(name, self._problems)

    def probe(self, name: str, root: Path | None) -> Probe:
        """Ask a driver whether it works here. A probe that fails is an unusable driver, not an exception.

        :param name: the driver's name.
        :param root: the directory of the store, or its nearest existing ancestor; ``None`` for a store without a path.
        :raises UnknownDriverError: as :meth:`get`.
        :raises DriverConflictError: as :meth:`get`.
        """
        return run_probe(self.get(name), root)

    def choose(self, name: str, root: Path | None, *, made_before: bool = False) -> Choice:
        """Choose the driver of a store.

        :param name: a driver's name, or ``"auto"`` for the usable one of highest priority: of those that keep their
            snapshots in a directory where there is a path, of those that need none where there is not.
        :param root: as for :meth:`probe`.
        :param made_before: it has made the store that is to be opened: one with ``late_probe`` is not asked yet.
        :raises DriverUnavailableError: it does not work here, or none does; with reason and fix.
        :raises UnknownDriverError: as :meth:`get`.
        :raises DriverConflictError: as :meth:`get`.
        """
        if name == AUTO:
            return choose_best(self.drivers.values(), root)
        return choose_named(self.get(name), root, made_before=made_before)

    def check_options(self, registered: RegisteredDriver, options: Mapping[str, str]) -> None:
        """Refuse options that a driver does not have, before anything is made.

        :raises DriverOptionError: one is unknown; the message has close matches.
        """
        check_options(registered, options)

    def create(self, registered: RegisteredDriver, config: DriverConfig) -> Driver:
        """Make a driver object.

        :raises DriverOptionError: an option is unknown.
        :raises DriverUnavailableError: a module of the driver cannot be imported, or it needs a directory.
        :raises DriverError: the factory broke its contract.
        :raises OSError: what the storage says.
        """
        return create_driver(registered, config)

    # -- hooks -----------------------------------------------------------------------------------------------------

    def after_commit(self, store: StoreInfo, snapshot: SnapshotInfo) -> None:
        """Call ``overlaykit_after_commit`` of every plugin; what one raises becomes a :class:`PluginWarning`."""
        if self._is_hooked("overlaykit_after_commit"):
            call_after_commit(self._hooks, self._origins, store, snapshot)

    def before_remove(self, store: StoreInfo, snapshot: SnapshotInfo) -> str | None:
        """Call ``overlaykit_before_remove`` until a plugin refuses.

        :returns: the reason to refuse, with the plugin's name; ``None`` where nobody objects.
        :raises PluginError: a plugin failed to answer, which refuses too.
        """
        return (
            call_before_remove(self._hooks, self._origins, store, snapshot)
            if self._is_hooked("overlaykit_before_remove")
            else None
        )

    # -- loading ---------------------------------------------------------------------------------------------------

    def _load(self, installed: Installed) -> None:
        origin = installed.origin
        self._trace(f"{origin}: loading")
        try:
            with refusing("importing it", "; repair or uninstall it"):
                plugin = installed.load()
            # What an object raises that is merely looked at is its plugin's fault too.
            with refusing("looking at it"):
                if installed.own and self._made_hooks is None and not hasattr(plugin, "overlaykit_cli_commands"):
                    self._add_own(plugin, origin)
                else:
                    self._add(plugin, origin, installed.requirement)
        except KeyboardInterrupt as error:
            leave_out = f"OVERLAYKIT_DISABLE_PLUGINS={origin.plugin} leaves it out"
            error.add_note(f"while the {origin} was being loaded; {leave_out}")
            raise
        except RefusedError as error:
            self._trace(f"{origin}: refused: {error}")
            # What raises may have been written for another overlaykit; who knows its own needs says so.
            wants = f" (it asks for {installed.requirement!r}, this is overlaykit {__version__})"
            hint = wants if installed.requirement and error.__cause__ is not None else ""
            message = f"{error}{hint}"
            problem = PluginProblem(origin.plugin, origin.distribution, origin.version, message, error.__cause__)
            self._problems.append(problem)
        else:
            self._trace(f"{origin}: loaded")

    def _add_own(self, plugin: object, origin: Origin) -> None:
        """Add one that is part of overlaykit, whose hooks are known to fit; pluggy hears of it when it is needed."""
        register = getattr(plugin, "overlaykit_register_drivers", tuple)
        with refusing("its overlaykit_register_drivers"):
            returned: object = register()
        self._take(check_drivers(returned, ""), origin)
        self._own[origin.plugin] = plugin

    def _take(self, drivers: Iterable[DriverSpec], origin: Origin) -> None:
        self._drivers.add(
            RegisteredDriver(spec, origin.distribution, origin.version, origin.plugin) for spec in drivers
        )

    def _add(self, plugin: object, origin: Origin, requirement: str) -> None:
        if self._hooks.has_plugin(origin.plugin):
            raise RefusedError(f"another plugin is called {origin.plugin!r} already; uninstall one of them")
        if self._hooks.is_registered(plugin):
            raise RefusedError(f"it is the same object as the plugin {self._hooks.get_name(plugin)!r}")
        # Tried by itself first: pluggy keeps half of a plugin that it refuses, and a trial can be asked alone.
        trial = _try_alone(plugin, origin)
        drivers = tuple(
            spec for result in _ask(trial, "overlaykit_register_drivers") for spec in check_drivers(result, requirement)
        )
        commands = tuple(spec for result in _ask(trial, "overlaykit_cli_commands") for spec in check_commands(result))
        for command in commands:
            if command.name in self._commands:
                other = self._commands[command.name].origin
                raise RefusedError(f"it brings the command {command.name!r}, which the {other} brings too")
        self._hooks.register(plugin, origin.plugin)
        self._origins[origin.plugin] = origin
        self._take(drivers, origin)
        self._commands.update({spec.name: RegisteredCommand(spec, origin) for spec in commands})


@functools.cache
def load_plugins() -> PluginManager:
    """Return the manager with all installed plugins, loaded at the first call."""
    manager = PluginManager()
    manager.load_installed()
    return manager


def reset_plugins() -> None:
    """Make the next :func:`load_plugins` look again: after an installation in the running process, and in tests."""
    load_plugins.cache_clear()


def _hook_manager() -> pluggy.PluginManager:
    import pluggy

    from . import _hookspecs

    mark()
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(_hookspecs)
    return manager


def _try_alone(plugin: object, origin: Origin) -> pluggy.PluginManager:
    import pluggy

    trial = _hook_manager()
    known = sorted(vars(trial.hook))
    try:
        trial.register(plugin, origin.plugin)
    except pluggy.PluginValidationError as error:
        raise RefusedError(f"its hooks do not fit: {' '.join(str(error).split())}") from error
    for name in vars(trial.hook):
        if name not in known and not all(impl.optionalhook for impl in getattr(trial.hook, name).get_hookimpls()):
            close = close_matches(name, known, 1)
            raise RefusedError(f"there is no hook {name}; {f'did you mean {close}?' if close else _there_are(known)}")
    unmarked = [name for name in known if hasattr(plugin, name) and not getattr(trial.hook, name).get_hookimpls()]
    if unmarked:
        raise RefusedError(f"its {', '.join(unmarked)} lacks the decorator overlaykit.plugin.hookimpl")
    if not trial.get_hookcallers(plugin):
        raise RefusedError(f"it implements no hook; {_there_are(known)}")
    return trial


def _ask(trial: pluggy.PluginManager, hook: str) -> list[object]:
    with refusing(f"its {hook}"):
        results: list[object] = getattr(trial.hook, hook)()
    return results


def _there_are(known: Sequence[str]) -> str:
    return f"there are {', '.join(known)}"


def _write_trace(line: str) -> None:
    sys.stderr.write(line)
