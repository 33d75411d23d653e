"""Images and containers as commands write them."""

from __future__ import annotations

from ._exit import UsageError

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..image import Collected, ContainerInfo, Image

__all__ = ["as_json", "collected_json", "container_json", "parse_config", "short"]


def short(digest: str) -> str:
    """Return the digits of a digest that people tell images by."""
    return digest.rpartition(":")[2][:12]


def as_json(image: Image) -> dict[str, Any]:
    """Return an image for a JSON document."""
    return {
        "references": list(image.references),
        "digest": image.digest,
        "media_type": image.media_type,
        "config": image.config,
        "platform": image.platform,
        "layers": image.layers,
        "size": image.size,
        "added": image.added.isoformat(),
    }


def container_json(info: ContainerInfo) -> dict[str, Any]:
    """Return a container for a JSON document."""
    return {
        "name": info.name,
        "image": info.image,
        "reference": info.reference,
        "created": info.created.isoformat(),
    }


def collected_json(done: Collected) -> dict[str, Any]:
    """Return what was removed for a JSON document."""
    return {
        "names": list(done.names),
        "images": list(done.images),
        "layers": list(done.layers),
        "blobs": list(done.blobs),
        "bytes": done.bytes,
    }


def parse_config(words: Iterable[str]) -> dict[str, Any]:
    """Return what ``NAME=JSON`` words change of an image's configuration; a value that is no JSON is text.

    :raises UsageError: one of them has another form.
    """
    import json

    changes: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise UsageError(f"the change {word!r} is not of the form NAME=VALUE, as Cmd='[\"sh\"]'")
        try:
            changes[name] = json.loads(text)
        except ValueError:
            changes[name] = text
    return changes
