"""Pull and push: a store and a repository, one as the source and one as the target."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ... import errors
from ...changeset import Limits, check_digest, digest_of
from .._fetch import fetch_image
from .._model import INDEX_TYPES, ImageConfig, Index, Manifest, Platform
from .._reference import Reference
from .._transfer import Sent, send_image
from ._options import Options
from ._places import from_places, opened, the_place
from ._tags import list_tags
from ._target import RegistryTarget

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._model import Descriptor
    from .._records import Image
    from .._store import ImageStore
    from .._transfer import Fetched, ProgressEvent
    from ._source import RegistrySource

__all__ = ["describe", "pull", "pull_all", "push", "push_all", "tags"]


def pull(
    store: ImageStore,
    reference: str | Reference,
    *,
    platform: Platform | str | None = None,
    any_alone: bool = False,
    options: Options | None = None,
    limits: Limits | None = None,
    progress: Callable[[ProgressEvent], None] | None = None,
) -> Fetched:
    """Bring an image from a registry into a store, under the name it is asked for by; only what is not here travels.

    Mirrors are asked first, one after another; whatever is wrong with one, the next is asked, the registry itself last.
    The image keeps the name it is asked for by.

    :param reference: by tag or by digest; with both the digest counts.
    :param platform: which one of an image for several, ``"linux/arm64"``; this machine's where there is none.
    :param any_alone: take an image that is for one platform alone whatever that is, though one was asked for.
    :param options: how to speak with the registry.
    :param limits: what is refused.
    :param progress: told of each blob, from several threads.
    :raises NotFoundError: the registry has no such image, or none for the platform.
    :raises RegistryAccessError: the registry wants credentials, or others.
    :raises RegistryUnavailableError: it cannot be reached, or stops answering, after all retries.
    :raises RegistryConfigError: a mirror, or a file with the configuration of registries, is not what it should be.
    :raises RegistryError: it answers what no registry should.
    :raises DigestMismatchError: something is not what its digest says.
    :raises ImageReferenceError: no reference can look like this.
    :raises LimitError: the image asks for more than it may.
    :raises MediaTypeError: it is of a kind that is not known.
    """
    limits = limits or Limits()
    where = _parsed(reference)

    def bring(source: RegistrySource, place: Reference) -> list[Fetched]:
        found = source.resolve(place)
        names = [str(where)]
        return [
            fetch_image(
                store,
                source,
                found,
                platform=platform,
                any_alone=any_alone,
                references=names,
                progress=progress,
                limits=limits,
            )
        ]

    return from_places(where, options or Options(), limits, bring)[0]


def describe(
    reference: str | Reference,
    *,
    platform: Platform,
    options: Options | None = None,
    limits: Limits | None = None,
) -> tuple[str, ImageConfig]:
    """Return the digest of an image's manifest and its configuration, without its layers and without a store.

    Of an image for one platform alone that platform does not matter. Parameters and errors are those of :func:`pull`.
    """
    limits = limits or Limits()
    found: list[tuple[str, ImageConfig]] = []

    def bring(source: RegistrySource, place: Reference) -> list[Fetched]:
        descriptor = source.resolve(place)
        while descriptor.media_type in INDEX_TYPES:
            descriptor = Index.parse(source.manifest(descriptor), limits).select(platform)
        manifest = Manifest.parse(source.manifest(descriptor), descriptor.media_type, limits)
        raw = source.manifest(manifest.config)
        check_digest("the image's configuration", manifest.config.digest, digest_of(raw, manifest.config.digest))
        found.append((descriptor.digest, ImageConfig.parse(raw, limits)))
        return []

    from_places(_parsed(reference), options or Options(), limits, bring)
    return found[-1]


def pull_all(
    store: ImageStore,
    reference: str | Reference,
    *,
    options: Options | None = None,
    limits: Limits | None = None,
    progress: Callable[[ProgressEvent], None] | None = None,
) -> list[Fetched]:
    """Bring an image for all its platforms; the one for this machine, or else the first, gets the name.

    Parameters and errors are those of :func:`pull`. What an index has besides images, such as attestations, is left.
    """
    limits = limits or Limits()
    where = _parsed(reference)

    def bring(source: RegistrySource, place: Reference) -> list[Fetched]:
        found = source.resolve(place)
        if found.media_type not in INDEX_TYPES:
            wanted = [found]
        else:
            index = Index.parse(source.manifest(found), limits)
            wanted = _images(index)
            if not wanted:
                raise errors.NotFoundError(f"the image {where} is there for no platform: check the name")
        here = Platform.here()
        named = next((one for one in wanted if one.platform is not None and here.accepts(one.platform)), wanted[0])
        return [
            fetch_image(
                store,
                source,
                one,
                platform=one.platform if one.media_type in INDEX_TYPES else None,
                index=found if one is not found else None,
                references=[str(where)] if one is named else [],
                progress=progress,
                limits=limits,
            )
            for one in wanted
        ]

    return from_places(where, options or Options(), limits, bring)


def push(
    store: ImageStore,
    image: str | Image,
    target: str | Reference | None = None,
    *,
    options: Options | None = None,
    progress: Callable[[ProgressEvent], None] | None = None,
) -> Sent:
    """Send an image to a registry; only what is not there travels.

    Blobs that another repository of the same registry should have, since the image has a name there, are mounted. No
    mirror gets anything.

    :param image: which one.
    :param target: where to; what the image is asked for by where that is ``None``.
    :param options: how to speak with the registry.
    :param progress: told of each blob, from several threads.
    :raises NotFoundError: there is no such image here, or a blob of it is missing.
    :raises ImageReferenceError: no reference can look like this.
    :raises RegistryAccessError: the registry wants credentials, or others.
    :raises RegistryUnavailableError: it cannot be reached, or stops answering, after all retries.
    :raises RegistryError: it answers what no registry should.
    :raises DigestMismatchError: it says that it took something else, or the target names another digest.
    """
    found = store.image(image)
    where = _where(image, target)
    if where.digest and where.digest != found.digest:
        raise _other_digest(found.digest, where)
    place, options = the_place(where, options or Options())
    with opened(place, options, push=True) as client:
        to = RegistryTarget(client, where.tag or where.digest, mount_from=_mounts(found, where), progress=progress)
        return send_image(store, found, to, progress=progress)


def push_all(
    store: ImageStore,
    image: str | Image,
    target: str | Reference | None = None,
    *,
    options: Options | None = None,
    progress: Callable[[ProgressEvent], None] | None = None,
) -> list[Sent]:
    """Send an image for all its platforms, and the index that it was chosen from; one that came alone goes alone.

    What is no image, such as attestations, is not here and not in the index that goes. Without any the index keeps its
    digest.

    Parameters and errors are those of :func:`push`.

    :returns: what went, the index last.
    :raises NotFoundError: the image for one of the platforms is not here.
    """
    found = store.image(image)
    index = store.index(found)
    if index is None:
        return [push(store, image, target, options=options, progress=progress)]
    where = _where(image, target)
    wanted = _images(index)
    here = {one.digest: one for one in store.images()}
    missing = [str(one.platform or one.digest) for one in wanted if one.digest not in here]
    if missing:
        raise errors.NotFoundError(
            f"the image is not here for {', '.join(missing[:20])}: pull it with --all-platforms first"
        )
    if len(wanted) != len(index.manifests):
        document = json.loads(index.raw)
        kept = {one.digest for one in wanted}
        document["manifests"] = [one for one in document["manifests"] if one["digest"] in kept]
        index = Index.parse(json.dumps(document, separators=(",", ":")).encode(), Limits.none())
    if where.digest and where.digest != index.descriptor.digest:
        raise _other_digest(index.descriptor.digest, where)
    mount_from = _mounts(found, where)
    place, options = the_place(where, options or Options())
    with opened(place, options, push=True) as client:
        one_by_one = RegistryTarget(client, "", mount_from=mount_from, progress=progress)
        sent = [send_image(store, here[one.digest], one_by_one, progress=progress) for one in wanted]
        named = RegistryTarget(client, where.tag or where.digest)
        named.put_manifest(index.descriptor, index.raw)
    return [*sent, Sent(index.descriptor.digest, 0, 0)]


def tags(repository: str | Reference, *, options: Options | None = None, limits: Limits | None = None) -> list[str]:
    """Return the tags that a registry has of a repository, sorted.

    Mirrors are not asked: they may have only some.

    :param repository: as :func:`pull` takes it; a tag or a digest does not matter.
    :raises NotFoundError: the registry has no such repository.
    :raises RegistryError: as :func:`pull`.
    :raises LimitError: there are more than there may be.
    """
    place, options = the_place(_parsed(repository), options or Options(), moved=True)
    with opened(place, options) as client:
        return list_tags(client, limits or Limits())


def _images(index: Index) -> list[Descriptor]:
    """Return what an index has besides attestations and the like."""
    return [one for one in index.manifests if one.platform is None or one.platform.os != "unknown"]


def _where(image: str | Image, target: str | Reference | None) -> Reference:
    if target is None:
        if not isinstance(image, str):
            raise errors.ImageReferenceError("an image goes to a name: give one, as registry.example/app:1")
        target = image
    return _parsed(target)


def _other_digest(digest: str, where: Reference) -> errors.DigestMismatchError:
    return errors.DigestMismatchError(
        f"the image has the digest {digest}, and the target {where} another: leave the digest out",
        expected=where.digest,
        actual=digest,
    )


def _mounts(image: Image, where: Reference) -> list[str]:
    """Return the repositories of a registry in which an image should be."""
    known = [Reference.parse(name) for name in image.references]
    return sorted({one.repository for one in known if one.registry == where.registry})


def _parsed(reference: str | Reference) -> Reference:
    return Reference.parse(reference) if isinstance(reference, str) else reference
