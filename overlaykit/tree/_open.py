"""The built-in open()'s habits on top of a raw opener."""

from __future__ import annotations

import functools
import io
import os

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Protocol

    from ._tree import StrOrBytesPath
else:
    Protocol = object

__all__ = ["open_file", "open_flags"]


class RawOpener(Protocol):
    """Opens a raw file; :meth:`Tree.open_raw`."""

    def __call__(self, path: StrOrBytesPath, flags: int, mode: int = 0o666, /) -> io.RawIOBase: ...


_ACCESS = {"r": 0, "w": os.O_CREAT | os.O_TRUNC, "x": os.O_CREAT | os.O_EXCL, "a": os.O_CREAT | os.O_APPEND}


@functools.lru_cache(maxsize=64)
def open_flags(mode: str) -> tuple[int, bool, bool]:
    """Translate a mode of the built-in :func:`open`.

    :param mode: such as ``"r"``, ``"rb"``, ``"w+"``.
    :returns: the flags for open(2), whether the file is binary, whether it is for reading and writing both.
    :raises ValueError: it is no mode.
    """
    letters = set(mode)
    actions = letters & set("rwxa")
    if len(letters) != len(mode) or letters - set("rwxab+t") or len(actions) != 1 or {"b", "t"} <= letters:
        raise ValueError(f"invalid mode: {mode!r}")
    action = actions.pop()
    both = "+" in letters
    access = os.O_RDWR if both else os.O_RDONLY if action == "r" else os.O_WRONLY
    return access | _ACCESS[action], "b" in letters, both


def open_file(
    opener: RawOpener,
    path: StrOrBytesPath,
    mode: str,
    buffering: int,
    encoding: str | None,
    errors: str | None,
    newline: str | None,
    permissions: int,
) -> io.RawIOBase | io.BufferedIOBase | io.TextIOWrapper:
    """Open a file as :func:`io.open` would, over ``opener``.

    :raises ValueError: mode, buffering and text options do not go together.
    """
    flags, binary, both = open_flags(mode)
    if binary and (encoding is not None or errors is not None or newline is not None):
        raise ValueError("binary mode doesn't take an encoding, errors or newline argument")
    if not binary and buffering == 0:
        raise ValueError("can't have unbuffered text I/O")
    raw = opener(path, flags, permissions)
    result: io.RawIOBase | io.BufferedIOBase | io.TextIOWrapper = raw
    try:
        if buffering == 0:
            return raw
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        buffered: io.BufferedReader | io.BufferedWriter | io.BufferedRandom
        if both:
            buffered = io.BufferedRandom(raw, size)
        elif flags & os.O_WRONLY:
            buffered = io.BufferedWriter(raw, size)
        else:
            buffered = io.BufferedReader(raw, size)
        result = buffered
        if binary:
            return buffered
        text = io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline, line_buffering=buffering == 1)
        result = text
        text.mode = mode  # type: ignore[misc]
    except BaseException:
        result.close()
        raise
    return text
