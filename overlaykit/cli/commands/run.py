"""``overlaykit run``: a program in a new container."""

from __future__ import annotations

from .._detach import add_detached_options, run_kept, start_detached
from .._error import write_error
from .._progress import add_progress_option
from .._registry import add_mirror_option, add_registry_options
from .._run_options import add_run_options, labels, run_options

TYPE_CHECKING = False

if TYPE_CHECKING:
    import argparse

    from ...image import Image
    from ...runtime import ContainerStore, RunnableContainer, RunningProcess, RunOptions
    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]

_FAILED = 125
"""What Docker ends with where it is not the program that failed."""


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("image", metavar="IMAGE", help="the image; it is pulled where it is missing")
    parser.take_rest("command", "what to run in place of the image's CMD, with its options")
    parser.add_argument("--rm", action="store_true", help="remove the container when the program has ended")
    parser.add_argument("--name", metavar="NAME", help="what to call the container; without it a name is made up")
    parser.add_argument("-i", "--interactive", action="store_true", help="give it this command's standard input")
    parser.add_argument("-t", "--tty", action="store_true", help="give it a terminal")
    parser.add_argument("-d", "--detach", action="store_true", help="do not wait for it: write its name")
    add_detached_options(parser)
    parser.add_argument("-l", "--label", metavar="K=V", action="append", default=[], help="label the container")
    parser.add_argument(
        "--pull", choices=("missing", "always", "never"), default="missing", help="when to ask the registry"
    )
    add_run_options(parser)
    add_mirror_option(parser)
    add_registry_options(parser)
    add_progress_option(parser)
    parser.epilog = (
        "The exit code is the program's; 125 where the container could not be started, 126 where the program\n"
        "cannot be executed, 127 where there is none, 128 and the number of the signal that ended it."
    )


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Run it, with its streams untouched, and end with its exit code."""
    options = run_options(arguments, arguments.command)
    named = labels(arguments.label)
    from ...errors import RunError

    try:
        with context.open_store(create=True) as store:
            image = _image(context, arguments, store)
            if arguments.detach:
                return start_detached(context, store, image, options, named, arguments)
            if not arguments.rm:
                return run_kept(store, image, options, named, arguments)
            with store.container(image, arguments.name, labels=named) as box:
                return _run(box, options, arguments)
    except OSError as error:
        if context.options.debug:
            raise
        code = error.exit_code if isinstance(error, RunError) else _FAILED
        write_error(error, code, context.options.json)
        return code


def _run(box: RunnableContainer, options: RunOptions, arguments: argparse.Namespace) -> int:
    from ...runtime import Stdio
    from .._foreground import follow

    def begin(stdio: Stdio) -> RunningProcess:
        return box.start(options, stdio=stdio, runtime=arguments.runtime)

    if options.terminal:
        from .._terminal import on_terminal

        return on_terminal(begin, interactive=arguments.interactive)
    return follow(lambda: begin(Stdio(0 if arguments.interactive else -1, 1, 2)))


def _image(context: Context, arguments: argparse.Namespace, store: ContainerStore) -> Image:
    from ...errors import NotFoundError

    if arguments.pull != "always":
        try:
            return store.image(arguments.image)
        except NotFoundError:
            if arguments.pull == "never":
                raise
    from ...image.registry import pull
    from .._progress import transfer_progress
    from .._registry import registry_options

    context.output.note(f"pulling {arguments.image}")
    with transfer_progress(context.output, arguments.progress) as progress:
        return pull(store, arguments.image, options=registry_options(arguments), progress=progress).image
