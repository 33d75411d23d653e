"""What an image's history says of each instruction: the texts that BuildKit writes, which other tools read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import dockerfile as ast
from ._config import healthcheck_test

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ._config import StageConfig

__all__ = ["COMMENT", "created_by"]

COMMENT = "overlaykit"
"""The ``comment`` of each history entry that a build here writes."""

_MADE = " # buildkit"
"""What BuildKit ends the texts of RUN, COPY and ADD with: written alike, so that a history can be compared."""


def created_by(one: ast.Instruction, config: StageConfig, arguments: Mapping[str, str]) -> str:
    """Return the ``created_by`` of an instruction that has been resolved.

    :param config: as it is after the instruction.
    :param arguments: the build arguments that were declared.
    """
    match one:
        case ast.Run():
            seen = [f"{name}={value}" for name, value in arguments.items()]
            words = [f"|{len(seen)}", *seen] if seen else []
            return " ".join(["RUN", *words, *one.command.argv(config.shell)]) + _MADE
        case ast.Transfer():
            words = [one.name]
            words += [f"--chown={one.owner}"] if one.owner else []
            words += [f"--chmod={one.mode}"] if one.mode else []
            words += ["--link"] if one.link else []
            words += [str(source) for source in one.sources]
            words += [f"<<{document.name}" for document in one.documents]
            return " ".join([*words, str(one.target)]) + _MADE
        case ast.Env() | ast.Label():
            return " ".join([one.name, *(f"{name}={value}" for name, value in one.pairs)])
        case ast.Arg():
            declared = (a.name if a.default is None else f"{a.name}={a.default}" for a in one.arguments)
            return " ".join(["ARG", *declared])
        case ast.Workdir():
            return f"WORKDIR {config.workdir}"
        case ast.User():
            return f"USER {one.user}"
        case ast.Expose():
            return f"EXPOSE map[{' '.join(f'{port}:{{}}' for port in sorted(one.ports))}]"
        case ast.Volume():
            return f"VOLUME [{' '.join(one.paths)}]"
        case ast.Cmd() | ast.Entrypoint():
            return f"{one.name} {_quoted(one.command.argv(config.shell))}"
        case ast.Shell():
            return f"SHELL [{' '.join(one.words)}]"
        case ast.Stopsignal():
            return f"STOPSIGNAL {one.signal}"
        case ast.Healthcheck():
            times = (one.interval, one.timeout, one.start_period, one.start_interval)
            shown = " ".join(f'"{_duration(time)}"' for time in times)
            return f"HEALTHCHECK &{{{_quoted(healthcheck_test(one))} {shown} {_rune(one.retries)}}}"
        case ast.Onbuild():
            return f"ONBUILD {one.trigger}"
        case ast.Maintainer():
            return f"MAINTAINER {one.author}"
    return str(one.text)


def _quoted(words: Sequence[str]) -> str:
    """Write a list of strings as Go's ``%q`` does."""
    return f"[{' '.join(_quote(word) for word in words)}]"


def _quote(word: str) -> str:
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    shown = (
        escapes.get(c) or (c if c.isprintable() else f"\\x{ord(c):02x}" if ord(c) < 128 else f"\\u{ord(c):04x}")
        for c in word
    )
    return '"' + "".join(shown) + '"'


def _rune(number: int) -> str:
    """Write a number as Go's ``%q`` does: as the character of that code."""
    character = chr(number)
    return f"'{character}'" if character.isprintable() and character not in "'\\" else f"'\\x{number:02x}'"


def _duration(nanoseconds: int) -> str:
    """Write a duration as Go does: ``1h0m30s``."""
    if 0 < nanoseconds < 1_000_000_000:
        for unit, size in (("ms", 1_000_000), ("µs", 1_000), ("ns", 1)):
            if nanoseconds >= size:
                return f"{nanoseconds / size:g}{unit}"
    seconds = nanoseconds / 1_000_000_000
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{rest:g}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text
