"""The keys that leave a container's terminal without ending it."""

from __future__ import annotations

__all__ = ["DEFAULT_DETACH", "DetachKeys", "parse_keys"]

DEFAULT_DETACH = "ctrl-p,ctrl-q"


def parse_keys(text: str) -> bytes:
    """Return the bytes that keys send.

    :param text: as ``docker attach --detach-keys`` takes it: single characters or ``ctrl-`` with a letter or one of
        ``@ [ \\ ] ^ _``, with commas between; ``""`` for none.
    :raises ValueError: it is something else.
    """
    made = bytearray()
    for key in text.split(",") if text else []:
        name = key.lower().removeprefix("ctrl-")
        if key.isascii() and len(key) == 1:
            made += key.encode()
        elif key.lower().startswith("ctrl-") and len(name) == 1 and "@" <= name.upper() <= "_":
            made.append(ord(name.upper()) - ord("@"))
        else:
            raise ValueError(f"{key[:40]!r} is no key: give keys as ctrl-p,ctrl-q or single characters")
    return bytes(made)


class DetachKeys:
    """Looks for the keys in what is typed, which may come byte by byte.

    :param keys: what :func:`parse_keys` returns; empty for no such keys.
    """

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Take in what was typed.

        The begin of the keys is held back until it is known how they go on.

        :returns: what is for the container, and whether the keys were pressed.
        """
        if not self._keys:
            return data, False
        data = self._held + data
        self._held = b""
        at = data.find(self._keys)
        if at >= 0:
            return data[:at], True
        for length in range(min(len(self._keys) - 1, len(data)), 0, -1):
            if data.endswith(self._keys[:length]):
                self._held = data[-length:]
                return data[:-length], False
        return data, False

    def rest(self) -> bytes:
        """Return what is held back: nothing more will be typed."""
        held, self._held = self._held, b""
        return held
