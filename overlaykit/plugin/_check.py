"""What a plugin hands over, checked before anything relies on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet

from .. import __version__
from ..driver import Capability, DriverSpec
from ._api import oldest_version, raise_spec, spoken_version
from ._faults import RefusedError, refusing
from ._resolve import is_object_name
from ._spec import CommandSpec

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import TypeVar

    _Spec = TypeVar("_Spec")

__all__ = ["check_commands", "check_drivers"]

_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def check_drivers(returned: object, requirement: str) -> tuple[DriverSpec, ...]:
    """Return the drivers that ``overlaykit_register_drivers`` returned, each of them whole.

    :param returned: what the hook returned.
    :param requirement: what the plugin's distribution says of the overlaykit it needs, such as ``"overlaykit>=2"``;
        may be empty.
    :raises RefusedError: something about them is wrong.
    """
    specs = _items("overlaykit_register_drivers", returned, DriverSpec)
    for spec in specs:
        _check_driver(spec, requirement)
    _check_twice("driver", [spec.name for spec in specs])
    return tuple(map(raise_spec, specs))


def check_commands(returned: object) -> tuple[CommandSpec, ...]:
    """Return the commands that ``overlaykit_cli_commands`` returned, each of them whole.

    :raises RefusedError: something about them is wrong.
    """
    specs = _items("overlaykit_cli_commands", returned, CommandSpec)
    for spec in specs:
        _check_name("command", spec.name)
        what = f"the command {spec.name}"
        _require(isinstance(spec.summary, str), f"{what} has a summary that is {_kind(spec.summary)}, not a text")
        _require(is_object_name(spec.run), f"{what} has run={spec.run!r}, not 'package.module:function'")
    _check_twice("command", [spec.name for spec in specs])
    return specs


def _items(hook: str, returned: object, kind: type[_Spec]) -> tuple[_Spec, ...]:
    if isinstance(returned, str | bytes | Mapping) or not isinstance(returned, Iterable):
        raise RefusedError(f"{hook} returned {_kind(returned)}, not an iterable of {kind.__name__}")
    with refusing(f"its {hook}"):
        items = tuple(returned)
    for item in items:
        if not isinstance(item, kind):
            raise RefusedError(f"{hook} returned {_kind(item)} among its items, not {kind.__name__} alone")
    return items


def _check_driver(spec: DriverSpec, requirement: str) -> None:
    _check_name("driver", spec.name)
    what = f"the driver {spec.name}"
    # Before all else: what the other fields mean in a later contract is unknown here.
    _check_api(spec, requirement)
    for field, target in (("factory", spec.factory), ("probe", spec.probe)):
        _require(is_object_name(target), f"{what} has {field}={target!r}, not 'package.module:attribute'")
    checks: tuple[tuple[str, object, Callable[[object], bool], str], ...] = (
        ("priority", spec.priority, _is_int, "a number"),
        ("capabilities", spec.capabilities, _is_capabilities, "a set of Capability"),
        ("options", spec.options, _is_texts, "a mapping of text to text"),
        ("needs_path", spec.needs_path, lambda value: isinstance(value, bool), "true or false"),
        ("summary", spec.summary, lambda value: isinstance(value, str), "a text"),
        ("known_failures", spec.known_failures, _is_texts, "a mapping of text to text"),
        ("late_probe", spec.late_probe, lambda value: isinstance(value, bool), "true or false"),
    )
    for field, value, holds, expected in checks:
        _require(holds(value), f"{what} has {field}={value!r:.80}, not {expected}")


def _check_api(spec: DriverSpec, requirement: str) -> None:
    what = f"the driver {spec.name}"
    _require(_is_int(spec.api) and spec.api >= 1, f"{what} has api={spec.api!r:.80}, not a number from 1 on")
    oldest, spoken = oldest_version(), spoken_version()
    written = f"{what} was written for version {spec.api} of the driver contract and overlaykit {__version__} speaks"
    if spec.api > spoken:
        needed = f"{requirement!r}" if requirement else f"an overlaykit with API_VERSION {spec.api} or later"
        raise RefusedError(f"{written} {spoken}; install {needed}")
    _require(spec.api >= oldest, f"{written} {oldest} to {spoken}; install a newer version of the plugin")


def _check_name(what: str, name: object) -> None:
    _require(
        isinstance(name, str) and 1 <= len(name) <= 64 and name[0] != "-" and _CHARACTERS.issuperset(name),
        f"the {what} name {name!r:.80} is not of the form [a-z0-9][a-z0-9-]* with at most 64 characters",
    )


def _check_twice(what: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    _require(not twice, f"it registers the {what} {', '.join(twice)} twice")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_capabilities(value: object) -> bool:
    return isinstance(value, AbstractSet) and all(isinstance(item, Capability) for item in value)


def _is_texts(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(k, str) and isinstance(v, str) for k, v in value.items())


def _kind(value: object) -> str:
    return "nothing (None)" if value is None else f"an object of type {type(value).__name__}"


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise RefusedError(message)
