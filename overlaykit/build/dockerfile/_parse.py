"""From text to a Dockerfile."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._ast import Dockerfile, Instruction

__all__ = ["parse", "parse_triggers"]


def parse(text: str | bytes, *, name: str = "Dockerfile") -> Dockerfile:
    """Parse a Dockerfile (BuildKit's Dockerfile reference).

    :param text: its text; bytes are UTF-8.
    :param name: what errors call it.
    :raises DockerfileError: it is none.
    """
    raise NotImplementedError


def parse_triggers(triggers: Sequence[str], *, image: str) -> tuple[Instruction, ...]:
    """Parse the ``OnBuild`` of an image's configuration.

    :param image: the image's name, which errors show in place of a file.
    :raises DockerfileError: they are no instructions, or ones that no trigger may be.
    """
    raise NotImplementedError
