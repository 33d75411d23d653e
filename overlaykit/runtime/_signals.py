"""Signals by the names and numbers that images and users give them."""

from __future__ import annotations

import signal

__all__ = ["parse_signal"]

_HIGHEST = signal.NSIG - 1


def parse_signal(text: str | int) -> int:
    """Return the number of a signal.

    :param text: as ``SIGTERM``, ``TERM``, ``15``, ``RTMIN+3`` (Dockerfile reference, STOPSIGNAL; ``docker kill``).
    :raises ValueError: there is no such signal.
    """
    name = str(text).strip().upper().removeprefix("SIG")
    number = 0
    if name.isdecimal():
        number = int(name)
    elif name[:6] in ("RTMIN+", "RTMAX-") and name[6:].isdecimal():
        base, sign = (int(signal.SIGRTMIN), 1) if name.startswith("RTMIN") else (int(signal.SIGRTMAX), -1)
        number = base + sign * int(name[6:])
        if not signal.SIGRTMIN <= number <= signal.SIGRTMAX:
            number = 0
    elif name.isalnum():
        number = int(getattr(signal.Signals, f"SIG{name}", 0))
    if not 0 < number <= _HIGHEST:
        raise ValueError(f"there is no signal {str(text)[:60]!r}: give one as TERM, SIGKILL, 15 or RTMIN+3")
    return number
