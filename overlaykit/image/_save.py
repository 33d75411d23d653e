"""Images out of a store into directories and archives."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
from typing import TYPE_CHECKING, Any, BinaryIO

from .. import errors
from ..changeset import Limits
from ._archive import copy_blob, replacing, write_archive
from ._docker import docker_document
from ._files import DirectoryFiles, parse_json
from ._layout import CONTAINERD_NAME, REF_NAME, LayoutSource, blob_name, layout_documents, to_json
from ._reference import Reference
from ._transfer import ProgressEvent, send_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ._model import Descriptor
    from ._records import Image
    from ._store import ImageStore

__all__ = ["FORMS", "save"]

FORMS = ("oci-archive", "oci", "docker-archive")


def save(
    store: ImageStore,
    references: Sequence[str],
    target: str | os.PathLike[str] | BinaryIO,
    *,
    form: str = "oci-archive",
    compression: str | None = None,
    progress: Callable[[ProgressEvent], None] | None = None,
) -> int:
    """Write images of a store as an archive or a layout directory, with their digests.

    The same images give the same bytes. An archive takes its place when it is whole; a layout directory that is there
    gets the images besides those that it has, and where one has the same name, instead of it.

    :param references: the images, at least one; what they share is written once.
    :param target: a path; for archives also a binary file.
    :param form: ``"oci-archive"``, ``"oci"`` for a layout directory, or ``"docker-archive"``, which is a layout that
        Docker of any version, podman and skopeo can load.
    :param compression: of an archive as a whole, ``"gzip"`` or ``"zstd"``; ``None`` for none: layers are compressed
        already, mostly.
    :param progress: called with what happens.
    :returns: bytes of blobs and documents written, before compression.
    :raises NotFoundError: there is no such image.
    :raises ExistsError: the target is there and is neither a file nor, for ``"oci"``, a layout or an empty directory.
    :raises MediaTypeError: there is no such form or compression.
    :raises DigestMismatchError: a blob of the store is damaged.
    :raises StoreFullError: there is no room for it: of what did not exist before, nothing stays.
    """
    if form not in FORMS:
        raise errors.MediaTypeError(f"there is no form {form!r:.60}: take one of {', '.join(FORMS)}")
    if compression is not None and (form == "oci" or compression not in ("gzip", "zstd")):
        what = "a directory is not compressed" if form == "oci" else "gzip and zstd are known"
        raise errors.MediaTypeError(f"{compression!r:.60} cannot be the compression of {form}: {what}")
    if not references:
        raise ValueError("no image was named")
    # Blobs are read after they were asked for.
    with store.adding(), _full(target):
        collected = _Collected()
        entries: list[tuple[Descriptor, str | None]] = []
        for reference in references:
            image = store.image(reference)
            sent = send_image(store, image, collected)
            entries.append((collected.manifests[sent.digest][0], _full_name(reference, image)))
        told = _teller(progress)
        if form == "oci":
            if not isinstance(target, (str, os.PathLike)):
                raise errors.MediaTypeError("a layout is a directory and no stream: save an oci-archive there")
            _write_directory(os.path.abspath(os.fspath(target)), entries, collected, told)
        else:
            documents = layout_documents(entries)
            if form == "docker-archive":
                documents["manifest.json"] = docker_document(_docker_images(entries, collected))
            with replacing(target) as out:
                write_archive(out, documents, collected.blobs, compression=compression, progress=told)
        return sum(size for size, _ in collected.blobs.values())


@contextlib.contextmanager
def _full(target: str | os.PathLike[str] | BinaryIO) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, errors.OverlaykitError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = os.fspath(target) if isinstance(target, (str, os.PathLike)) else "the archive"
        raise errors.StoreFullError(f"the file system of {where} is full: make room, or save elsewhere") from error


class _Collected:
    """A :class:`~overlaykit.image.BlobTarget` that remembers what there is to write, to be written in order later."""

    parallel = 1

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.blobs: dict[str, tuple[int, Callable[[], BinaryIO]]] = {}
        self.manifests: dict[str, tuple[Descriptor, bytes]] = {}

    def has(self, descriptor: Descriptor) -> bool:
        return descriptor.digest in self.blobs

    def put(self, descriptor: Descriptor, open: Callable[[int], BinaryIO]) -> int:
        with self._lock:
            self.blobs[descriptor.digest] = descriptor.size, lambda: open(0)
        return descriptor.size

    def stop(self) -> None:
        pass

    def put_manifest(self, descriptor: Descriptor, data: bytes) -> None:
        import io

        with self._lock:
            self.blobs[descriptor.digest] = len(data), lambda: io.BytesIO(data)
            self.manifests[descriptor.digest] = descriptor, data


def _full_name(reference: str, image: Image) -> str | None:
    """Return the name that an image was asked for by, ``None`` where that was a digest."""
    with contextlib.suppress(errors.ImageReferenceError):
        name = str(Reference.parse(reference))
        return name if name in image.references else None
    return None


def _teller(progress: Callable[[ProgressEvent], None] | None) -> Callable[[str, int, int], None] | None:
    if progress is None:
        return None

    def tell(digest: str, done: int, total: int) -> None:
        progress(ProgressEvent(action="write", digest=digest, done=done, total=total))

    return tell


def _docker_images(
    entries: Sequence[tuple[Descriptor, str | None]], collected: _Collected
) -> list[tuple[dict[str, Any], list[str]]]:
    """Return each image's manifest, one for the platform that is there where it is an index, and its references."""
    found: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for descriptor, name in entries:
        manifest = _manifest(descriptor.digest, collected)
        _, names = found.setdefault(manifest["config"]["digest"], (manifest, []))
        if name is not None and name not in names:
            names.append(name)
    return list(found.values())


