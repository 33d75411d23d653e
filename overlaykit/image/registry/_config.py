"""What the machine says of registries: ``registries.conf``, as podman and skopeo read it, and the environment."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import errors
from ._mirrors import Mirror, MirrorRule, begins_with_host, check_location, check_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["environment_mirrors", "read_rules"]

_SYSTEM = "/etc/containers"
_LARGEST = 4 << 20
_ONLY = {"": "", "all": "", "digest-only": "digest", "tag-only": "tag"}


def environment_mirrors() -> tuple[Mirror, ...]:
    """Return the mirrors that ``$OVERLAYKIT_MIRRORS`` names: ``PREFIX=LOCATION``, with commas or spaces between.

    :raises RegistryConfigError: there is something else in it.
    """
    told = os.environ.get("OVERLAYKIT_MIRRORS", "")
    return tuple(Mirror.parse(one) for one in told.replace(",", " ").split())


def read_rules(file: str | None = None) -> tuple[MirrorRule, ...]:
    """Return what the configuration says (containers-registries.conf(5), version 2; containers-registries.conf.d(5)).

    Read are ``$CONTAINERS_REGISTRIES_CONF``, or else ``~/.config/containers/registries.conf``, or else
    ``/etc/containers/registries.conf``, and then ``registries.conf.d/*.conf`` beside the last two, whose tables go
    before those of the same prefix. ``$OVERLAYKIT_REGISTRIES_CONF`` names one file instead of all these.

    Of short names it is not asked: they are Docker Hub's, as in Docker, whatever ``unqualified-search-registries`` and
    ``[aliases]`` say.

    :param file: one file instead of all of them.
    :raises RegistryConfigError: a file is damaged, or cannot be read.
    """
    rules: dict[str, MirrorRule] = {}
    for path, needed in _files(file):
        for rule in _read(path, needed=needed):
            rules[rule.prefix] = rule
    return tuple(rules.values())


def _files(file: str | None) -> Iterator[tuple[Path, bool]]:
    """Yield the files, and whether each has to be there."""
    if only := file or os.environ.get("OVERLAYKIT_REGISTRIES_CONF"):
        yield Path(only), True
        return
    system = Path(_SYSTEM)
    settings = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.environ.get("HOME") or "/nonexistent", ".config")
    own = Path(settings, "containers")
    if named := os.environ.get("CONTAINERS_REGISTRIES_CONF"):
        yield Path(named), True
    else:
        user = own / "registries.conf"
        yield (user if user.exists() else system / "registries.conf"), False
    for directory in (system, own):
        for path in sorted((directory / "registries.conf.d").glob("*.conf")):
            yield path, False


def _read(path: Path, *, needed: bool) -> Iterator[MirrorRule]:
    try:
        with path.open("rb") as opened:
            data = opened.read(_LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        if needed:
            raise errors.RegistryConfigError(
                f"there is no {path}, which the environment or an option names: check the path"
            ) from None
        return
    except OSError as error:
        raise errors.RegistryConfigError(f"{path} cannot be read: {error.strerror}; mend or move it") from None
    if len(data) > _LARGEST:
        raise errors.RegistryConfigError(f"{path} is no registries.conf: it has more than {_LARGEST} bytes")
    try:
        document = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise errors.RegistryConfigError(f"{path} is no TOML: {_line(error)}; mend it") from None
    if "registries" in document:
        raise errors.RegistryConfigError(
            f"{path} is written in version 1 of the format, which is read no more: write [[registry]] tables, as "
            "containers-registries.conf(5) shows them",
        )
    tables = document.get("registry", [])
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise errors.RegistryConfigError(f"{path}: registry is no array of tables: write [[registry]]")
    for table in tables:
        yield _rule(table, path)


def _rule(table: dict[str, Any], path: Path) -> MirrorRule:
    location = _text(table, "location", path)
    prefix = _text(table, "prefix", path) or location
    if not prefix:
        raise errors.RegistryConfigError(f"{path}: a [[registry]] has neither prefix nor location: give it one")
    digest_only = _flag(table, "mirror-by-digest-only", path)
    tables = table.get("mirror", [])
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise errors.RegistryConfigError(
            f"{path}: the mirrors of {prefix} are no array of tables: write [[registry.mirror]]"
        )
    try:
        check_prefix(prefix)
        if location or not prefix.startswith("*."):
            check_location(location or prefix)
        # No name begins with a host that looks like none, so that nobody will ask.
        asked = tables if begins_with_host(prefix) else []
        mirrors = tuple(_mirror(one, prefix, path, digest_only=digest_only) for one in asked)
    except errors.RegistryConfigError as error:
        told = str(error)
        raise errors.RegistryConfigError(told if told.startswith(str(path)) else f"{path}: {told}") from None
    return MirrorRule(
        prefix,
        location if location != prefix else "",
        _flag(table, "insecure", path),
        _flag(table, "blocked", path),
        mirrors,
        str(path),
    )


def _mirror(table: dict[str, Any], prefix: str, path: Path, *, digest_only: bool) -> Mirror:
    told = _text(table, "pull-from-mirror", path)
    if told not in _ONLY:
        raise errors.RegistryConfigError(
            f"{path}: pull-from-mirror is {told[:100]!r} for {prefix}: write all, digest-only or tag-only"
        )
    if told and digest_only:
        raise errors.RegistryConfigError(
            f"{path}: {prefix} has mirror-by-digest-only, and a mirror of it pull-from-mirror: leave one out"
        )
    return Mirror(
        prefix,
        _text(table, "location", path),
        _flag(table, "insecure", path),
        "digest" if digest_only else _ONLY[told],
    )


def _text(table: dict[str, Any], key: str, path: Path) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise errors.RegistryConfigError(f"{path}: {key} is no string: write it in quotation marks")
    return value.rstrip("/") if key != "pull-from-mirror" else value


def _flag(table: dict[str, Any], key: str, path: Path) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise errors.RegistryConfigError(f"{path}: {key} is neither true nor false: write one of them")
    return value


def _line(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not in UTF-8"
    return " ".join(str(error).split())[:200] or "it is nested too deeply"
