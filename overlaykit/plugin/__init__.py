"""Plugins: hook specifications, the manager that loads them, the drivers they register."""

from __future__ import annotations

from ._manager import PluginManager, load_plugins, reset_plugins
from ._marker import hookimpl
from ._resolve import describe_error, load_object
from ._spec import CommandSpec, StoreInfo
from ._values import Choice, Origin, PluginProblem, PluginWarning, RegisteredCommand, RegisteredDriver

TYPE_CHECKING = False

if TYPE_CHECKING:
    from ._hookspecs import hookspec

__all__ = [
    "Choice",
    "CommandSpec",
    "Origin",
    "PluginManager",
    "PluginProblem",
    "PluginWarning",
    "RegisteredCommand",
    "RegisteredDriver",
    "StoreInfo",
    "describe_error",
    "hookimpl",
    "hookspec",
    "load_object",
    "load_plugins",
    "reset_plugins",
]


def __getattr__(name: str) -> object:
    # It is pluggy's own, which nothing else here imports before it is needed.
    if name == "hookspec":
        from ._hookspecs import hookspec

        return hookspec
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
