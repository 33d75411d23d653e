"""``overlaykit tree``: an image's layers, or a container's, as the stack that they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._text import size

if TYPE_CHECKING:
    import argparse

    from .._context import Context
    from .._parse import CommandParser

__all__ = ["configure", "run"]


def configure(parser: CommandParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Draw the layers of an image or a container, the topmost first: the bytes of files that each stores, with "
        "the wasted ones at the end of its bar, how many it adds (+), changes (~) and removes (-), and the instruction "
        "that made it."
    )
    parser.add_argument("name", metavar="IMAGE|CONTAINER", help="what to draw")


def run(context: Context, arguments: argparse.Namespace) -> int:
    """Draw the stack."""
    import shutil

    from .._stack import analyse_named, draw_stack, fit, percent

    with context.open_store() as store:
        analysis = analyse_named(store, arguments.name, context.output)
    output = context.output
    if output.json:
        from ...explore import as_document

        document = as_document(analysis, changes=False)
        del document["waste"], document["duplicates"]
        output.document(document)
        return 0
    columns = shutil.get_terminal_size().columns if output.terminal else None
    count = len(analysis.layers)
    head = f"{output.name(arguments.name)}  {analysis.image.platform}"
    tail = (
        f"{count} layer{'' if count == 1 else 's'}, {size(analysis.stored)}, efficiency {percent(analysis.efficiency)}"
    )
    output.line(output.style(fit(head, columns), "bold"))
    output.line(fit(tail, columns))
    for line in draw_stack(output, analysis, columns):
        output.line(line)
    return 0
