"""What went wrong with a registry, in one line that has no secret in it."""

from __future__ import annotations

import json
import ssl
from typing import TYPE_CHECKING

from ... import errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["access_error", "certificate_refused", "html_error", "is_html", "reason", "status_error", "unavailable"]

_LONGEST = 200


def reason(error: BaseException) -> str:
    """Return in a few words why a connection failed; addresses, which may hold signatures, are left out."""
    seen: set[int] = set()
    one: object = error
    while isinstance(one, BaseException) and id(one) not in seen:
        seen.add(id(one))
        if isinstance(one, TimeoutError) or "Timeout" in type(one).__name__:
            return "no progress for too long"
        if "NameResolution" in type(one).__name__:
            return "its name is not known"
        if "Proxy" in type(one).__name__:
            return "the proxy that the environment names refuses or cannot be reached"
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"its certificate is refused ({one.verify_message})"
        if isinstance(one, ssl.SSLError):
            return "TLS failed"
        if isinstance(one, OSError) and one.strerror:
            return one.strerror.lower()
        one = one.__cause__ or one.__context__ or next((arg for arg in one.args if isinstance(arg, Exception)), None)
    return "the connection was cut"


def certificate_refused(error: BaseException) -> bool:
    """Tell whether it failed because of the certificate: trying again would not help."""
    return "certificate" in reason(error)


def unavailable(host: str, why: str) -> errors.RegistryUnavailableError:
    """Return the error for a registry that cannot be reached."""
    return errors.RegistryUnavailableError(
        f"the registry {host} does not answer: {why}; check its name and the network"
    )


def access_error(host: str, status: int, *, known: bool, what: str) -> errors.RegistryAccessError:
    """Return the error for a registry that refuses.

    :param known: whether it was given credentials.
    """
    if known:
        text = f"the registry {host} refuses the credentials for {what}: log in again, or ask for access"
    else:
        text = (
            f"the registry {host} wants credentials for {what}, or has none of this name: check it, or log in first, "
            "as with docker login or skopeo login"
        )
    return errors.RegistryAccessError(text, status=status)


def is_html(headers: Mapping[str, str], body: bytes) -> bool:
    """Tell whether an answer is a page for people."""
    return headers.get("Content-Type", "").startswith("text/html") or body.lstrip()[:1] == b"<"


def html_error(host: str, status: int) -> errors.RegistryError:
    """Return the error for a web page instead of a document."""
    return errors.RegistryError(
        f"{host} answers with a web page: it is no registry, or something stands between; check the name", status=status
    )


def status_error(
    host: str, status: int, body: bytes, headers: Mapping[str, str], what: str, secrets: Iterable[str] = ()
) -> errors.OverlaykitError:
    """Return the error for an answer that is none of those expected.

    :param what: what was asked for.
    :param secrets: what must not be in the message, should the registry echo it.
    """
    told = _told(body, secrets)
    if status == 404:
        return errors.NotFoundError(f"the registry {host} has no {what}: check the name")
    if is_html(headers, body):
        return html_error(host, status)
    if status in (429, 500, 502, 503, 504):
        return errors.RegistryUnavailableError(
            f"the registry {host} cannot give {what} now (status {status}{told}): try again later", status=status
        )
    return errors.RegistryError(
        f"the registry {host} answers with status {status}{told} for {what}: check the name and the registry",
        status=status,
    )


def _told(body: bytes, secrets: Iterable[str]) -> str:
    try:
        first = json.loads(body)["errors"][0]
        text = " ".join(str(first[key]) for key in ("code", "message") if isinstance(first.get(key), str))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return ", " + "".join(sign if sign.isprintable() else " " for sign in text)[:_LONGEST] if text else ""