def _manifest(digest: str, collected: _Collected) -> dict[str, Any]:
    pending, seen = [digest], set()
    while pending:
        at = pending.pop(0)
        if at in seen or at not in collected.manifests:
            continue
        seen.add(at)
        document = parse_json(collected.manifests[at][1], at)
        if "config" in document and "layers" in document:
            found: dict[str, Any] = document
            return found
        pending += [entry["digest"] for entry in document.get("manifests", ())]
    raise errors.ImageFormatError(f"{digest} has no image that could go into a docker archive: save it as oci-archive")


def _write_directory(
    path: str,
    entries: Sequence[tuple[Descriptor, str | None]],
    collected: _Collected,
    told: Callable[[str, int, int], None] | None,
) -> None:
    try:
        there = sorted(os.listdir(path))
    except FileNotFoundError:
        there = []
    except NotADirectoryError as error:
        raise errors.ExistsError(f"{path} is there and no directory: name another one", filename=path) from error
    if there:
        _add_to_layout(path, entries, collected, told)
        return
    temporary = f"{os.path.dirname(path)}/.{os.path.basename(path)[:100]}.{os.urandom(8).hex()}"
    os.mkdir(temporary)
    try:
        _write_blobs(temporary, collected, told)
        for name, data in layout_documents(entries).items():
            _write_document(f"{temporary}/{name}", data)
        os.rename(temporary, path)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise errors.ExistsError(
                f"{path} was made by somebody else meanwhile: save again", filename=path
            ) from error
        raise


def _add_to_layout(
    path: str,
    entries: Sequence[tuple[Descriptor, str | None]],
    collected: _Collected,
    told: Callable[[str, int, int], None] | None,
) -> None:
    try:
        before = LayoutSource(DirectoryFiles(path), Limits()).index
    except (errors.ImageFormatError, errors.MediaTypeError) as error:
        raise errors.ExistsError(
            f"{path} is there and no OCI layout: name another directory, or an empty one", filename=path
        ) from error
    index = parse_json(layout_documents(entries)["index.json"], "the index")
    names = {name for _, name in entries if name is not None}
    digests = {descriptor.digest for descriptor, _ in entries}
    kept = []
    for entry in before:
        annotations = entry.get("annotations")
        known = annotations if isinstance(annotations, dict) else {}
        called = {known.get(key) for key in (CONTAINERD_NAME, REF_NAME)} - {None}
        if not called & names and (called or entry.get("digest") not in digests):
            kept.append(entry)
    index["manifests"] = kept + index["manifests"]
    _write_blobs(path, collected, told)
    # Last: until then the layout is what it was, with blobs more that nothing names.
    _write_document(f"{path}/index.json", to_json(index))


def _write_blobs(path: str, collected: _Collected, told: Callable[[str, int, int], None] | None) -> None:
    os.makedirs(f"{path}/blobs/sha256", exist_ok=True)
    for digest, (size, open_blob) in sorted(collected.blobs.items()):
        name = f"{path}/{blob_name(digest)}"
        with contextlib.suppress(FileNotFoundError):
            if os.lstat(name).st_size == size:
                continue
        os.makedirs(os.path.dirname(name), exist_ok=True)
        with replacing(name) as out:
            copy_blob(open_blob, out.write, digest, size, told)


def _write_document(path: str, data: bytes) -> None:
    with replacing(path) as out:
        out.write(data)
