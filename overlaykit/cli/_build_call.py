"""``overlaykit build --call``: what is said of a Dockerfile without building it, as BuildKit's client says it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, BinaryIO

from ..errors import DockerfileError
from ._build_view import as_json, show_place
from ._exit import ExitCode
from ._registry import registry_options
from ._text import aligned

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

    from ..build import BuildWarning
    from ..build.dockerfile import Outline, Target
    from ._context import Context
    from ._output import Output

__all__ = ["call"]

_RULE = "-" * 20


def call(
    context: Context,
    arguments: argparse.Namespace,
    where: str | BinaryIO | None,
    dockerfile: str | bytes | None,
    build_args: Mapping[str, str],
    named_contexts: Mapping[str, str],
) -> int:
    """Say what ``--call`` asks for; return the exit code: 1 where a check warns."""
    output = context.output
    with context.open_store(create=True) as store:
        try:
            if arguments.call == "targets":
                return _targets(output, store.build_targets(where, dockerfile=dockerfile))
            function = store.outline_build if arguments.call == "outline" else store.check_build
            found = function(
                where,
                dockerfile=dockerfile,
                target=arguments.target,
                build_args=build_args,
                platform=arguments.platform,
                named_contexts=named_contexts,
                pull="always" if arguments.pull else "missing",
                registry=registry_options(arguments),
            )
        except DockerfileError as error:
            show_place(error, output)
            raise
    return _check(output, found) if isinstance(found, tuple) else _outline(output, found)


def _check(output: Output, warnings: tuple[BuildWarning, ...]) -> int:
    if output.json:
        output.document({"warnings": [as_json(one) for one in warnings]})
    elif not warnings:
        output.note("Check complete, no warnings found.")
    else:
        count = len(warnings)
        output.note(f"Check complete, {count} warning{'s have' if count > 1 else ' has'} been found!")
        for one in warnings:
            line = one.place.rpartition(":")[2]
            for text in (
                "",
                f"WARNING: {one.rule}",
                one.message,
                one.place,
                _RULE,
                f"{line:>4} | >>> {one.source.rstrip()}",
                _RULE,
            ):
                output.line(output.name(text))
    return ExitCode.OTHER if warnings else ExitCode.OK


def _targets(output: Output, found: list[Target]) -> int:
    if output.json:
        output.document({"targets": [dataclasses.asdict(one) for one in found]})
        return ExitCode.OK
    rows = [(_name(one), one.description) for one in found]
    _table(output, [("TARGET", "DESCRIPTION"), *rows])
    return ExitCode.OK


def _name(target: Target) -> str:
    words = [*([target.name] if target.name else []), *(["(default)"] if target.default else [])]
    return " ".join(words) or "(unnamed)"


def _outline(output: Output, found: Outline) -> int:
    if output.json:
        output.document(
            {
                "name": found.target.name,
                "description": found.target.description,
                "args": [dataclasses.asdict(one) for one in found.arguments],
                "secrets": [{"name": name, "required": required} for name, required in found.secrets],
                "ssh": [{"name": name, "required": required} for name, required in found.agents],
            }
        )
        return ExitCode.OK
    output.line(output.name(f"TARGET: {_name(found.target)}"))
    if found.target.description:
        output.line(output.name(f"DESCRIPTION: {found.target.description}"))
    if found.arguments:
        output.line()
        rows = [(one.name, one.value or "", one.description) for one in found.arguments]
        _table(output, [("BUILD ARG", "VALUE", "DESCRIPTION"), *rows])
    for head, ids in (("SECRET", found.secrets), ("SSH", found.agents)):
        if ids:
            output.line()
            _table(output, [(head, "REQUIRED"), *((name, "true" if required else "") for name, required in ids)])
    return ExitCode.OK


def _table(output: Output, rows: Iterable[tuple[str, ...]]) -> None:
    for line in aligned(rows):
        output.line(output.name(line))
