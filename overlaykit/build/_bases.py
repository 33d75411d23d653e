"""Images that a build begins with or copies from: those that are here, or else from their registries."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from .. import errors
from ..image import Platform, Reference
from ..values import value_class
from ._layers import Layer, Stack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..image import Image, ImageConfig, ImageStore, ProgressEvent
    from ._control import Control
    from ._events import Reporter, Step
    from ._request import BuildRequest

__all__ = ["LAYOUT_SCHEME", "Base", "Bases"]

LAYOUT_SCHEME = "oci-layout://"
"""What a named context that is an image of a directory begins with."""


@value_class
class Base:
    """An image, as a build needs it.

    :param name: its reference, with its digest.
    :param stack: its layers; none where only what is said of it was asked for.
    :param document: its configuration.
    :param history: its history, as the configuration has it.
    :param wanted: the platform that was asked for.
    :param platform: its own.
    """

    name: str
    stack: Stack
    document: Mapping[str, Any]
    history: tuple[dict[str, Any], ...]
    wanted: Platform
    platform: Platform

    @property
    def triggers(self) -> tuple[str, ...]:
        """Its ``OnBuild``."""
        return tuple((self.document.get("config") or {}).get("OnBuild") or ())


class Bases:
    """Finds each image once a build, however many stages ask for it, from whatever thread.

    :param layers: whether images are to be here; else what is said of them is all that comes from registries.
    """

    def __init__(
        self, store: ImageStore, request: BuildRequest, reporter: Reporter, control: Control, *, layers: bool = True
    ) -> None:
        self._store = store
        self._request = request
        self._reporter = reporter
        self._control = control
        self._layers = layers
        self._lock = threading.Lock()
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._found: dict[tuple[str, str], Base] = {}

    def find(self, reference: str, platform: str = "") -> Base:
        """Return an image.

        :param reference: its name, or ``oci-layout://DIRECTORY[:TAG][@DIGEST]``.
        :param platform: which one; ``""`` for the one that is built for.
        :raises NotFoundError: it is not here, and was not to be pulled; or there is none for the platform.
        :raises OSError: as :meth:`ImageStore.pull`.
        """
        wanted = Platform.parse(platform) if platform else self._request.platform
        key = (reference, str(wanted))
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            self._control.check()
            if key not in self._found:
                with self._reporter.step(f"[internal] load metadata for {_full(reference)}") as step:
                    self._found[key] = self._find(reference, wanted, step)
            return self._found[key]

    def _find(self, reference: str, wanted: Platform, step: Step) -> Base:
        if reference.startswith(LAYOUT_SCHEME):
            place, tag, digest = _layout(reference.removeprefix(LAYOUT_SCHEME))
            from ..image import load_one

            fetched = load_one(self._store, place, tag=tag, digest=digest, platform=wanted)
            return self._base(reference, fetched.image, wanted)
        pull = self._request.pull
        if pull != "always":
            here = self._here(reference, wanted)
            if here is not None:
                return self._base(reference, here, wanted)
            if pull == "never":
                raise errors.NotFoundError(
                    f"there is no image {reference[:300]!r} for {wanted} here, and it was not to be pulled: pull it, "
                    "or let the build do it"
                )
        if not self._layers:
            from ..image.registry import describe

            digest, config = describe(reference, platform=wanted, options=self._request.registry)
            return _made(reference, digest, config, Stack(), wanted)

        def tell(event: ProgressEvent) -> None:
            self._control.check()
            if event.action in ("download", "unpack"):
                step.progress(f"{event.digest[7:19]} {event.action} {event.done}/{event.total or '?'}")

        fetched = self._store.pull(
            reference, platform=wanted, any_alone=True, options=self._request.registry, progress=tell
        )
        return self._base(reference, fetched.image, wanted)

    def _here(self, reference: str, wanted: Platform) -> Image | None:
        """Return an image that is here; one that came alone is meant whatever its platform, as BuildKit has it."""
        try:
            image = self._store.image(reference)
        except errors.NotFoundError:
            return None
        fits = wanted.accepts(self._store.config(image).platform) or self._store.index(image) is None
        return image if fits else None

    def _base(self, reference: str, image: Image, wanted: Platform) -> Base:
        manifest, config = self._store.manifest(image), self._store.config(image)
        layers = tuple(map(Layer, manifest.layers, config.diff_ids))
        return _made(reference, image.digest, config, Stack(layers, image.top), wanted)


def _made(reference: str, digest: str, config: ImageConfig, stack: Stack, wanted: Platform) -> Base:
    history = tuple(dict(one) for one in config.document.get("history") or ())
    name = f"{_full(reference)}@{digest}" if "@" not in reference else _full(reference)
    return Base(name, stack, config.document, history, wanted, config.platform)


def _layout(text: str) -> tuple[str, str, str]:
    """Take ``DIRECTORY[:TAG][@DIGEST]`` apart."""
    place, _, digest = text.partition("@")
    above, slash, last = place.rpartition("/")
    name, _, tag = last.partition(":")
    return above + slash + name, tag, digest


def _full(reference: str) -> str:
    try:
        return str(Reference.parse(reference))
    except errors.ImageReferenceError:
        return reference
