"""Options of the commands that speak with registries."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from ..image.registry import Options

__all__ = ["add_registry_options", "registry_options"]


def add_registry_options(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    parser.add_argument(
        "--insecure", action="store_true", help="take plain HTTP, or a certificate that nobody vouches for"
    )
    parser.add_argument("--ca", metavar="FILE", help="trust these authorities' certificates (PEM) too")


def registry_options(arguments: argparse.Namespace) -> Options:
    """Return what was asked for."""
    from ..image.registry import Options

    return Options(insecure=arguments.insecure, ca=arguments.ca)
