"""``overlaykit commit``: a writable snapshot becomes a layer, a container an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._exit import UsageError
from .._image import as_json as image_json
from .._image import parse_config
from .._snapshot import as_json, parse_labels

if TYPE_CHECKING:
    import argparse

    from ...runtime import RunnableContainer
    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.add_argument("key", metavar="KEY", help="the writable snapshot, or the container")
    parser.add_argument("name", metavar="NAME", nargs="?", help="what to call the layer, or the image")
    parser.add_argument("--label", metavar="K=V", action="append", default=[], help="a label of a layer; several times")
    parser.add_argument("--author", metavar="TEXT", default="", help="who made the image")
    parser.add_argument("--message", metavar="TEXT", default="", help="a comment for the image's history")
    parser.add_argument(
        "--change", metavar="K=V", action="append", default=[], help="set Cmd, Env... of the image; several times"
    )
    parser.add_argument(
        "--pause",
        metavar="true|false",
        choices=("true", "false"),
        default="true",
        help="keep a running container still meanwhile (default: true)",
    )
    parser.add_argument(
        "--compression", metavar="HOW", choices=("gzip", "zstd", "none"), default="gzip", help="gzip, zstd or none"
    )


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Commit, and write the layer's name, or the image's digest; a container stays what it is."""
    from ...errors import NotFoundError

    labels = parse_labels(arguments.label)
    changes = parse_config(arguments.change)
    with context.open_store() as store:
        try:
            container = store.open_container(arguments.key)
        except NotFoundError:
            if arguments.author or arguments.message or changes:
                raise UsageError(
                    f"{arguments.key!r} is no container: only an image has an author, a message and changes"
                ) from None
            info = store.commit(arguments.key, arguments.name, labels=labels or None)
        else:
            if labels:
                raise UsageError(f"{arguments.key!r} is a container: give its image labels with --change Labels=...")
            return _commit(context, container, arguments, changes)
    if context.output.json:
        context.output.document(as_json(info))
    else:
        context.output.line(context.output.name(info.key))
    return 0


def _commit(
    context: Context, container: RunnableContainer, arguments: argparse.Namespace, changes: dict[str, object]
) -> int:
    image = container.commit(
        arguments.name,
        author=arguments.author,
        message=arguments.message,
        config=changes,
        compression=arguments.compression,
        pause=arguments.pause == "true",
    )
    if context.output.json:
        context.output.document(image_json(image))
    else:
        context.output.line(image.digest)
    return 0
