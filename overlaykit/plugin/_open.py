"""From a registered driver to what its probe says and to a driver object, with a plugin's faults made plain."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import cached_property

from ..driver import Driver, Probe
from ..errors import DriverError, DriverOptionError, DriverUnavailableError
from ._api import raise_driver
from ._close import close_matches
from ._faults import RefusedError, refusing
from ._resolve import describe_error, load_object

TYPE_CHECKING = False

if TYPE_CHECKING:
    from pathlib import Path

    from ..driver import DriverConfig
    from ._values import RegisteredDriver

__all__ = ["check_capabilities", "check_options", "create_driver", "run_probe"]


def run_probe(registered: RegisteredDriver, root: Path | None) -> Probe:
    """Ask a driver whether it works here; never raises what the plugin raises.

    :param registered: the driver.
    :param root: the directory of the store, or its nearest existing ancestor; ``None`` for a store without a path.
    :returns: the probe's answer; a probe that fails or answers with something else is an unusable driver.
    """
    spec = registered.spec
    try:
        with refusing(f"its probe {spec.probe}"):
            answer = _checked_probe(spec.probe, _call(load_object(spec.probe), root))
    except RefusedError as error:
        return _broken(registered, str(error))
    except KeyboardInterrupt as error:
        leave_out = f"OVERLAYKIT_DISABLE_PLUGINS={registered.plugin} leaves it out"
        error.add_note(f"while the probe of the driver {spec.name} ({registered.origin}) was asked; {leave_out}")
        raise
    beyond = answer.capabilities - spec.capabilities
    if beyond:
        return _broken(
            registered, f"its probe offers {_names(beyond)}, which it does not declare in its DriverSpec.capabilities"
        )
    return answer


def _checked_probe(name: str, answer: object) -> Probe:
    if not isinstance(answer, Probe):
        raise RefusedError(f"its probe {name} returned {type(answer).__name__}, not Probe")
    kinds = {"usable": bool, "reason": str, "fix": str, "capabilities": frozenset, "details": Mapping}
    for field, kind in kinds.items():
        value = getattr(answer, field)
        if not isinstance(value, kind):
            raise RefusedError(f"its probe {name} returned a Probe with {field}={value!r:.80}, not {kind.__name__}")
    if not all(isinstance(text, str) for pair in answer.details.items() for text in pair):
        raise RefusedError(f"its probe {name} returned a Probe with details that are not text to text")
    return answer


def check_options(registered: RegisteredDriver, options: Mapping[str, str]) -> None:
    """Refuse options that the driver does not have.

    :raises DriverOptionError: one of them is unknown, or its value is no text.
    """
    spec = registered.spec
    for name, value in options.items():
        if name not in spec.options:
            close = close_matches(str(name), spec.options)
            if close:
                hint = f"did you mean {close}?"
            elif spec.options:
                hint = f"it has {', '.join(sorted(spec.options))}"
            else:
                hint = "it has none"
            raise DriverOptionError(f"the driver {spec.name} has no option {name!r}; {hint}")
        if not isinstance(value, str):
            raise DriverOptionError(f"the option {name} of the driver {spec.name} must be a text, not {value!r:.80}")


def create_driver(registered: RegisteredDriver, config: DriverConfig) -> Driver:
    """Make the driver object.

    :raises DriverOptionError: an option is unknown.
    :raises DriverUnavailableError: a module of the driver cannot be imported, or it needs a directory and has none.
    :raises DriverError: the factory broke its contract: an exception that is no :class:`OSError`, another type, a
        capability that its spec does not declare.
    :raises OSError: what the storage says.
    """
    spec = registered.spec
    check_options(registered, config.options)
    if spec.needs_path and config.root is None:
        reason = "it keeps its snapshots in a directory and the store has no path"
        raise DriverUnavailableError(
            f"the driver {spec.name} cannot be used: {reason}; open the store with a path",
            reason=reason,
            fix="open the store with a path",
        )
    try:
        factory = load_object(spec.factory)
    except ImportError as error:
        reason = f"{spec.factory} cannot be imported: {describe_error(error)}"
        raise DriverUnavailableError(
            f"the driver {spec.name} ({registered.origin}) cannot be used: {reason}", reason=reason
        ) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _fault(registered, f"loading {spec.factory} raised {describe_error(error)}") from error
    try:
        driver = _call(factory, config)
    except (OSError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise _fault(registered, f"{spec.factory} raised {describe_error(error)}") from error
    if not isinstance(driver, Driver):
        raise _fault(registered, f"{spec.factory} returned {type(driver).__name__}, not a Driver")
    driver = raise_driver(spec.api, driver)
    if not (spec.late_probe and isinstance(vars(type(driver)).get("capabilities"), cached_property)):
        check_capabilities(registered, driver)
    return driver


def check_capabilities(registered: RegisteredDriver, driver: Driver) -> None:
    """Check what a driver object says that it offers; it is closed where that is wrong.

    :raises DriverError: its spec does not declare it, or the object cannot say it.
    """
    try:
        with refusing("its capabilities"):
            capabilities = getattr(driver, "capabilities", None)
        if not isinstance(capabilities, frozenset):
            raise RefusedError(f"its capabilities are {type(capabilities).__name__}, not a frozenset of Capability")
        if not capabilities <= registered.spec.capabilities:
            raise RefusedError("its object offers capabilities that its DriverSpec.capabilities does not declare")
    except RefusedError as error:
        # What is wrong already has been found.
        with contextlib.suppress(Exception):
            driver.close()
        raise _fault(registered, str(error)) from error.__cause__


def _call(function: object, argument: object) -> object:
    if not callable(function):
        raise TypeError(f"{function!r:.80} is not callable")
    result: object = function(argument)
    return result


def _broken(registered: RegisteredDriver, message: str) -> Probe:
    by = f"makers of {registered.distribution}" if registered.distribution else "plugin's author"
    return Probe(False, f"{message} ({registered.origin})", f"report it to the {by}")


def _fault(registered: RegisteredDriver, message: str) -> DriverError:
    return DriverError(f"the driver {registered.spec.name} is broken: {message} ({registered.origin})")


def _names(capabilities: frozenset[object]) -> str:
    return ", ".join(sorted(map(str, capabilities)))
