"""The marker of hook implementations."""

from __future__ import annotations

import contextlib
import functools

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    import pluggy

__all__ = ["PROJECT", "hookimpl", "mark"]

PROJECT = "overlaykit"
"""The pluggy project name and the entry-point group."""


class _Marker:
    """pluggy's marker, which marks when the functions are to be found: pluggy takes as long to import as a container
    to start, and where all plugins are overlaykit's own nobody asks for it.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[..., object], dict[str, Any]]] = []

    def __call__(
        self,
        function: Any = None,
        *,
        hookwrapper: bool = False,
        optionalhook: bool = False,
        tryfirst: bool = False,
        trylast: bool = False,
        specname: str | None = None,
        wrapper: bool = False,
    ) -> Any:
        """Mark a function; the options are those of :class:`pluggy.HookimplMarker`."""
        options: dict[str, Any] = {
            "hookwrapper": hookwrapper,
            "optionalhook": optionalhook,
            "tryfirst": tryfirst,
            "trylast": trylast,
            "specname": specname,
            "wrapper": wrapper,
        }
        if function is None:
            return functools.partial(self, **options)
        self._waiting.append((function, options))
        return function

    def mark(self) -> None:
        """Do it: what comes after asks pluggy."""
        import pluggy

        marker = pluggy.HookimplMarker(PROJECT)
        for one in tuple(self._waiting):
            marker(one[0], **one[1])
            # Afterwards: another thread that finds nothing waiting finds everything marked.
            with contextlib.suppress(ValueError):
                self._waiting.remove(one)


_MARKER = _Marker()

hookimpl: pluggy.HookimplMarker = _MARKER  # type: ignore[assignment]
"""Marks a function of a plugin module as the implementation of the hook of its name."""

mark = _MARKER.mark
