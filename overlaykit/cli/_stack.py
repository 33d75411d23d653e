"""The layers of an image, drawn as the stack that they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import NotFoundError
from ..explore import analyse, instruction_text
from ._image import short
from ._progress import reading_progress
from ._text import printable, size, width

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..explore import Analysis, LayerReport, Step
    from ..image import ImageStore
    from ._output import Output

__all__ = ["analyse_named", "draw_stack", "fit", "percent"]

_BAR = 10
_NARROW = 72
_SHOWN = 3


def analyse_named(store: ImageStore, name: str, output: Output) -> Analysis:
    """Analyse a container where there is one of this name, else an image.

    :raises NotFoundError: there is neither.
    """
    image: str | None = None
    container: str | None = name
    try:
        store.open_container(name)
    except NotFoundError:
        image, container = name, None
    with reading_progress(output, name) as progress:
        return analyse(store, image, container, progress=progress)


def percent(ratio: float) -> str:
    """Return a ratio, ``"95.2%"``, never rounded up to all."""
    text = f"{ratio * 100:.1f}%"
    return "99.9%" if text == "100.0%" and ratio < 1 else text


def fit(text: str, columns: int | None) -> str:
    """Cut a text to a number of columns; ``None`` for no limit."""
    if columns is None or width(text) <= columns:
        return text
    kept, used = "", 0
    for character in text:
        used += width(character)
        if used > columns - 1:
            break
        kept += character
    return f"{kept}…"


def draw_stack(output: Output, analysis: Analysis, columns: int | None) -> Iterator[str]:
    """Yield the lines of a stack, the top first.

    :param columns: how wide the terminal is; ``None`` where lines may have any length.
    """
    largest = max((layer.stored for layer in analysis.layers), default=0)
    numbers = [_numbers(layer) for layer in analysis.layers]
    widths = [max((len(row[column]) for row in numbers), default=0) for column in range(4)]
    layers = {layer.index: layer for layer in analysis.layers}
    steps: list[tuple[Step | None, LayerReport | None]] = [
        (step, None if step.layer is None else layers[step.layer]) for step in analysis.steps
    ]
    steps += [(None, layer) for layer in analysis.layers if layer.is_container]
    shared_below: tuple[str, ...] | None = None
    last = len(steps) - 1
    for number, (step, layer) in enumerate(reversed(steps)):
        corner = ("┌" if number == 0 else "└" if number == last else "├") if last else "─"
        if layer is None:
            assert step is not None
            text = instruction_text(step.created_by, step.comment) or "(nothing)"
            yield output.style(f"│    {fit(_line(text), _left(columns, 5))}", "dim")
            continue
        cells = _numbers(layer)
        bar = _bar(output, layer, largest)
        plain = [f"{cell:>{columns_}}" for cell, columns_ in zip(cells, widths, strict=True)]
        styled = [output.style(plain[0], "bold")] + [
            output.style(cell, *((style,) if not cell.strip().endswith(" 0") and cell.strip()[1:] != "0" else ("dim",)))
            for cell, style in zip(plain[1:], ("green", "yellow", "red"), strict=True)
        ]
        mark = "*" if layer.is_container else str(layer.index)
        head = f"{corner}─{mark:>2} "
        text = _title(analysis, layer)
        taken = len(head) + sum(widths) + 3 + _BAR + 2 + 2
        line = f"{head}{bar} {'  '.join(styled[:1])} {' '.join(styled[1:])}"
        follows = "│" if number != last else " "
        if columns is not None and columns < _NARROW:
            yield output.style(fit(f"{head}{text}", columns), "bold")
            narrow = " ".join(styled) if sum(widths) + 8 <= columns else styled[0]
            yield f"{follows}    {narrow}"
        else:
            yield f"{line}  {_styled_title(output, layer, fit(text, _left(columns, taken)))}"
        if layer.shared and layer.shared != shared_below:
            yield output.style(f"{follows}    {fit(_shared(layer), _left(columns, 5))}", "cyan")
        shared_below = layer.shared


def _left(columns: int | None, taken: int) -> int | None:
    return None if columns is None else max(8, columns - taken)


def _line(text: str) -> str:
    return printable(" ".join(text.split()))


def _title(analysis: Analysis, layer: LayerReport) -> str:
    if layer.is_container:
        return _line(f"container {analysis.container}, writable")
    return _line(instruction_text(layer.created_by, layer.comment)) or f"layer {short(layer.diff_id)}"


def _styled_title(output: Output, layer: LayerReport, text: str) -> str:
    return output.style(text, "bold") if layer.is_container else text


def _numbers(layer: LayerReport) -> tuple[str, str, str, str]:
    total = layer.total
    return size(layer.stored), f"+{total.added}", f"~{total.modified}", f"-{total.removed}"


def _bar(output: Output, layer: LayerReport, largest: int) -> str:
    cells = round(layer.stored / largest * _BAR) if largest else 0
    if layer.stored and not cells:
        cells = 1
    lost = round(layer.wasted / layer.stored * cells) if layer.stored else 0
    kept, wasted, empty = ("█", "▒", "░") if output.unicode else ("#", "x", ".")
    return (
        output.style(kept * (cells - lost), "blue")
        + output.style(wasted * lost, "red")
        + output.style(empty * (_BAR - cells), "dim")
    )


def _shared(layer: LayerReport) -> str:
    names = ", ".join(_line(name) for name in layer.shared[:_SHOWN])
    more = len(layer.shared) - _SHOWN
    return f"from here down shared with {names}" + (f" and {more} more" if more > 0 else "")
