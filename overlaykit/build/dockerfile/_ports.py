"""What EXPOSE takes."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._place import Source, Word

__all__ = ["ports_of"]

_PORT = partial(
    re.compile,
    r"(?:(?:(?P<ip>.*):)?(?P<host>[^:]*):)?(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?(?:/(?P<protocol>[^/:]*))?",
    re.DOTALL,
)
_PROTOCOLS = ("", "tcp", "udp", "sctp")


def ports_of(source: Source, word: Word) -> list[str]:
    """Return the ports that a word names, each as ``80/tcp``.

    An address and a port of the host before it mean nothing; the lint speaks up, as BuildKit's does.

    :raises DockerfileError: it names none.
    """
    found = _PORT().fullmatch(word)
    if found is None:
        raise source.error(word.place, f"{word[:40]!r} is no port: write it as 80, 53/udp or 8000-8005/tcp")
    protocol = (found["protocol"] or "").lower()
    if protocol not in _PROTOCOLS:
        raise source.error(word.place, f"there is no protocol {protocol[:20]!r}: take tcp, udp or sctp")
    first, last = int(found["first"]), int(found["last"] or found["first"])
    if last > 65535:
        raise source.error(word.place, f"there is no port {max(first, last)}: the last is 65535")
    if first > last:
        raise source.error(word.place, f"the range {first}-{last} goes backwards: write {last}-{first}")
    return [f"{port}/{protocol or 'tcp'}" for port in range(first, last + 1)]
