"""Options of the commands that speak with registries."""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    import argparse

    from ..image.registry import Options
    from ._parse import CommandParser

__all__ = ["add_mirror_option", "add_registry_options", "registry_options"]


def add_registry_options(parser: CommandParser) -> None:
    """Declare them."""
    parser.add_argument(
        "--insecure", action="store_true", help="take plain HTTP, or a certificate that nobody vouches for"
    )
    parser.add_argument("--ca", metavar="FILE", help="trust these authorities' certificates (PEM) too")


def add_mirror_option(parser: CommandParser) -> None:
    """Declare the option of the commands that take images from registries."""
    parser.add_argument(
        "--mirror",
        action="append",
        default=[],
        metavar="PREFIX=LOCATION",
        help="have images whose names begin so from there first, as docker.io=127.0.0.1:5000; again for more of them",
    )


def registry_options(arguments: argparse.Namespace) -> Options:
    """Return what was asked for."""
    from ..image.registry import Options

    mirrors = tuple(getattr(arguments, "mirror", ()))
    return Options(insecure=arguments.insecure, ca=arguments.ca, mirrors=mirrors)
