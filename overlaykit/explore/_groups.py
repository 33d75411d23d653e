"""Waste put together by what caused it, and instructions as people wrote them."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from ..values import value_class

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._model import Cause, Waste

__all__ = ["WasteGroup", "group_waste", "instruction_text"]


@value_class
class WasteGroup:
    """What one layer hides in one way.

    :param hidden_by: the index of the layer.
    :param cause: how.
    :param files: how many files.
    :param bytes: bytes of all of them.
    :param path: the one file, or the deepest directory that holds all of them; ``"."`` for the root.
    """

    hidden_by: int
    cause: Cause
    files: int
    bytes: int
    path: str


def group_waste(waste: Iterable[Waste]) -> tuple[WasteGroup, ...]:
    """Put waste together by the layer that hides it and the cause, the most bytes first."""
    groups: dict[tuple[int, Cause], list[Waste]] = {}
    for one in waste:
        groups.setdefault((one.hidden_by, one.cause), []).append(one)
    found = [
        WasteGroup(hidden_by, cause, len(ones), sum(one.bytes for one in ones), _common([one.path for one in ones]))
        for (hidden_by, cause), ones in groups.items()
    ]
    return tuple(sorted(found, key=lambda group: (-group.bytes, group.hidden_by, group.cause)))


def _common(paths: list[str]) -> str:
    if len(paths) == 1:
        return paths[0]
    parts = [os.path.dirname(path).split("/") for path in (min(paths), max(paths))]
    shared = []
    for one, other in zip(*parts, strict=False):
        if one != other:
            break
        shared.append(one)
    return "/".join(shared) or "."


_NOP = re.compile(r"\s*(?:/bin/sh -c )?#\(nop\)\s*")
_SHELL = re.compile(r"\s*(?:RUN\s+)?(?:\|\d+ .*?)?/bin/sh -c\s+", re.DOTALL)


def instruction_text(created_by: str, comment: str = "") -> str:
    """Return what made a layer as the Dockerfile has it: without the shell and the marks that engines put around it.

    ``/bin/sh -c #(nop)  CMD ["sh"]`` is ``CMD ["sh"]``, ``/bin/sh -c make # buildkit`` is ``RUN make``.

    :param comment: what the history notes; it follows what a commit made, whose instruction says nothing.
    """
    text = created_by.strip().removesuffix("# buildkit").strip()
    found = _NOP.match(text)
    if found:
        return text[found.end() :]
    found = _SHELL.match(text)
    if found:
        return f"RUN {text[found.end() :]}"
    if comment and (not text or text.startswith("overlaykit ")):
        return f"{text}: {comment}".removeprefix(": ")
    return text
