"""What a build is asked for, and what comes of it, as values."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, Literal

from .. import errors
from ..values import field, value_class

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ..errors import BuildStepError
    from ..image import Image, Platform
    from ..image.registry import Options
    from ._agents import Agent
    from ._events import BuildEvent

__all__ = [
    "BuildRequest",
    "BuildResult",
    "BuildWarning",
    "Pull",
    "Secret",
    "Shell",
    "load_secret",
    "look_at",
    "with_epoch",
]

Pull = Literal["missing", "always", "never"]
"""When base images are asked for at their registry: where they are not here, in any case, or not at all."""

Secret = str | bytes | os.PathLike[str]
"""A secret: its bytes or text, or the path of the file that has it."""

Shell = Callable[[], int]
"""Opens a shell where a RUN failed; returns its exit code."""


@value_class(kw_only=True)
class BuildRequest:
    """What is to be built; :meth:`BuildStore.build` says what each means."""

    context: str | os.PathLike[str] | BinaryIO | None
    dockerfile: str | os.PathLike[str] | bytes | None
    target: str | None
    build_args: Mapping[str, str]
    platform: Platform
    named_contexts: Mapping[str, str | os.PathLike[str]]
    pull: Pull
    registry: Options | None
    build: bool = True
    tags: Sequence[str] = ()
    no_cache: bool = False
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    cache_from: Sequence[str] = ()
    network: str = "host"
    agents: Mapping[str, Agent] = field(default_factory=dict)
    allow: Collection[str] = ()
    epoch: int | None = None
    compression: str = "gzip"
    runtime: str | None = None
    progress: Callable[[BuildEvent], object] | None = None
    debug: Callable[[BuildStepError, Shell], object] | None = None


@value_class
class BuildWarning:
    """Something that a build finds worth saying.

    :param rule: its name, as ``DuplicatedFiles``.
    :param message: what it is, and the way out.
    :param place: where, as ``Dockerfile:3``; ``""`` where that is not known.
    :param source: the text of that line; ``""`` where that is not known.
    """

    rule: str
    message: str
    place: str = ""
    source: str = ""


@value_class
class BuildResult:
    """What came of a build.

    :param image: the image.
    :param steps: steps that make layers, those of other stages included.
    :param cached: how many of those came from the cache.
    :param seconds: how long it took.
    :param warnings: what was found worth saying.
    """

    image: Image
    steps: int
    cached: int
    seconds: float
    warnings: tuple[BuildWarning, ...] = field(default=())


def load_secret(id: str, secret: Secret) -> bytes:
    """Return a secret's bytes.

    :raises BuildError: its file cannot be read.
    """
    if isinstance(secret, bytes):
        return secret
    if isinstance(secret, str):
        return secret.encode()
    try:
        with open(secret, "rb") as file:
            return file.read()
    except OSError as error:
        raise errors.BuildError(
            f"the secret {id!r} cannot be read from {os.fspath(secret)}: {error.strerror}: name a file that can"
        ) from error


def look_at(
    context: str | os.PathLike[str] | BinaryIO | None,
    dockerfile: str | os.PathLike[str] | bytes | None,
    target: str | None = None,
    build_args: Mapping[str, str] | None = None,
    platform: Platform | str | None = None,
    named_contexts: Mapping[str, str | os.PathLike[str]] | None = None,
    pull: Pull = "missing",
    registry: Options | None = None,
) -> BuildRequest:
    """Return the request for what builds nothing.

    :raises ImageReferenceError: the platform is none.
    """
    from ..image import Platform

    return BuildRequest(
        context=context,
        dockerfile=dockerfile,
        target=target,
        build_args=dict(build_args or {}),
        platform=Platform.here() if platform is None else Platform.parse(str(platform)),
        named_contexts=dict(named_contexts or {}),
        pull=pull,
        registry=registry,
        build=False,
    )


def with_epoch(epoch: int | None, build_args: Mapping[str, str]) -> tuple[int | None, dict[str, str]]:
    """Return the epoch that is meant, and the build arguments with it, as BuildKit's client has them.

    :raises BuildError: the build argument is no number of seconds.
    :raises ChangesetError: the variable of the environment is none.
    """
    from ..image import source_date_epoch

    name = "SOURCE_DATE_EPOCH"
    given = build_args.get(name)
    if epoch is None and given:
        if not given.isdecimal() or len(given) > 12:
            raise errors.BuildError(f"the build argument {name} is {given[:40]!r} and no number of seconds")
        epoch = int(given)
    if epoch is None and given is None:
        epoch = source_date_epoch(None)
    return epoch, {**({} if epoch is None else {name: str(epoch)}), **build_args}
