"""Trees drawn with lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["draw_tree"]

_Node = TypeVar("_Node")


def draw_tree(roots: Sequence[_Node], children: Callable[[_Node], Sequence[_Node]]) -> Iterator[tuple[str, _Node]]:
    """Yield each node with the lines to draw before it, parents first.

    :param roots: what stands at the left margin.
    :param children: what hangs on a node, in order.
    """
    # A stack of our own: a store may hold deeper chains than Python's recursion goes.
    todo: list[tuple[str, str, _Node]] = [("", "", root) for root in reversed(roots)]
    while todo:
        lead, below, node = todo.pop()
        yield lead, node
        hanging = list(children(node))
        for number, child in enumerate(reversed(hanging)):
            if number == 0:
                todo.append((f"{below}└── ", f"{below}    ", child))
            else:
                todo.append((f"{below}├── ", f"{below}│   ", child))
