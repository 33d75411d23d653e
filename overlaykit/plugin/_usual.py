"""Which plugins are installed in the usual case: overlaykit's own ones, and nobody else's."""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["usual_plugins"]


def usual_plugins(group: str, project: str) -> tuple[str, Mapping[str, str]] | None:
    """Find the entry points of a group where one distribution alone has any, and that is ``project``'s.

    :mod:`importlib.metadata` answers for every case, but to import it and to ask it takes longer than opening a store.
    This looks where it would look; whatever is not plain is left to it.

    :param group: the entry points' group.
    :param project: the distribution's name.
    :returns: the distribution's version, and the modules by the names of their entry points; ``None`` where
        :mod:`importlib.metadata` is to be asked.
    """
    if any(hasattr(finder, "find_distributions") and finder is not PathFinder for finder in sys.meta_path):
        return None
    section = f"[{group}]".encode()
    found = None
    try:
        for place in dict.fromkeys(sys.path):
            for path in _distributions(place):
                text = _read(f"{path}/entry_points.txt")
                if section not in text:
                    continue
                if found is not None or not os.path.basename(path).startswith(f"{project}-"):
                    return None
                found = path, text
        return None if found is None else _parse(project, section, *found)
    except (_NotPlainError, OSError, UnicodeDecodeError):
        return None


class _NotPlainError(Exception):
    """It takes more than this module knows."""


def _distributions(place: str) -> Iterable[str]:
    if place.endswith(".egg"):
        raise _NotPlainError
    try:
        names = os.listdir(place or ".")
    except FileNotFoundError:
        return
    for name in names:
        if name.lower().endswith((".dist-info", ".egg-info")):
            yield os.path.join(place, name)


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    with open(descriptor, "rb", 0) as file:
        return file.read()


def _parse(project: str, section: bytes, path: str, text: bytes) -> tuple[str, dict[str, str]]:
    points: dict[str, str] = {}
    inside = False
    for line in filter(None, map(bytes.strip, text.splitlines())):
        if line.startswith(b"["):
            inside = line == section
        elif inside:
            name, _, module = line.decode().partition("=")
            if not module.replace(".", "").strip().isidentifier() or name.strip() in points:
                raise _NotPlainError
            points[name.strip()] = module.strip()
    head = _read(f"{path}/METADATA").partition(b"\n\n")[0].decode()
    fields = [line.partition(": ") for line in head.splitlines()]
    names, versions = ([value for key, _, value in fields if key == which] for which in ("Name", "Version"))
    # What it might require of itself is a case for those who understand requirements.
    own = any(key == "Requires-Dist" and value.startswith(project) for key, _, value in fields)
    if names != [project] or len(versions) != 1 or own:
        raise _NotPlainError
    return versions[0], points
