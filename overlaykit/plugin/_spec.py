"""What hooks are told, and what they hand over."""

from __future__ import annotations

from ..values import value_class

__all__ = ["CommandSpec", "StoreInfo"]


@value_class
class StoreInfo:
    """The store that a hook call is about.

    :param path: its directory, ``None`` for a store in memory.
    :param driver: the name of its driver.
    """

    path: str | None
    driver: str


@value_class
class CommandSpec:
    """A further command of the command line, as data: listing it imports nothing of it.

    :param name: the word after ``overlaykit``.
    :param summary: one line for ``overlaykit plugins``.
    :param run: ``"package.module:function"``, called with the remaining arguments, returns the exit code.
    """

    name: str
    summary: str
    run: str
