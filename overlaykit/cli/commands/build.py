"""``overlaykit build``: an image out of a Dockerfile."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, BinaryIO, cast

from .._build_view import as_json, build_view, show_place
from .._exit import UsageError
from .._registry import add_mirror_option, add_registry_options, registry_options

if TYPE_CHECKING:
    import argparse
    import io
    from collections.abc import Callable
    from pathlib import Path

    from ...build import BuildResult, Shell
    from ...errors import BuildStepError
    from .._build_view import BuildView
    from .._context import Context
    from .._output import Output
    from .._parse import CommandParser

__all__ = ["configure", "run"]

_TAR_MAGIC = 257
"""Where ``ustar`` stands in an archive (tar(5))."""


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Build an image out of a Dockerfile. CONTEXT is the directory that COPY takes files from; - reads a tar "
        "archive or a Dockerfile from standard input. With --debug, a RUN that fails opens a shell where it ran."
    )
    add = parser.add_argument
    add("context", metavar="CONTEXT", help="a directory, or - for standard input")
    add("-t", "--tag", metavar="NAME", action="append", default=[], help="a name for the image; several times")
    add("-f", "--file", metavar="FILE", help="the Dockerfile (default: CONTEXT/Dockerfile); - for standard input")
    add("--target", metavar="STAGE", help="build this stage instead of the last one")
    add("--build-arg", metavar="K=V", action="append", default=[], help="a value for ARG; K alone takes $K")
    add("--platform", metavar="OS/ARCH", help="what to build for")
    add("--no-cache", action="store_true", help="do all steps again")
    add(
        "--secret",
        metavar="id=ID,src=FILE",
        action="append",
        default=[],
        help="a secret for RUN --mount=type=secret; or id=ID,env=NAME",
    )
    add("--label", metavar="K=V", action="append", default=[], help="a label of the image; several times")
    add("--cache-from", metavar="IMAGE", action="append", default=[], help="take steps out of this image")
    add(
        "--build-context",
        metavar="NAME=PATH",
        action="append",
        default=[],
        help="a further context: a directory, docker-image://IMAGE or oci-layout://DIRECTORY[:TAG]",
    )
    add(
        "--ssh",
        metavar="ID[=PATH]",
        action="append",
        default=[],
        help="for RUN --mount=type=ssh: an agent's socket or private keys (PATH,PATH); without PATH $SSH_AUTH_SOCK",
    )
    add(
        "--allow",
        metavar="WHAT",
        action="append",
        default=[],
        help="allow RUN --security=insecure (security.insecure); network.host is allowed anyway",
    )
    add(
        "--call",
        metavar="WHAT",
        choices=("build", "check", "outline", "targets"),
        default="build",
        help="build (default), or only say something of the Dockerfile: check, outline or targets",
    )
    add("--check", dest="call", action="store_const", const="check", help="as --call=check: exit code 1 for warnings")
    add("--pull", action="store_true", help="ask registries for base images though they are here")
    add("--network", metavar="HOW", choices=("host", "none"), default="host", help="of RUN: host (default) or none")
    add("--runtime", metavar="PROGRAM", help="what runs RUN: crun, runc, or a path")
    add("--compression", metavar="HOW", choices=("gzip", "zstd", "none"), default="gzip", help="gzip, zstd or none")
    add(
        "--progress",
        metavar="HOW",
        choices=("auto", "plain", "tty", "json", "none"),
        default="auto",
        help="plain, tty, json or none; auto: tty on a terminal, else plain, none with --quiet and --json",
    )
    add_registry_options(parser)
    add_mirror_option(parser)


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Build, and write the image's digest."""
    from ...errors import BuildStepError, DockerfileError

    output = context.output
    where, dockerfile = _sources(arguments)
    given = dict(_argument(text) for text in arguments.build_arg)
    build_args = {name: value for name, value in given.items() if value is not None}
    named_contexts = dict(_pair("--build-context", text) for text in arguments.build_context)
    if arguments.call != "build":
        from .._build_call import call

        return call(context, arguments, where, dockerfile, build_args, named_contexts)
    with context.open_store(create=True) as store, build_view(output, arguments.progress) as view:
        try:
            result = store.build(
                where,
                dockerfile=dockerfile,
                tags=arguments.tag,
                target=arguments.target,
                build_args=build_args,
                platform=arguments.platform,
                no_cache=arguments.no_cache,
                secrets=dict(_secret(text) for text in arguments.secret),
                labels=dict(_pair("--label", text) for text in arguments.label),
                cache_from=arguments.cache_from,
                named_contexts=named_contexts,
                network=arguments.network,
                agents=dict(_agent(text) for text in arguments.ssh),
                allow=[one for text in arguments.allow for one in text.split(",")],
                pull="always" if arguments.pull else "missing",
                registry=registry_options(arguments),
                compression=arguments.compression,
                runtime=arguments.runtime,
                progress=None if view is None else view.show,
                debug=_debugger(output, view) if context.options.debug else None,
            )
        except DockerfileError as error:
            show_place(error, output)
            raise
        except BuildStepError as error:
            if view is None and not output.json:
                # Nobody has seen it yet.
                sys.stderr.write(error.output.decode("utf-8", "replace"))
            raise
    _write(output, result)
    return 0


