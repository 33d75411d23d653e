"""Credentials, from where Docker, podman and skopeo keep them; they are in no repr and no message."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import errors
from ...values import field, value_class

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Credentials", "find_credentials"]

_HUB = "docker.io"
_HUB_KEYS = ("https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io")
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HELPER_SECONDS = 30
_LARGEST = 4 << 20


@value_class
class Credentials:
    """A name with a password, an identity token that stands for both, or a token that is sent as it is.

    :param username: the name; ``""`` with an identity token alone.
    :param password: its password.
    :param identity: an OAuth 2 refresh token, that a token server takes instead.
    :param token: a bearer token for the registry itself.
    """

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of the header for Basic authentication (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

    @property
    def secrets(self) -> tuple[str, ...]:
        """What nobody may see."""
        pair = self.basic.partition(" ")[2] if self.password else ""
        return tuple(one for one in (self.password, self.identity, self.token, pair) if one)


def find_credentials(registry: str, repository: str = "") -> Credentials | None:
    """Return the credentials for a registry, ``None`` where there are none.

    Asked are ``$REGISTRY_AUTH_FILE``, ``containers/auth.json`` in ``$XDG_RUNTIME_DIR``, ``/run/containers/UID`` where
    that is not set, and ``~/.config`` (containers-auth.json(5)), and ``config.json`` in ``$DOCKER_CONFIG`` or
    ``~/.docker``, in this order; in each a helper for the registry, what stands there, the general helper.

    :raises RegistryAccessError: a file is damaged, or a helper fails.
    """
    for path in _files():
        config = _read(path)
        if config is not None:
            found = _in_config(config, path, registry, repository)
            if found is not None:
                return found
    return None


def _files() -> Iterator[Path]:
    if named := os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
    home = os.environ.get("HOME")
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime, "containers", "auth.json")
    else:
        yield Path("/run/containers", str(os.getuid()), "auth.json")
    if settings := os.environ.get("XDG_CONFIG_HOME") or (home and f"{home}/.config"):
        yield Path(settings, "containers", "auth.json")
    if docker := os.environ.get("DOCKER_CONFIG"):
        yield Path(docker, "config.json")
    elif home:
        yield Path(home, ".docker", "config.json")


def _read(path: Path) -> Mapping[str, Any] | None:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise errors.RegistryAccessError(f"{path} cannot be read: {error.strerror}; mend or move it") from None
    if not data.strip():
        return None
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or len(data) > _LARGEST:
        # The parser's own message, and its cause, would show what is in the file.
        raise errors.RegistryAccessError(f"{path} is no JSON object: mend it, or log in again") from None
    return value


def _in_config(config: Mapping[str, Any], path: Path, registry: str, repository: str) -> Credentials | None:
    keys = _HUB_KEYS if registry == _HUB else (registry, f"https://{registry}", f"http://{registry}")
    helpers = _object(config, "credHelpers")
    for key in keys:
        if isinstance(helper := helpers.get(key), str):
            return _ask(helper, key)
    auths = _object(config, "auths")
    entry = _entry(auths, keys, registry, repository)
    if entry is not None:
        found = _decode(entry, path, registry)
        if found is not None:
            return found
    if isinstance(store := config.get("credsStore"), str) and store:
        for key in keys[:1] if registry == _HUB else keys[:2]:
            found = _ask(store, key)
            if found is not None:
                return found
    return None


def _object(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = config.get(key)
    return value if isinstance(value, dict) else {}


def _entry(auths: Mapping[str, Any], keys: tuple[str, ...], registry: str, repository: str) -> Mapping[str, Any] | None:
    # containers-auth.json(5): the longest path that fits comes first.
    parts = repository.split("/") if repository else []
    wanted = [f"{registry}/{'/'.join(parts[:count])}" for count in range(len(parts), 0, -1)]
    for key in (*wanted, *keys):
        if isinstance(auths.get(key), dict):
            return auths[key]  # type: ignore[no-any-return]
    for key, value in auths.items():
        host = key.partition("://")[2] or key
        if host.rstrip("/").removesuffix("/v1").removesuffix("/v2") == registry and isinstance(value, dict):
            return value
    return None


def _decode(entry: Mapping[str, Any], path: Path, registry: str) -> Credentials | None:
    def text(key: str) -> str:
        value = entry.get(key)
        return value if isinstance(value, str) else ""

    username, password = text("username"), text("password")
    if auth := text("auth"):
        try:
            username, colon, password = base64.b64decode(auth, validate=True).decode().rstrip("\0").partition(":")
        except (binascii.Error, UnicodeDecodeError):
            colon = ""
        if not colon:
            raise errors.RegistryAccessError(
                f"{path} has credentials for {registry} that are no base64 of NAME:PASSWORD: log in again"
            ) from None
    identity, token = text("identitytoken"), text("registrytoken")
    if not (identity or token or username or password):
        return None
    return Credentials(username, password, identity, token)


def _ask(helper: str, key: str) -> Credentials | None:
    """Ask a helper (the protocol of docker-credential-helpers: ``get``, the server on standard input, JSON back)."""
    if not _HELPER.fullmatch(helper):
        raise errors.RegistryAccessError(f"{helper[:100]!r} is no name of a credential helper: mend config.json")
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, "get"], input=key.encode(), capture_output=True, timeout=_HELPER_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise errors.RegistryAccessError(f"{program} gave no answer in {_HELPER_SECONDS} s: log in again") from None
    except OSError as error:
        raise errors.RegistryAccessError(f"{program} cannot be run: {error.strerror}; install it") from None
    if done.returncode != 0:
        if b"not found" in done.stdout + done.stderr:
            return None
        raise errors.RegistryAccessError(f"{program} failed with status {done.returncode}: log in again")
    try:
        value = json.loads(done.stdout)
        username, secret = value["Username"], value["Secret"]
    except (ValueError, LookupError, TypeError, RecursionError):
        username = secret = None
    if not isinstance(username, str) or not isinstance(secret, str):
        raise errors.RegistryAccessError(f"{program} gave no JSON with a name and a secret: log in again") from None
    return Credentials(identity=secret) if username == "<token>" else Credentials(username, secret)
