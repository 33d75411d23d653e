"""Which plugins are installed, and which of them the environment switches off."""

from __future__ import annotations

import os
import re
from functools import partial
from importlib import import_module

from ..values import value_class
from ._marker import PROJECT
from ._usual import usual_plugins
from ._values import Origin

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.metadata import EntryPoint

__all__ = ["Installed", "disabled_plugins", "installed_plugins", "is_traced"]

ALL_EXTERNAL = "all-external"


@value_class
class Installed:
    """An entry point of the group, not loaded yet.

    :param origin: its name and distribution.
    :param requirement: what the distribution requires of overlaykit, ``"overlaykit>=2"``; empty where it says nothing.
    :param load: imports the plugin and returns it.
    :param own: it is part of overlaykit, and all others that are installed are too.
    """

    origin: Origin
    requirement: str
    load: Callable[[], object]
    own: bool = False


def installed_plugins() -> Iterator[Installed]:
    """Yield the entry points of the group ``overlaykit``, those of overlaykit itself first, then by distribution."""
    usual = usual_plugins(PROJECT, PROJECT)
    if usual is not None:
        version, modules = usual
        for name, module in sorted(modules.items()):
            yield Installed(Origin(name, PROJECT, version), "", partial(import_module, module), own=True)
        return
    from importlib.metadata import entry_points

    entries = [(_origin(entry), entry) for entry in entry_points(group=PROJECT)]
    entries.sort(key=lambda pair: (pair[0].distribution != PROJECT, pair[0].distribution, pair[0].plugin))
    for origin, entry in entries:
        yield Installed(origin, _requirement(entry), entry.load)


def disabled_plugins() -> Callable[[Origin], bool]:
    """Return the predicate that ``OVERLAYKIT_DISABLE_PLUGINS`` stands for.

    The variable is a comma list of names of plugins or distributions; ``all-external`` stands for every distribution
    but overlaykit itself.
    """
    names = {name.strip() for name in os.environ.get("OVERLAYKIT_DISABLE_PLUGINS", "").split(",")} - {""}

    def disabled(origin: Origin) -> bool:
        if ALL_EXTERNAL in names and origin.distribution != PROJECT:
            return True
        return origin.plugin in names or origin.distribution in names

    return disabled


def is_traced() -> bool:
    """Tell whether ``OVERLAYKIT_TRACE_PLUGINS`` asks for a trace of loading and hook calls on stderr."""
    return os.environ.get("OVERLAYKIT_TRACE_PLUGINS", "") not in ("", "0")


def _origin(entry: EntryPoint) -> Origin:
    if entry.dist is None:
        return Origin(entry.name)
    # A dist-info directory without a METADATA file, half uninstalled, has neither name nor version.
    metadata = entry.dist.metadata
    # The protocol of metadata has no get.
    name, version = (metadata[key] if key in metadata else "unknown" for key in ("Name", "Version"))  # noqa: SIM401
    return Origin(entry.name, name, version)


def _requirement(entry: EntryPoint) -> str:
    requires = (entry.dist.requires if entry.dist is not None else None) or ()
    found = (text.partition(";")[0].strip() for text in requires)
    return next((text for text in found if re.match(rf"{PROJECT}\s*[\[<>=!~@(]", text)), "")
