"""Moments as text and as nanoseconds since the epoch, and what ``--since`` and ``--until`` say."""

from __future__ import annotations

import datetime
import functools
import re
import time

__all__ = ["format_time", "parse_moment", "parse_time"]

_SECOND = 1_000_000_000

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")


def format_time(nanoseconds: int) -> str:
    """Return a moment in RFC 3339 with all nine digits, in UTC."""
    seconds, rest = divmod(nanoseconds, _SECOND)
    return f"{_format_seconds(seconds)}.{rest:09d}Z"


def parse_time(text: str) -> int:
    """Return what :func:`format_time` made of.

    :raises ValueError: it is another form.
    """
    if len(text) != _LENGTH or text[-11] != "." or text[-1] != "Z":
        raise ValueError(f"no time: {text[:40]!r}")
    return _parse_seconds(text[:-11]) * _SECOND + int(text[-10:-1])


def parse_moment(text: str, now: int | None = None) -> int:
    """Return the moment that a user means, in nanoseconds since the epoch.

    :param text: RFC 3339 (``2026-01-02T15:04:05``; without an offset in the local time), seconds since the epoch, or
        how long ago, as ``10m`` or ``1h30m``: what ``docker logs --since`` takes.
    :param now: what "ago" counts from.
    :raises ValueError: it is none of these.
    """
    text = text.strip()
    if re.fullmatch(r"\d+(\.\d{1,9})?", text):
        seconds, _, rest = text.partition(".")
        return int(seconds) * _SECOND + int(rest.ljust(9, "0"))
    if re.fullmatch(f"(?:{_DURATION.pattern})+", text):
        ago = sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))
        return (time.time_ns() if now is None else now) - int(ago * _SECOND)
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text[:60]!r} is no time: give one as 2026-01-02T15:04:05, as seconds since the epoch, or as 10m for ago"
        ) from None
    whole = moment.replace(microsecond=0).astimezone(datetime.UTC)
    return int(whole.timestamp()) * _SECOND + moment.microsecond * 1000


@functools.lru_cache(maxsize=4)
def _format_seconds(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


@functools.lru_cache(maxsize=64)
def _parse_seconds(text: str) -> int:
    return int(datetime.datetime.strptime(text + "+0000", "%Y-%m-%dT%H:%M:%S%z").timestamp())


_LENGTH = len("2026-01-02T15:04:05.123456789Z")
