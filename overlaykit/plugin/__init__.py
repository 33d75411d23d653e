"""Plugins: hook specifications, the manager that loads them, the drivers they register."""

from __future__ import annotations

from ._manager import PluginManager, load_plugins, reset_plugins
from ._resolve import load_object
from ._spec import CommandSpec, StoreInfo, hookimpl, hookspec
from ._values import Choice, Origin, PluginProblem, PluginWarning, RegisteredCommand, RegisteredDriver

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
    "hookimpl",
    "hookspec",
    "load_object",
    "load_plugins",
    "reset_plugins",
]
