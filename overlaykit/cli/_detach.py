"""Starting a container that stays, from the command line: nobody waits for it, or this command does."""

from __future__ import annotations

from ._exit import ExitCode, UsageError

TYPE_CHECKING = False

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ..image import Image
    from ..runtime import ContainerStore, DetachedOptions, LogLimits, RunOptions
    from ._context import Context
    from ._parse import CommandParser

__all__ = ["add_detached_options", "run_kept", "start_detached"]


def add_detached_options(parser: CommandParser) -> None:
    """Declare what can be said of a container that is run detached."""
    parser.add_argument("--stop-signal", metavar="SIGNAL", help="what stop sends it (default: the image's, or TERM)")
    parser.add_argument("--stop-timeout", metavar="SECONDS", type=float, default=10.0, help="until stop kills it")
    parser.add_argument(
        "--log-opt",
        metavar="K=V",
        action="append",
        default=[],
        help="max-size=20m and max-file=5: what is kept of what it writes with -d",
    )


def start_detached(
    context: Context,
    store: ContainerStore,
    image: Image,
    options: RunOptions,
    labels: Mapping[str, str],
    arguments: argparse.Namespace,
) -> int:
    """Start it, and write its name."""
    from ..runtime import run_detached

    box = run_detached(
        store,
        image,
        arguments.name,
        options,
        detached=_detached_options(arguments),
        auto_remove=arguments.rm,
        labels=labels,
        driver_options=context.options.options,
    )
    output = context.output
    if output.json:
        output.document({"name": box.name})
    else:
        output.line(output.name(box.name))
    return 0


def run_kept(
    store: ContainerStore, image: Image, options: RunOptions, labels: Mapping[str, str], arguments: argparse.Namespace
) -> int:
    """Run it in the foreground, with its streams here and in its log, and end with its exit code."""
    from ..runtime import Relay, SocketEnd, size_of

    detached = _detached_options(arguments)
    with store.create_container(image, arguments.name, labels=labels) as box:
        size = (size_of(1) or size_of(0)) if options.terminal else None
        process, connection = box.start_logged(options, detached=detached, size=size)
        with process, connection:
            relay = Relay(
                SocketEnd(connection, terminal=options.terminal),
                stdin=0 if arguments.interactive else None,
                terminal=options.terminal,
                insistent=True,
            )
            relay.run()
            code = process.wait()
            return ExitCode.PIPE_CLOSED if relay.broken else code


def _detached_options(arguments: argparse.Namespace) -> DetachedOptions:
    from ..runtime import DetachedOptions
    from ._containers import check_signal

    check_signal(arguments.stop_signal)
    return DetachedOptions(
        interactive=arguments.interactive,
        log=_log_limits(arguments.log_opt),
        stop_signal=arguments.stop_signal,
        stop_timeout=arguments.stop_timeout,
        runtime=arguments.runtime,
    )


def _log_limits(texts: list[str]) -> LogLimits:
    from ..runtime import LogLimits
    from ._run_options import size_in_bytes

    size, files = LogLimits().size, LogLimits().files
    for text in texts:
        name, _, value = text.partition("=")
        if name == "max-size":
            size = size_in_bytes(value, "--log-opt max-size")
        elif name == "max-file" and value.isdecimal() and int(value) > 0:
            files = int(value)
        else:
            raise UsageError(f"--log-opt {text!r}: there is max-size=20m and max-file=5")
    return LogLimits(size, files)
