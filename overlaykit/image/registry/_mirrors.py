"""From the name of an image to the places it may be had from: mirrors in order, then the registry it names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Self

from ... import errors
from ...values import replace, value_class
from .._reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "Mirror",
    "MirrorRule",
    "Place",
    "begins_with_host",
    "check_blocked",
    "check_location",
    "check_prefix",
    "find_places",
    "find_rule",
]

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?"
_PATH = r"(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
_END = r"(?::[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?:@[a-z0-9]+:[0-9a-f]+)?"
_PREFIX = re.compile(rf"(?:\*\.)?{_HOST}(?:{_PATH}{_END})?")
_LOCATION = re.compile(rf"{_HOST}(?:{_PATH}{_END})?")
_BARE_HOST = re.compile(rf"(?:{_HOST})")
_PLAIN = "http://"
_SECURE = "https://"


@value_class
class Mirror:
    """A place where images of some names can be had too.

    :param prefix: a registry, ``docker.io``, a namespace or a repository in it, ``docker.io/library/ubuntu``, or one
        tag or digest there; ``*.example.com`` stands for all hosts below a domain. Names are meant whole:
        ``docker.io/team`` is no prefix of ``docker.io/team2/app``.
    :param location: what stands instead of the prefix: a host, with or without a path.
    :param insecure: take plain HTTP, or a certificate that nobody vouches for. On loopback plain HTTP is taken anyway.
    :param only: ``"tag"`` or ``"digest"`` where it is asked for nothing else; ``""`` for everything.
    :raises RegistryConfigError: prefix or location can be none.
    """

    prefix: str
    location: str
    insecure: bool = False
    only: str = ""

    def __post_init__(self) -> None:
        """Refuse what can be none."""
        check_prefix(self.prefix)
        check_location(self.location)
        if not begins_with_host(self.prefix):
            raise errors.RegistryConfigError(
                f"the mirrored prefix {self.prefix!r} begins with no registry: write docker.io/library/{self.prefix} "
                "for an official image of Docker Hub"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``PREFIX=[http://]LOCATION``, as ``docker.io=127.0.0.1:5000``; ``http://`` means ``insecure``.

        :raises RegistryConfigError: it is none.
        """
        prefix, equals, location = text.partition("=")
        if not equals:
            raise errors.RegistryConfigError(
                f"{text[:200]!r} is no mirror: write PREFIX=LOCATION, as docker.io=mirror.example:5000"
            )
        insecure = location.startswith(_PLAIN)
        location = location.removeprefix(_PLAIN).removeprefix(_SECURE).rstrip("/")
        return cls(prefix.strip(), location, insecure)


@value_class
class MirrorRule:
    """What a configuration file says of the names with one prefix (a table ``[[registry]]`` there).

    :param prefix: as :class:`Mirror` has it.
    :param location: where they really are; ``""`` for where they say.
    :param insecure: whether that may be spoken with in plain HTTP, or with any certificate.
    :param blocked: whether nobody may ask for them.
    :param mirrors: in the order to try them in.
    :param file: the configuration file, for messages.
    """

    prefix: str
    location: str = ""
    insecure: bool = False
    blocked: bool = False
    mirrors: tuple[Mirror, ...] = ()
    file: str = ""


@value_class
class Place:
    """Where an image may be.

    :param reference: registry, repository and tag or digest there.
    :param insecure: whether plain HTTP, or any certificate, is good enough.
    :param mirror: whether it is another place than the one that is meant.
    """

    reference: Reference
    insecure: bool = False
    mirror: bool = False

    def __str__(self) -> str:
        return f"{self.reference.registry}/{self.reference.repository}"


def begins_with_host(prefix: str) -> bool:
    """Tell whether names can begin so: where the first part looks like no host, a name is a short one."""
    first = prefix.partition("/")[0]
    return "." in first or ":" in first or first == "localhost" or first.lower() != first


def check_prefix(text: str) -> None:
    """Refuse what can be no prefix of names.

    :raises RegistryConfigError: it can be none.
    """
    host = text.removeprefix("*.")
    if not _PREFIX.fullmatch(text) or (host != text and not _BARE_HOST.fullmatch(host)):
        raise errors.RegistryConfigError(
            f"{text[:200]!r} is no prefix of names of images: write a host, as docker.io or *.example.com, or a host "
            "and a path, as docker.io/library"
        )


