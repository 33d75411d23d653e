"""Archives around images: opened where they lie, spooled where that cannot be; written the same way each time."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import stat
import tempfile
from typing import TYPE_CHECKING, BinaryIO

from .. import errors
from ..changeset import LayerStream, Limits, compressed, new_hash
from ._files import DirectoryFiles, TarFiles
from ._tar_index import header, is_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from ._files import Files

__all__ = ["open_files", "replacing", "write_archive"]

_BLOCK = 512
_END = b"\0" * (2 * _BLOCK)
_CHUNK = 1 << 20


def open_files(source: str | os.PathLike[str] | BinaryIO, limits: Limits, spool: Path | None) -> Files:
    """Open a directory or an archive that images are in.

    An archive that is not compressed is read where it lies. What is compressed as a whole, or cannot be sought in, goes
    into a file without a name first, which is gone when it is closed, however that happens.

    :param source: a path, or a binary file that is read from where it stands and not closed.
    :param spool: the directory for that file; ``None`` for the system's directory of temporary files.
    :raises ImageFormatError: it is neither, or damaged.
    :raises LimitError: it inflates to more than it may.
    :raises MediaTypeError: it is compressed in a way that is not known.
    :raises StoreFullError: there is no space for that file.
    """
    if not isinstance(source, (str, os.PathLike)):
        name = getattr(source, "name", None)
        origin = "the archive" if not isinstance(name, str) or name.startswith("<") else name
        return TarFiles(_gathered(source, origin, limits, spool), origin, limits)
    path = os.fspath(source)
    if os.path.isdir(path):
        return DirectoryFiles(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    file = open(descriptor, "rb", buffering=0)  # noqa: SIM115  # it is handed on
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        if regular and is_header(os.pread(descriptor, _BLOCK, 0)):
            return TarFiles(file, path, limits)
        spooled = (_spooled if regular else _gathered)(file, path, limits, spool)
    except BaseException:
        file.close()
        raise
    file.close()
    return TarFiles(spooled, path, limits)


def _gathered(source: BinaryIO, origin: str, limits: Limits, spool: Path | None) -> BinaryIO:
    """Put what comes out of a pipe into a file, inflated.

    It is read here and not in a thread that nobody could wake: whoever waits for a pipe may press Ctrl-C.
    """
    into = tempfile.TemporaryFile(dir=spool, buffering=0)  # noqa: SIM115  # it is handed on
    try:
        size = 0
        for piece in _pieces(source):
            into.write(piece)
            size += len(piece)
            limits.check("expanded", size, "the archive has more bytes")
        if is_header(os.pread(into.fileno(), _BLOCK, 0)):
            return into
        into.seek(0)
    except BaseException as error:
        into.close()
        raise _told(error, origin) from error
    with into:
        return _spooled(into, origin, limits, spool)


def _pieces(source: BinaryIO) -> Iterator[bytes]:
    waiting = None
    if isinstance(source, io.FileIO):
        # A signal between Python's last look for one and the read would be seen when that returns: never, maybe.
        waiting = select.poll()
        waiting.register(source, select.POLLIN)
    while True:
        while waiting is not None and not waiting.poll(_LOOK):
            pass
        piece = source.read(1 << 20)
        if not piece:
            return
        yield piece


def _spooled(source: BinaryIO, origin: str, limits: Limits, spool: Path | None) -> BinaryIO:
    into = tempfile.TemporaryFile(dir=spool, buffering=0)  # noqa: SIM115  # it is handed on
    try:
        with LayerStream(source, limits=limits) as stream:
            for chunk in stream:
                into.write(chunk)
            size = stream.finish().uncompressed
    except BaseException as error:
        into.close()
        raise _told(error, origin) from error
    if size == 0:
        into.close()
        raise errors.ImageFormatError(f"{origin} is empty: give an OCI or docker archive, or a layout directory")
    return into


def _told(error: BaseException, origin: str) -> BaseException:
    if isinstance(error, errors.LimitError):
        return errors.LimitError(f"{origin}: {error}", limit=error.limit)
    if isinstance(error, (errors.ImageFormatError, errors.MediaTypeError)):
        return type(error)(f"{origin}: {error}") if type(error) in _RENAMED else error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return errors.StoreFullError(
            f"no space to unpack {origin}: free some, or decompress it elsewhere and load that"
        )
    return error


_LOOK = 200
"""Milliseconds to wait for a pipe before signals are looked for."""

_RENAMED = (errors.ImageFormatError, errors.LayerFormatError, errors.MediaTypeError)


@contextlib.contextmanager
def replacing(target: str | os.PathLike[str] | BinaryIO, *, durable: bool = False) -> Iterator[BinaryIO]:
    """Open a file that takes the place of another when it is whole; nothing stays of it where the body fails.

    :param target: its path; or a file that is written to as it is, which cannot be taken back.
    :param durable: make it survive a power cut.
    :raises ExistsError: there is something at the path that is no regular file.
    """
    if not isinstance(target, (str, os.PathLike)):
        yield target
        target.flush()
        return
    path = os.path.abspath(os.fspath(target))
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
        if stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
            with open(path, "wb", buffering=0) as device:
                yield device
            return
        if not stat.S_ISREG(mode):
            raise errors.ExistsError(f"{path} is there and no file: name another one", filename=path)
        path = os.path.realpath(path)
    temporary = f"{os.path.dirname(path)}/.{os.path.basename(path)[:100]}.{os.urandom(8).hex()}"
    file = open(temporary, "xb")  # noqa: SIM115  # below
    try:
        with file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def write_archive(
    out: BinaryIO,
    documents: Mapping[str, bytes],
    blobs: Mapping[str, tuple[int, Callable[[], BinaryIO]]],
    *,
    compression: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Write a tar archive of a layout: the same bytes for the same content.

    :param out: gets it.
    :param documents: small files by their names, written first and in order.
    :param blobs: size and opener by digest.
    :param compression: of the whole, ``"gzip"`` or ``"zstd"``; ``None`` for none.
    :param progress: called with digest, bytes done and bytes in all.
    :raises DigestMismatchError: a blob is not what its digest says.
    """
    with compressed(out, compression or "none") as packed:
        for name, data in documents.items():
            packed.write(header(name, len(data)) + data + _padding(len(data)))
        packed.write(header("blobs", 0, directory=True))
        algorithm = ""
        for digest in sorted(blobs):
            size, open_blob = blobs[digest]
            if algorithm != (algorithm := digest.partition(":")[0]):
                packed.write(header(f"blobs/{algorithm}", 0, directory=True))
            packed.write(header(f"blobs/{digest.replace(':', '/')}", size))
            copy_blob(open_blob, packed.write, digest, size, progress)
            packed.write(_padding(size))
        packed.write(_END)


def copy_blob(
    open_blob: Callable[[], BinaryIO],
    write: Callable[[bytes], object],
    digest: str,
    size: int,
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Copy a blob, and check that it is the one.

    :raises DigestMismatchError: it is another.
    """
    hashed = new_hash(digest)
    done = 0
    with open_blob() as blob:
        while data := blob.read(min(_CHUNK, size - done + 1)):
            done += len(data)
            if done > size:
                break
            hashed.update(data)
            write(data)
            if progress is not None:
                progress(digest, done, size)
    actual = f"{hashed.name}:{hashed.hexdigest()}"
    if done != size or actual != digest:
        raise errors.DigestMismatchError(
            f"the blob {digest} of the store has other content: load or pull its image again",
            expected=digest,
            actual=actual,
        )


def _padding(size: int) -> bytes:
    return b"\0" * (-size % _BLOCK)
