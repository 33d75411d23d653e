"""Images from the first of several places that has them, and the one place that is written."""

from __future__ import annotations

import contextlib
import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from ... import errors
from ._client import Client
from ._config import environment_mirrors, read_rules
from ._mirrors import Mirror, Place, check_blocked, find_places, find_rule
from ._source import RegistrySource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...changeset import Limits
    from .._reference import Reference
    from .._transfer import Fetched
    from ._options import Options

__all__ = ["from_places", "opened", "the_place"]

_MIRROR_RETRIES = 1
"""How often a mirror is tried again: there is another place to ask."""

_NEXT = (errors.RegistryError, errors.NotFoundError, errors.ImageFormatError, errors.MediaTypeError)
"""What another place may do better."""


def from_places(
    where: Reference,
    options: Options,
    limits: Limits,
    bring: Callable[[RegistrySource, Reference], list[Fetched]],
) -> list[Fetched]:
    """Bring images from the first place that gives them.

    :param bring: brings them from one place, which has the image under another reference.
    :raises OSError: as ``bring`` at the last place; the message tells of all of them.
    """
    rule = find_rule(read_rules(options.registries_conf), where)
    asked = tuple(Mirror.parse(one) if isinstance(one, str) else one for one in options.mirrors)
    places = find_places(where, rule, (asked, environment_mirrors()), insecure=options.insecure)
    failures: list[str] = []
    for place in places[:-1]:
        try:
            return _from_one(where, place, options, limits, bring)
        except _NEXT as error:
            failures.append(f"the mirror {place}: {error}")
    try:
        return _from_one(where, places[-1], options, limits, bring)
    except _NEXT as error:
        if not failures:
            raise
        # The kind is that of the registry itself: whether it has no such image, or cannot be reached.
        told = copy.copy(error)
        told.message = told.strerror = f"{where} comes from nowhere: {'; '.join(failures)}; {error}"
        told.args = (told.errno, told.message)
        raise told from error


def the_place(where: Reference, options: Options, *, moved: bool = False) -> tuple[Place, Options]:
    """Return the one place that is meant, whatever mirrors there are, and how to speak with it.

    :param moved: whether to go where the configuration says that the registry really is: for what is read alone.
    :raises RegistryAccessError: the configuration forbids to ask for it.
    """
    rule = find_rule(read_rules(options.registries_conf), where)
    check_blocked(where, rule)
    if moved:
        place = find_places(where, rule, (), insecure=options.insecure)[-1]
    else:
        place = Place(where, options.insecure or (rule is not None and rule.insecure))
    return place, _fitting(options, place, where)


@contextlib.contextmanager
def opened(place: Place, options: Options, *, push: bool = False) -> Iterator[Client]:
    """Speak with a place while the body runs."""
    client = Client(place.reference.registry, place.reference.repository, options, push=push)
    try:
        yield client
    finally:
        client.close()


def _fitting(options: Options, place: Place, where: Reference) -> Options:
    """Return how to speak with a place: what was given for the registry that was named is nothing for others."""
    options = replace(options, insecure=place.insecure)
    if place.reference.registry != where.registry:
        options = replace(options, credentials=None, ca=None if place.insecure else options.ca)
    if place.mirror:
        options = replace(options, retries=min(options.retries, _MIRROR_RETRIES))
    return options


def _from_one(
    where: Reference,
    place: Place,
    options: Options,
    limits: Limits,
    bring: Callable[[RegistrySource, Reference], list[Fetched]],
) -> list[Fetched]:
    with opened(place, _fitting(options, place, where)) as client:
        images = bring(RegistrySource(client, limits), place.reference)
    return [replace(one, source=str(place)) for one in images]
