"""From the name that somebody gives to those that a project needs."""

from __future__ import annotations

import re

from ...errors import InvalidNameError
from ...values import value_class

__all__ = ["Names", "names_from"]

_DISTRIBUTION = re.compile(r"[a-z0-9]|[a-z0-9][a-z0-9._-]*[a-z0-9]", re.IGNORECASE)
"""A name of the core metadata specification."""

_RUN = re.compile(r"[-_.]+")
_PREFIX = "overlaykit-"
_LONGEST = 64
"""As long as a driver's name may be."""


@value_class
class Names:
    """What a project's parts are called.

    :param driver: what a user selects the driver by.
    :param distribution: what pip installs.
    :param package: what Python imports.
    :param cls: the class of the driver.
    """

    driver: str
    distribution: str
    package: str
    cls: str


def names_from(name: str) -> Names:
    """Return the names that follow from one: of the driver, or of its distribution (``overlaykit-NAME``).

    Case and the kind and number of separators do not count, as for distributions (name normalization of the core
    metadata specification): ``My_Disk``, ``my.disk`` and ``overlaykit-my-disk`` give one driver, ``my-disk``.

    :param name: a valid distribution name: ASCII letters, digits, ``.``, ``-`` and ``_``, the ends letters or digits.
    :raises InvalidNameError: it is none, is longer than a driver's name may be, or has a meaning of its own.
    """
    if not name.isascii() or _DISTRIBUTION.fullmatch(name) is None:
        raise InvalidNameError(
            f"{name!r:.80} is no distribution name: those are ASCII letters and digits, and . - _ between them; "
            "where to make the project is a word of its own, after the name"
        )
    normal = _RUN.sub("-", name).lower()
    driver = normal.removeprefix(_PREFIX)
    if driver == "auto":
        raise InvalidNameError("a driver cannot be called 'auto', which stands for the best one; choose another name")
    if driver == "overlaykit":
        raise InvalidNameError("a driver cannot be called 'overlaykit' as the library is; choose another name")
    if len(driver) > _LONGEST:
        raise InvalidNameError(
            f"{driver:.20}... is longer than the {_LONGEST} characters that a driver's name may have"
        )
    words = "".join(word.capitalize() for word in driver.split("-"))
    return Names(
        driver=driver,
        distribution=_PREFIX + driver,
        package=(_PREFIX + driver).replace("-", "_"),
        # A class cannot begin with a digit.
        cls=f"Driver{words}" if words[0].isdigit() else f"{words}Driver",
    )
