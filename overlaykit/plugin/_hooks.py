"""Calls of the hooks that follow a store's work, each plugin by itself so that a fault has a name."""

from __future__ import annotations

import warnings

from ..errors import PluginError
from ._resolve import describe_error
from ._values import PluginWarning

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pluggy

    from ..driver import SnapshotInfo
    from ._spec import StoreInfo
    from ._values import Origin

__all__ = ["call_after_commit", "call_before_remove"]


def call_after_commit(
    hooks: pluggy.PluginManager, origins: Mapping[str, Origin], store: StoreInfo, snapshot: SnapshotInfo
) -> None:
    """Tell every plugin of a commit; each one's exception becomes a :class:`PluginWarning` that names it.

    :param hooks: the plugins.
    :param origins: where each comes from, by its name.
    """
    faults, ending = [], None
    for name, call in _each(hooks, "overlaykit_after_commit"):
        try:
            call(store=store, snapshot=snapshot)
        except Exception as error:
            said = describe_error(error)
            faults.append(f"the {origins[name]} failed after the commit of {snapshot.key!r}, which stands: {said}")
        except BaseException as error:
            # Not a fault for certain: somebody may have pressed Ctrl-C, or a signal's handler ends the program.
            error.add_note(f"in overlaykit_after_commit of the {origins[name]}; the commit of {snapshot.key!r} stands")
            ending = ending or error
    # Afterwards: a program may turn warnings into exceptions, and the other plugins are to be called all the same.
    try:
        for fault in faults:
            warnings.warn(fault, PluginWarning, stacklevel=3)
    finally:
        if ending is not None:
            raise ending


def call_before_remove(
    hooks: pluggy.PluginManager, origins: Mapping[str, Origin], store: StoreInfo, snapshot: SnapshotInfo
) -> str | None:
    """Ask the plugins whether a snapshot may be removed; the first that refuses decides.

    :param hooks: the plugins.
    :param origins: where each comes from, by its name.
    :returns: the reason to refuse, with the plugin's name; ``None`` where nobody objects.
    :raises PluginError: a plugin failed: what it guards is not removed because its guard is broken.
    """
    for name, call in _each(hooks, "overlaykit_before_remove"):
        try:
            reason = call(store=store, snapshot=snapshot)
        except Exception as error:
            said = describe_error(error)
            raise PluginError(
                f"the {origins[name]} failed when asked whether {snapshot.key!r} may be removed: {said}; "
                "repair it or name it in OVERLAYKIT_DISABLE_PLUGINS"
            ) from error
        except BaseException as error:
            error.add_note(f"in overlaykit_before_remove of the {origins[name]}; {snapshot.key!r} is not removed")
            raise
        if reason is None:
            continue
        if not isinstance(reason, str):
            raise PluginError(
                f"the {origins[name]} answered {type(reason).__name__} when asked whether {snapshot.key!r} may be "
                "removed, not a text or None; repair it or name it in OVERLAYKIT_DISABLE_PLUGINS"
            )
        return f"{reason} ({origins[name]})"
    return None


def _each(hooks: pluggy.PluginManager, hook: str) -> Iterator[tuple[str, Callable[..., object]]]:
    # The order is pluggy's: the last registered first, tryfirst and trylast respected.
    for impl in reversed(getattr(hooks.hook, hook).get_hookimpls()):
        others = [plugin for plugin in hooks.get_plugins() if plugin is not impl.plugin]
        yield impl.plugin_name, hooks.subset_hook_caller(hook, others)
