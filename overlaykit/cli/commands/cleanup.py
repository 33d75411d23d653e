"""``overlaykit cleanup``: what removals and crashes left behind goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare no arguments: there are none."""


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Clean up."""
    with context.open_store() as store:
        store.cleanup()
    if context.output.json:
        context.output.document({"store": str(context.store_path)})
    return 0
