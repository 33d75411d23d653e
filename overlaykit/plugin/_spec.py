"""The hooks that a plugin may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from ..values import value_class

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..driver import DriverSpec, SnapshotInfo

__all__ = ["PROJECT", "CommandSpec", "StoreInfo", "hookimpl", "hookspec"]

PROJECT = "overlaykit"
"""The pluggy project name and the entry-point group."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a function of a plugin module as the implementation of the hook of its name."""


@value_class
class StoreInfo:
    """The store that a hook call is about.

    :param path: its directory, ``None`` for a store in memory.
    :param driver: the name of its driver.
    """

    path: str | None
    driver: str


@value_class
class CommandSpec:
    """A further command of the command line, as data: listing it imports nothing of it.

    :param name: the word after ``overlaykit``.
    :param summary: one line for ``overlaykit plugins``.
    :param run: ``"package.module:function"``, called with the remaining arguments, returns the exit code.
    """

    name: str
    summary: str
    run: str


@hookspec
def overlaykit_register_drivers() -> Iterable[DriverSpec]:  # type: ignore[empty-body]
    """Return the drivers that this plugin brings."""


@hookspec
def overlaykit_after_commit(store: StoreInfo, snapshot: SnapshotInfo) -> None:
    """Called after a snapshot was committed, outside every lock.

    What it raises is reported as a warning and does not undo the commit.
    """


@hookspec(firstresult=True)
def overlaykit_before_remove(store: StoreInfo, snapshot: SnapshotInfo) -> str | None:
    """Called before a snapshot is removed; discarding a working snapshot at the end of its ``with`` does not ask.

    :returns: a reason to refuse the removal, which raises :class:`~overlaykit.errors.RemovalVetoedError`; ``None`` to
        let it go ahead.
    """


@hookspec
def overlaykit_cli_commands() -> Sequence[CommandSpec]:  # type: ignore[empty-body]
    """Return further commands for the command line."""
