"""From text to a Dockerfile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _ast as ast
from ._instructions import Reader
from ._lines import read_directives, read_lines
from ._place import Place, Source

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
    if isinstance(text, bytes):
        raw = text
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            raise Source(name, []).error(Place(line, 1), "this is no UTF-8: save the file as UTF-8") from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    source = Source(name, text.split("\n"))
    directives, start = read_directives(source)
    reader = Reader(source, directives.escape)
    arguments: list[ast.Arg] = []
    stages: list[tuple[ast.From, list[Instruction]]] = []
    for logical in read_lines(source, directives.escape, start):
        one = reader.read(logical)
        if isinstance(one, ast.From):
            stages.append((one, []))
        elif stages:
            stages[-1][1].append(one)
        elif isinstance(one, ast.Arg):
            arguments.append(one)
        else:
            raise source.error(one.place, f"{one.name} before the first FROM: only ARG may be there")
    if not stages:
        raise source.error(Place(1, 1), "there is no FROM: begin with FROM IMAGE or FROM scratch")
    _check_names(source, [base for base, _ in stages])
    return ast.Dockerfile(
        source,
        directives,
        tuple(arguments),
        tuple(ast.Stage(index, base, tuple(inner)) for index, (base, inner) in enumerate(stages)),
    )


def _check_names(source: Source, bases: Sequence[ast.From]) -> None:
    seen: set[str] = set()
    for base in bases:
        if base.alias is not None:
            if base.alias.lower() in seen:
                raise source.error(base.alias.place, f"there are two stages {base.alias}: rename one")
            seen.add(base.alias.lower())


def parse_triggers(triggers: Sequence[str], *, image: str) -> tuple[Instruction, ...]:
    """Parse the ``OnBuild`` of an image's configuration.

    :param image: the image's name, which errors show in place of a file.
    :raises DockerfileError: they are no instructions, or ones that no trigger may be.
    """
    found = []
    for trigger in triggers:
        source = Source(f"ONBUILD of {image}", trigger.split("\n"))
        for logical in read_lines(source, "\\", 0):
            one = Reader(source, "\\").read(logical)
            if isinstance(one, ast.From | ast.Onbuild | ast.Maintainer):
                raise source.error(one.place, f"{one.name} is not allowed as a trigger of ONBUILD")
            found.append(one)
    return tuple(found)
