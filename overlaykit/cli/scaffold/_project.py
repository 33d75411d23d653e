"""Writes a project from the template that is part of the package."""

from __future__ import annotations

import contextlib
import re
from importlib import resources
from typing import TYPE_CHECKING

from ... import __version__
from ...driver import API_VERSION
from ...errors import ExistsError, InvalidNameError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from ._names import Names

__all__ = ["render", "write_project"]

_MARK = re.compile(r"@([A-Z]+)@")
_LICENCE = re.compile(r"[A-Za-z0-9.+() -]+")
"""The characters of an SPDX licence expression (SPDX specification, annex D)."""

_SUFFIX = ".in"


def render(names: Names, licence: str) -> dict[str, str]:
    """Return the files of a project, path to text.

    :param names: what its parts are called.
    :param licence: an SPDX licence expression.
    :raises InvalidNameError: that is none.
    """
    if _LICENCE.fullmatch(licence) is None or not _is_known(licence):
        raise InvalidNameError(f"{licence!r:.80} is no SPDX licence expression, such as 'MIT' or 'Apache-2.0 OR MIT'")
    values = {
        "NAME": names.driver,
        "DISTRIBUTION": names.distribution,
        "PACKAGE": names.package,
        "CLASS": names.cls,
        "LICENSE": licence,
        "OVERLAYKIT": __version__,
        "API": str(API_VERSION),
    }
    found = {}
    for path, text in _template(resources.files(__package__).joinpath("template"), ""):
        parts = path.removesuffix(_SUFFIX).split("/")
        if parts[0] == "package":
            parts[0] = names.package
        found["/".join(".gitignore" if part == "gitignore" else part for part in parts)] = _fill(text, values)
    return found


def _is_known(licence: str) -> bool:
    """Tell whether the identifiers are on SPDX's list, as far as anybody here knows: a project is not built else."""
    try:
        # It comes with pytest, and so with the extra "conformance"; nothing else here needs it.
        from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
    except ImportError:
        return True
    try:
        canonicalize_license_expression(licence)
    except InvalidLicenseExpression:
        return False
    return True


def _template(directory: Traversable, prefix: str) -> Iterator[tuple[str, str]]:
    for entry in sorted(directory.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _template(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(_SUFFIX):
            yield prefix + entry.name, entry.read_text(encoding="utf-8")


def _fill(text: str, values: Mapping[str, str]) -> str:
    return _MARK.sub(lambda match: values[match[1]], text)


def write_project(files: Mapping[str, str], target: Path) -> None:
    """Write the files of a project; where one cannot be written nothing of it stays.

    :param files: path to text.
    :param target: the project's directory: a new one or an empty one.
    :raises ExistsError: it is there and not empty, or no directory.
    :raises OSError: something cannot be written.
    """
    if target.is_symlink() or target.exists():
        if not target.is_dir():
            raise ExistsError(f"{target} is no directory; name another", filename=target)
        if any(target.iterdir()):
            raise ExistsError(f"{target} is not empty; name another directory, or empty it", filename=target)
    made: list[Path] = []
    try:
        for path, text in files.items():
            file = target / path
            _make_directories(file.parent, made)
            made.append(file)
            with file.open("x", encoding="utf-8") as opened:
                opened.write(text)
    except BaseException:
        _remove(made)
        raise


def _make_directories(path: Path, made: list[Path]) -> None:
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for directory in reversed(missing):
        directory.mkdir()
        made.append(directory)


def _remove(made: list[Path]) -> None:
    for path in reversed(made):
        # What the error was about may not be there, and somebody else may have put something in between.
        with contextlib.suppress(OSError):
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink()
