"""How a registry is told who asks: challenges (RFC 9110, 11.6.1), Basic, and Bearer with a token server's tokens."""

from __future__ import annotations

import json
import re
import threading
import time
from typing import TYPE_CHECKING

from ... import errors
from ...values import field, value_class

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ._credentials import Credentials

__all__ = ["Challenge", "TokenCache", "parse_challenges", "read_token", "token_form"]

_SCHEME = re.compile(r"\s*,?\s*([A-Za-z][A-Za-z0-9!#$%&'*+.^_`|~-]*)(?=\s|,|$)(?!\s*=)")
_PARAMETER = re.compile(r'\s*,?\s*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_LONGEST_HEADER = 8192
_SHORTEST_SECONDS = 60
_EARLY_SECONDS = 5


@value_class
class Challenge:
    """What a registry asks for.

    :param scheme: in lower case.
    :param parameters: by name, in lower case.
    """

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(header: str) -> list[Challenge]:
    """Read the header ``WWW-Authenticate``; what is no challenge is left out."""
    header = header[:_LONGEST_HEADER]
    found: list[Challenge] = []
    position = 0
    while match := _SCHEME.match(header, position):
        position = match.end()
        parameters: dict[str, str] = {}
        while parameter := _PARAMETER.match(header, position):
            position = parameter.end()
            quoted = parameter[2]
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else parameter[3]
            parameters.setdefault(parameter[1].lower(), value)
        found.append(Challenge(match[1].lower(), parameters))
    return found


@value_class
class _Token:
    value: str = field(repr=False)
    until: float


class TokenCache:
    """Tokens by what they are for, while they are good; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[tuple[str, ...], _Token] = {}

    def get(self, scopes: Iterable[str]) -> str | None:
        """Return a token that is still good."""
        with self._lock:
            token = self._tokens.get(tuple(scopes))
        return token.value if token is not None and token.until > time.monotonic() else None

    def put(self, scopes: Iterable[str], value: str, seconds: float) -> None:
        """Keep one."""
        with self._lock:
            self._tokens[tuple(scopes)] = _Token(value, time.monotonic() + max(0, seconds - _EARLY_SECONDS))

    def drop(self, scopes: Iterable[str], value: str) -> None:
        """Forget one that is refused, unless another came meanwhile."""
        with self._lock:
            token = self._tokens.get(tuple(scopes))
            if token is not None and token.value == value:
                del self._tokens[tuple(scopes)]

    def secrets(self) -> list[str]:
        """Return all of them."""
        with self._lock:
            return [token.value for token in self._tokens.values()]


def read_token(host: str, body: bytes) -> tuple[str, float]:
    """Read a token server's answer (distribution project, "Token Authentication Specification").

    :returns: the token and for how many seconds it is good.
    :raises RegistryError: it is none.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    token = None
    if isinstance(value, dict):
        token = value.get("token") or value.get("access_token")
    if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
        raise errors.RegistryError(f"the token server {host} gives no token: ask who runs the registry") from None
    seconds = value.get("expires_in") if isinstance(value, dict) else None
    good = isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and seconds > 0
    return token, float(seconds) if good and seconds is not None else float(_SHORTEST_SECONDS)


def token_form(credentials: Credentials, service: str, scopes: Iterable[str]) -> dict[str, str]:
    """Return the form that an identity token is exchanged with."""
    asked = {"service": service} if service else {}
    return {
        "grant_type": "refresh_token",
        "refresh_token": credentials.identity,
        **asked,
        "scope": " ".join(scopes),
        "client_id": "overlaykit",
    }
