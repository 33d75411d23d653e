"""From text to a Dockerfile."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from . import _ast as ast
from ._directives import read_directives
from ._instructions import Reader
from ._lines import Lines
from ._place import Place, Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ._ast import Dockerfile, Instruction

__all__ = ["parse", "parse_triggers"]

_OTHER_ENCODINGS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def parse(text: str | bytes, *, name: str = "Dockerfile") -> Dockerfile:
    """Parse a Dockerfile (BuildKit's Dockerfile reference).

    :param text: its text; bytes are UTF-8, with or without a byte order mark. What is none in comments is no error.
    :param name: what errors call it.
    :raises DockerfileError: it is none.
    """
    if isinstance(text, bytes):
        if text.startswith(_OTHER_ENCODINGS):
            raise Source(name, [""]).error(Place(1, 1), "this is UTF-16: save the file as UTF-8")
        text = text.decode("utf-8", "surrogateescape")
    source = Source(name, text.removeprefix("\ufeff").split("\n"))
    directives, start = read_directives(source)
    arguments: list[ast.Arg] = []
    stages: list[tuple[ast.From, list[Instruction]]] = []
    for one in _instructions(source, directives.escape, start):
        if isinstance(one, ast.From):
            stages.append((one, []))
        elif stages:
            stages[-1][1].append(one)
        elif isinstance(one, ast.Arg):
            arguments.append(one)
        else:
            raise source.error(one.place, f"{one.name} stands before the first FROM: only ARG may")
    if not stages:
        raise source.error(Place(1, 1), "there is no FROM: begin with FROM IMAGE or FROM scratch")
    return ast.Dockerfile(
        source,
        directives,
        tuple(arguments),
        tuple(ast.Stage(index, base, tuple(inner)) for index, (base, inner) in enumerate(stages)),
    )


def _instructions(source: Source, escape: str, start: int) -> Iterator[Instruction]:
    lines, reader = Lines(source, escape, start), Reader(source, escape)
    while (logical := lines.next()) is not None:
        yield reader.read(logical)


def parse_triggers(triggers: Sequence[str], *, image: str) -> tuple[Instruction, ...]:
    """Parse the ``OnBuild`` of an image's configuration.

    :param image: the image's name, which errors show in place of a file.
    :raises DockerfileError: they are no instructions, or ones that no trigger may be.
    """
    found = []
    for trigger in triggers:
        source = Source(f"ONBUILD of {image}", trigger.split("\n"))
        several = list(_instructions(source, "\\", 0))
        if len(several) != 1:
            raise source.error(Place(1, 1), f"a trigger is one instruction, not {len(several)}: build {image} again")
        if isinstance(several[0], ast.From | ast.Onbuild | ast.Maintainer):
            raise source.error(several[0].place, f"{several[0].name} is not allowed as a trigger of ONBUILD")
        found += several
    return tuple(found)
