"""Names of images, as Docker and the distribution specification have them."""

from __future__ import annotations

import re

from .. import errors
from ..changeset import split_digest
from ..values import replace, value_class

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Reference"]

# Compiled when first used: for most commands one of them is.
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = rf"{_COMPONENT}(?:/{_COMPONENT})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_LONGEST = 255

_HUB = "docker.io"
_OFFICIAL = "library/"
_OLD_HUB = "index.docker.io"


@value_class
class Reference:
    """Where an image is, and which one.

    :param registry: the registry's host, with its port where it has one; ``docker.io`` is Docker Hub.
    :param repository: the repository's path.
    :param tag: the tag; ``""`` for none.
    :param digest: the manifest's digest; ``""`` for none.
    """

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference: ``[REGISTRY/]REPOSITORY[:TAG][@DIGEST]``.

        Short names are Docker Hub's: ``debian`` is ``docker.io/library/debian:latest``. (The grammar is that of the
        distribution project's ``reference`` package, and of the distribution specification, "Pulling manifests".)

        :raises ImageReferenceError: none can look like this.
        """
        rest, at, digest = text.partition("@")
        if at:
            try:
                split_digest(digest)
            except errors.ImageFormatError:
                raise _bad(text, "what follows @ is no digest, as sha256: and 64 hexadecimal digits") from None
        first, slash, remainder = rest.partition("/")
        if slash and ("." in first or ":" in first or first == "localhost" or first.lower() != first):
            registry, path = first, remainder
            if not re.fullmatch(_HOST, registry):
                raise _bad(text, f"{registry!r} is no host")
        else:
            registry, path = _HUB, rest
        name, colon, tag = path.partition(":")
        if colon and not re.fullmatch(_TAG, tag):
            raise _bad(text, "a tag has letters, digits, '.', '_' and '-', 128 at most")
        if not re.fullmatch(_NAME, name):
            raise _bad(text, "a name has lower-case letters and digits, with '.', '_', '-' and '/' between")
        if registry == _OLD_HUB:
            registry = _HUB
        if registry == _HUB and "/" not in name:
            name = _OFFICIAL + name
        if len(registry) + 1 + len(name) > _LONGEST:
            raise _bad(text, f"a name has {_LONGEST} characters at most")
        if not tag and not digest:
            tag = "latest"
        return cls(registry, name, tag, digest)

    def __str__(self) -> str:
        text = f"{self.registry}/{self.repository}"
        if self.tag:
            text += f":{self.tag}"
        if self.digest:
            text += f"@{self.digest}"
        return text

    @property
    def familiar(self) -> str:
        """The short form, as people write it: without Docker Hub's host and ``library/``."""
        text = str(self)
        if self.registry == _HUB:
            text = text.removeprefix(_HUB + "/").removeprefix(_OFFICIAL)
        return text

    def with_digest(self, digest: str) -> Self:
        """Return the reference to one manifest in the same repository."""
        return replace(self, tag="", digest=digest)


def _bad(text: str, why: str) -> errors.ImageReferenceError:
    return errors.ImageReferenceError(f"{text[:300]!r} is no reference to an image: {why}")
