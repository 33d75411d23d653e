"""What somebody may have meant."""

from __future__ import annotations

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["close_matches"]


def close_matches(name: str, known: Iterable[str], most: int = 2) -> str:
    """Return the known names that are like this one, joined with "or"; empty where none is.

    :param most: how many of them.
    """
    # Here, because it costs as much as loading the plugins and most names are right.
    import difflib

    return " or ".join(difflib.get_close_matches(name, list(known), n=most))
