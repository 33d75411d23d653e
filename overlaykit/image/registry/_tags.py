"""The tags of a repository, page by page (distribution specification, "Listing Tags"; RFC 8288 for ``Link``)."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from ... import errors
from ._client import connection_errors
from ._errors import html_error, is_html, reason, unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...changeset import Limits
    from ._client import Client

__all__ = ["list_tags", "next_page"]

_LINK = re.compile(r'<([^<>]*)>((?:\s*;\s*[^\s;,="]+(?:\s*=\s*(?:"[^"]*"|[^\s;,"]*))?)*)')
_NEXT = re.compile(r';\s*rel\s*=\s*"?(?:[^";,]*\s)?next(?:\s[^";,]*)?"?\s*(?:;|$)', re.IGNORECASE)
_MOST_PAGES = 10_000


def list_tags(client: Client, limits: Limits) -> list[str]:
    """Return all tags of a client's repository, sorted.

    :raises NotFoundError: the registry has no such repository.
    :raises RegistryError: what it answers is no list of tags, or has no end.
    :raises LimitError: a page is larger than a document may be, or there are more tags than entries.
    """
    what = f"repository {client.repository}"
    found: dict[str, None] = {}
    url = client.url("tags/list")
    seen: set[str] = set()
    while url and url not in seen and len(seen) < _MOST_PAGES:
        seen.add(url)
        data, headers = _page(client, url, what, limits)
        limits.check("document", len(data), f"the list of tags of the {what} has more bytes")
        found.update(dict.fromkeys(_tags(client, data, headers)))
        limits.check("entries", len(found), f"the {what} has more tags")
        following = next_page(headers.get("Link", ""))
        url = client.location(url, following) if following else ""
    if url:
        raise errors.RegistryError(
            f"the registry {client.registry} lists the tags of the {what} without an end: ask who runs it"
        )
    # The specification wants them so, and not all registries do it.
    return sorted(found)


def _page(client: Client, url: str, what: str, limits: Limits) -> tuple[bytes, Mapping[str, str]]:
    tries = 0
    while True:
        response = client.request("GET", url, headers={"Accept": "application/json"}, expect=(200,), what=what)
        try:
            return client.read(response, limits.document), response.headers
        except connection_errors() as error:
            if tries >= client.options.retries:
                raise unavailable(client.registry, reason(error)) from None
            client.wait(tries)
            tries += 1


def _tags(client: Client, data: bytes, headers: Mapping[str, str]) -> list[str]:
    if is_html(headers, data):
        raise html_error(client.registry, 200)
    value: Any
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    # Go writes an empty list as null.
    tags = (value.get("tags") or []) if isinstance(value, dict) else None
    if not isinstance(tags, list) or not all(isinstance(one, str) for one in tags):
        raise errors.RegistryError(
            f"the registry {client.registry} gives no list of tags for {client.repository}: ask who runs it"
        ) from None
    return tags


def next_page(header: str) -> str:
    """Return where the header ``Link`` says that a list goes on; ``""`` where it ends."""
    for match in _LINK.finditer(header[:8192]):
        if _NEXT.search(match[2]):
            return match[1]
    return ""
