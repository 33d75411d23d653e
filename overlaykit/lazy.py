"""Packages whose names are imported when they are first asked for (:pep:`562`).

A command that starts, does one thing and ends needs few of the modules that its packages offer.
"""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

__all__ = ["lazy_names"]


def lazy_names(
    namespace: dict[str, Any], modules: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return a package's ``__getattr__`` and ``__dir__``.

    .. code-block:: python

        __getattr__, __dir__ = lazy_names(globals(), {"Thing": "_thing"})

    A name that was asked for once is an ordinary one from then on.

    :param namespace: the package's ``globals()``.
    :param modules: its names, and for each the module in the package that defines it.
    """
    package: str = namespace["__name__"]

    def get(name: str) -> object:
        if name not in modules:
            # What the interpreter says of a module, word by word.
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from importlib import import_module

        value = namespace[name] = getattr(import_module(f".{modules[name]}", package), name)
        return value

    def names() -> list[str]:
        return sorted({*namespace, *modules})

    return get, names