def _write(output: Output, result: BuildResult) -> None:
    count = len(result.warnings)
    if count:
        # As BuildKit's client writes it.
        output.note(f"{count} warning{'s' if count > 1 else ''} found (--check shows where):")
    for warning in result.warnings:
        line = warning.place.rpartition(":")[2]
        output.note(f" - {warning.rule}: {warning.message}" + (f" (line {line})" if line else ""))
    if output.json:
        output.document(
            {
                "digest": result.image.digest,
                "config": result.image.config,
                "references": list(result.image.references),
                "steps": result.steps,
                "cached": result.cached,
                "seconds": round(result.seconds, 3),
                "warnings": [as_json(one) for one in result.warnings],
            }
        )
    else:
        output.line(result.image.digest)


def _sources(
    arguments: argparse.Namespace,
) -> tuple[str | BinaryIO | None, str | bytes | None]:
    """Return the context and the Dockerfile; standard input is one of them."""
    if arguments.file == "-":
        if arguments.context == "-":
            raise UsageError("standard input is either the context or the Dockerfile: name one of them")
        return arguments.context, sys.stdin.buffer.read()
    if arguments.context != "-":
        return arguments.context, arguments.file
    reader = cast("io.BufferedReader", sys.stdin.buffer)
    head = reader.peek(_TAR_MAGIC + 5)
    packed = head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0"))
    if packed or head[_TAR_MAGIC : _TAR_MAGIC + 5] == b"ustar":
        return reader, arguments.file
    if arguments.file is not None:
        raise UsageError("standard input is no tar archive: leave --file out for a Dockerfile, or give a directory")
    return None, reader.read()


def _argument(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    if not name:
        raise UsageError(f"--build-arg {text!r} is not of the form NAME=VALUE or NAME")
    return name, value if equals else os.environ.get(name)


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"{option} {text!r} is not of the form NAME=VALUE")
    return name, value


def _secret(text: str) -> tuple[str, Path | bytes]:
    import csv
    from pathlib import Path

    told = dict(_pair("--secret", part) for part in next(csv.reader([text]), []))
    unknown = sorted(set(told) - {"id", "src", "source", "env", "type"})
    if unknown or "id" not in told:
        raise UsageError(f"--secret {text.partition('=')[0]!r}...: say id=ID,src=FILE or id=ID,env=NAME")
    source = told.get("src", told.get("source"))
    if source is not None:
        return told["id"], Path(source)
    name = told.get("env", told["id"])
    if name not in os.environ:
        raise UsageError(f"--secret id={told['id']}: ${name} is not set: set it, or give src=FILE")
    return told["id"], os.environb[os.fsencode(name)]


def _agent(text: str) -> tuple[str, str | tuple[str, ...]]:
    name, equals, paths = text.partition("=")
    if equals and paths:
        found = tuple(paths.split(","))
        return name or "default", found[0] if len(found) == 1 else found
    if not os.environ.get("SSH_AUTH_SOCK"):
        raise UsageError(
            f"--ssh {name}: $SSH_AUTH_SOCK is not set: start an SSH agent, or give {name or 'default'}=PATH"
        )
    return name or "default", os.environ["SSH_AUTH_SOCK"]


def _debugger(output: Output, view: BuildView | None) -> Callable[[BuildStepError, Shell], None]:
    """Return what opens a shell where a RUN failed."""

    def debug(error: BuildStepError, shell: Shell) -> None:
        if view is not None:
            view.close()
        output.note(f"{error.place}: exit code {error.exit_code}; a shell where it ran, exit ends it:")
        shell()

    return debug
