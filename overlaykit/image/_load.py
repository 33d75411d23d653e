"""Images out of directories and archives into a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from .. import errors
from ..changeset import Limits
from ._archive import open_files
from ._docker import DockerSource, is_docker, repo_tags
from ._fetch import fetch_image
from ._layout import LayoutSource, is_layout
from ._model import Platform
from ._reference import Reference

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from ._files import Files
    from ._model import Descriptor
    from ._store import ImageStore
    from ._transfer import Fetched, ProgressEvent

__all__ = ["load", "load_one"]


def load(
    store: ImageStore,
    source: str | os.PathLike[str] | BinaryIO,
    *,
    references: Sequence[str] = (),
    platform: Platform | str | None = None,
    limits: Limits | None = None,
    progress: Callable[[ProgressEvent], None] | None = None,
) -> list[Fetched]:
    """Put the images of an OCI layout, an OCI archive or a docker archive into a store.

    What it is says its content; an archive may be compressed with gzip or zstd as a whole. Images keep their digests.

    :param source: a directory, an archive, or a binary file that is read from where it stands.
    :param references: what to call the image instead of what the archive calls it; only where there is one image.
    :param platform: which one of an image for several, ``"linux/arm64"``; this machine's where there is none.
    :param limits: what is refused.
    :param progress: called with what happens, from several threads.
    :returns: what came, an image each, in the archive's order.
    :raises ImageFormatError: it is no image, damaged, or cut short.
    :raises DigestMismatchError: something in it is not what its digest says.
    :raises LimitError: it asks for more than it may.
    :raises MediaTypeError: it has a form, a version or a compression that is not known.
    :raises ImageReferenceError: the archive calls an image what no image can be called: give a reference.
    :raises NotFoundError: there is no such file, or no image for the platform.
    """
    limits = Limits() if limits is None else limits
    wanted = Platform.parse(platform) if isinstance(platform, str) else platform
    files = open_files(source, limits, store.path)
    try:
        opened, images = _open(files, limits)
        if not images:
            raise errors.ImageFormatError(f"{files.origin} has no image in it: name another archive")
        if references and len(images) > 1:
            raise errors.ImageReferenceError(
                f"{files.origin} has {len(images)} images, and one name is for one: load them under their own names"
            )
        # Before anything is unpacked: a name that is none would be found last.
        named = [
            (descriptor, tuple(_checked(name, files) for name in references or names)) for descriptor, names in images
        ]
        return [
            fetch_image(
                store,
                opened,
                descriptor,
                platform=wanted,
                references=names,
                progress=progress,
                limits=limits,
            )
            for descriptor, names in named
        ]
    finally:
        files.close()


def load_one(
    store: ImageStore,
    source: str | os.PathLike[str],
    *,
    tag: str = "",
    digest: str = "",
    platform: Platform | None = None,
    limits: Limits | None = None,
) -> Fetched:
    """Put one image of several into a store, without a name; see :func:`load`.

    :param tag: what it is called there: its whole name, or what follows the colon in that.
    :param digest: of its manifest or index; without both the only image there is, or else the one called ``latest``.
    :param platform: which one of an image for several; for one that comes alone it does not matter.
    :raises NotFoundError: there is none of that name or digest, or for the platform.
    """
    limits = Limits() if limits is None else limits
    files = open_files(source, limits, store.path)
    try:
        opened, images = _open(files, limits)
        found = [
            descriptor
            for descriptor, names in images
            if (not digest or descriptor.digest == digest)
            and (not tag or any(tag in (name, name.rpartition(":")[2]) for name in names))
        ]
        if len(found) > 1 and not (tag or digest):
            found = [one for one, names in images if any(name.rpartition(":")[2] == "latest" for name in names)]
        if len(found) != 1:
            what = digest or tag or "latest"
            raise errors.NotFoundError(
                f"{files.origin} has {len(images)} images and {len(found) or 'none'} of them is {what[:100]!r}: name a "
                "tag or a digest that is there"
            )
        return fetch_image(store, opened, found[0], platform=platform, any_alone=True, limits=limits)
    finally:
        files.close()


def _checked(name: str, files: Files) -> str:
    try:
        return str(Reference.parse(name))
    except errors.ImageReferenceError as error:
        raise errors.ImageReferenceError(f"an image in {files.origin}: {error}; give it another name") from error


def _open(files: Files, limits: Limits) -> tuple[LayoutSource | DockerSource, list[tuple[Descriptor, list[str]]]]:
    if is_layout(files):
        layout = LayoutSource(files, limits)
        images = layout.images()
        if is_docker(files):
            images = _with_tags(layout, images, repo_tags(files, limits))
        return layout, images
    if is_docker(files):
        docker = DockerSource(files, limits)
        return docker, docker.images()
    raise errors.ImageFormatError(
        f"{files.origin} has neither index.json nor manifest.json: it is no OCI layout and no docker archive; "
        "overlaykit import takes plain trees"
    )


def _with_tags(
    layout: LayoutSource, images: list[tuple[Descriptor, list[str]]], tags: dict[str, list[str]]
) -> list[tuple[Descriptor, list[str]]]:
    """Let the names of manifest.json, which are whole, stand for those of the index, which may be tags alone."""
    found = []
    for descriptor, names in images:
        config = layout.config_digest(descriptor)
        found.append((descriptor, tags.get(config or "", []) or names))
    return found
