"""Objects by their name, ``"package.module:attribute"``, as drivers and commands are registered."""

from __future__ import annotations

import importlib
from functools import reduce

__all__ = ["describe_error", "is_object_name", "load_object"]


def is_object_name(text: object) -> bool:
    """Tell whether ``text`` is a ``"package.module:attribute"``."""
    if not isinstance(text, str):
        return False
    module, _, attribute = text.partition(":")
    return all(part.isidentifier() for part in (*module.split("."), *attribute.split(".")))


def load_object(name: str) -> object:
    """Import the module that ``name`` begins with and return the attribute it ends with.

    :param name: ``"package.module:attribute"``; the attribute may have dots.
    :raises ImportError: there is no such module.
    :raises AttributeError: the module lacks the attribute.
    """
    module, _, attribute = name.partition(":")
    return reduce(getattr, attribute.split("."), importlib.import_module(module))


def describe_error(error: BaseException) -> str:
    """Return an exception's type and message as one line.

    :param error: anybody's: its text may be missing, or not to be had.
    """
    kind = type(error).__name__
    try:
        text = " ".join(str(error).split())
    except Exception:
        return f"{kind}, whose text raises something itself"
    return f"{kind}: {text}" if text else kind
