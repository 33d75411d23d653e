"""Which plugins are installed, and which of them the environment switches off."""

from __future__ import annotations

import os
import re
from functools import partial
from importlib import import_module

from ..values import value_class
from ._faults import RefusedError
from ._marker import PROJECT
from ._resolve import describe_error
from ._usual import usual_plugins
from ._values import Origin

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.metadata import Distribution
    from typing import NoReturn

__all__ = ["Installed", "disabled_plugins", "installed_plugins", "is_traced"]

ALL_EXTERNAL = "all-external"

_POINTS = "entry_points.txt"
_VALUE = r"\w+(\.\w+)*(\s*:\s*\w+(\.\w+)*)?(\s*\[.*\])?"
"""What an entry point may say (entry points specification); compiled when one is looked at."""


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
    found = [installed for distribution in _distributions() for installed in _plugins(distribution)]
    found.sort(key=lambda one: (one.origin.distribution != PROJECT, one.origin.distribution, one.origin.plugin))
    yield from found


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


def _distributions() -> Iterator[Distribution]:
    """Yield the installed distributions; of two versions on the path the one that Python would import."""
    from importlib.metadata import distributions

    seen = set()
    for distribution in distributions():
        name = re.sub(r"[-_.]+", "-", _directory_name(distribution)[0] or _said(distribution)[0]).lower()
        if name not in seen:
            seen.add(name)
            yield distribution


def _plugins(distribution: Distribution) -> Iterator[Installed]:
    """Yield the plugins of one distribution; one whose files cannot be read is a plugin that cannot be loaded.

    :func:`importlib.metadata.entry_points` reads them all at once: one that is damaged takes every other along.
    """
    section = f"[{PROJECT}]"
    try:
        if section not in (distribution.read_text(_POINTS) or ""):
            return
        entries = [entry for entry in distribution.entry_points if entry.group == PROJECT]
    except Exception as error:
        if isinstance(error, UnicodeDecodeError) and section.encode() not in error.object:
            return
        name, version = _said(distribution)
        yield Installed(Origin(name, name, version), "", partial(_refuse, _POINTS, error))
        return
    name, version = _said(distribution)
    requirement = _requirement(distribution)
    for entry in entries:
        origin = Origin(entry.name, name, version)
        if entry.name and re.fullmatch(_VALUE, entry.value):
            yield Installed(origin, requirement, entry.load)
        else:
            yield Installed(origin, requirement, partial(_refuse_point, f"{entry.name} = {entry.value}"))


def _refuse(file: str, error: Exception) -> NoReturn:
    raise RefusedError(f"its {file} cannot be read: {describe_error(error)}; install it again") from error


def _refuse_point(line: str) -> NoReturn:
    raise RefusedError(f"its entry point {line!r:.80} is not of the form 'name = package.module'")


def _said(distribution: Distribution) -> tuple[str, str]:
    """Return name and version as the metadata has them, else as the directory's name: it may be half uninstalled."""
    given = _directory_name(distribution)
    try:
        metadata = distribution.metadata
        # The protocol of metadata has no get.
        said = [metadata[key] if key in metadata else "" for key in ("Name", "Version")]  # noqa: SIM401
    except Exception:
        said = ["", ""]
    name, version = (one or other or "unknown" for one, other in zip(said, given, strict=True))
    return name, version


def _directory_name(distribution: Distribution) -> tuple[str, str]:
    """Return what the ``NAME-VERSION.dist-info`` directory is called; empty where it lies in none."""
    path = str(getattr(distribution, "_path", ""))
    name, _, version = os.path.splitext(os.path.basename(path))[0].partition("-")
    return name, version


def _requirement(distribution: Distribution) -> str:
    try:
        requires = distribution.requires or ()
    except Exception:
        # It only serves to explain another error better.
        return ""
    found = (text.partition(";")[0].strip() for text in requires)
    return next((text for text in found if re.match(rf"{PROJECT}\s*[\[<>=!~@(]", text)), "")