def check_location(text: str) -> None:
    """Refuse what can be no location of images.

    :raises RegistryConfigError: it can be none.
    """
    if not _LOCATION.fullmatch(text):
        raise errors.RegistryConfigError(
            f"{text[:200]!r} is no location of images: write a host, as mirror.example:5000, or a host and a path"
        )


def find_rule(rules: Iterable[MirrorRule], where: Reference) -> MirrorRule | None:
    """Return the rule with the longest prefix that fits a name."""
    name = str(where)
    fitting = [rule for rule in rules if _matched(rule.prefix, name)]
    return max(fitting, key=lambda rule: len(rule.prefix), default=None)


def find_places(
    where: Reference, rule: MirrorRule | None, lists: Sequence[Sequence[Mirror]], *, insecure: bool
) -> list[Place]:
    """Return the places where an image may be, in the order to ask them in; the one that is meant is the last.

    :param rule: what the configuration says of the name.
    :param lists: further mirrors, to be asked before those of the rule; of each list those whose prefix fits best.
    :param insecure: whether the registry itself may be spoken with in plain HTTP, or with any certificate.
    :raises RegistryAccessError: the configuration forbids to ask for it.
    :raises RegistryConfigError: a mirror's location leads to no repository.
    """
    check_blocked(where, rule)
    name = str(where)
    mirrors: list[Mirror] = []
    for some in (*lists, rule.mirrors if rule is not None else ()):
        best = max((len(one.prefix) for one in some if _matched(one.prefix, name)), default=0)
        mirrors += [one for one in some if len(one.prefix) == best and _matched(one.prefix, name)]
    unwanted = "tag" if where.digest else "digest"
    places = [
        Place(_moved(where, one.prefix, one.location), one.insecure, mirror=True)
        for one in mirrors
        if one.only != unwanted
    ]
    if rule is None or not rule.location:
        places.append(Place(where, insecure or (rule is not None and rule.insecure)))
    else:
        moved = _moved(where, rule.prefix, rule.location)
        places.append(Place(moved, rule.insecure or (insecure and moved.registry == where.registry)))
    return list({place.reference: place for place in reversed(places)}.values())[::-1]


def check_blocked(where: Reference, rule: MirrorRule | None) -> None:
    """Refuse a name that the configuration blocks.

    :raises RegistryAccessError: it does.
    """
    if rule is not None and rule.blocked:
        raise errors.RegistryAccessError(
            f"{where} is blocked: {rule.file} says so of {rule.prefix}; name another image, or ask who wrote that"
        )


def _matched(prefix: str, name: str) -> str:
    """Return what of a name a prefix stands for; ``""`` where it does not fit."""
    if prefix.startswith("*."):
        host = name.partition("/")[0]
        return host if host.endswith(prefix[1:]) else ""
    # After a host alone a colon would begin a port: another registry.
    ends = ("", "/", ":", "@") if "/" in prefix else ("/",)
    fits = name.startswith(prefix) and name[len(prefix) : len(prefix) + 1] in ends
    return prefix if fits else ""


def _moved(where: Reference, prefix: str, location: str) -> Reference:
    name = str(where)
    moved = location + name[len(_matched(prefix, name)) :]
    host, _, path = moved.partition("/")
    try:
        # Whatever the host looks like, it is one here: a name alone is no short name of Docker Hub's.
        found = Reference.parse(f"docker.io/{path}" if host == "docker.io" else f"host.invalid/{path}")
    except errors.ImageReferenceError:
        raise errors.RegistryConfigError(
            f"{where} would be {moved[:300]} in the location {location}, which is no image there: write the path of "
            f"the repository too, as {location.partition('/')[0]}/{where.repository}"
        ) from None
    named = prefix.rpartition("/")[2]
    if ":" in named or "@" in named:
        # The prefix has the tag or the digest, and the location may have none, for the same.
        bare = "@" not in path and ":" not in path
        found = replace(found, tag=where.tag, digest=where.digest) if bare else found
    return replace(found, registry=host)
