"""The hooks that a plugin may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from ._marker import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..driver import DriverSpec, SnapshotInfo
    from ._spec import CommandSpec, StoreInfo

__all__ = ["hookspec"]

hookspec = pluggy.HookspecMarker(PROJECT)


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
