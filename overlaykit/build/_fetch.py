"""ADD: files from addresses, and archives that are unpacked."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import posixpath
import tempfile
import zlib
from typing import IO, TYPE_CHECKING, cast

from .. import errors
from ..values import field, value_class

if TYPE_CHECKING:
    import http.client
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from ..image import ImageStore
    from ..tree import Tree

__all__ = ["Fetched", "fetch", "is_address", "unpacked"]

_SECONDS = 60
_CHUNK = 1 << 20
_BLOCK = 512
_TAR = slice(257, 262)
_SUM = slice(148, 156)
_ZSTD = b"\x28\xb5\x2f\xfd"

LARGEST = 2 << 30
"""Bytes of a file that is fetched: it is held in memory."""


@value_class
class Fetched:
    """A file that is in no context.

    :param data: its content.
    :param modified: seconds since the epoch; ``None`` for now.
    """

    name: str
    data: bytes = field(repr=False)
    mode: int
    modified: int | None = None

    @property
    def digest(self) -> str:
        """Of its content."""
        return "sha256:" + hashlib.sha256(self.data).hexdigest()

    @contextlib.contextmanager
    def tree(self) -> Iterator[Tree]:
        """Show it in a tree of its own."""
        from ._origins import directory_tree

        with tempfile.TemporaryDirectory(prefix="overlaykit-add-") as directory:
            path = os.path.join(directory, self.name)
            with open(path, "wb") as file:
                file.write(self.data)
            os.chmod(path, self.mode)
            if self.modified is not None:
                os.utime(path, (self.modified, self.modified))
            with directory_tree(directory) as tree:
                yield tree


def is_address(source: str) -> bool:
    """Tell whether a source of ADD is an address and no path.

    :raises BuildError: it is one of a kind that is not fetched here.
    """
    scheme = source.partition("://")[0].lower()
    if ("://" in source and scheme in ("git", "ssh", "ftp")) or source.startswith("git@"):
        raise errors.BuildError(f"{source[:200]} is not fetched here: clone it into the context, or give its archive")
    if scheme in ("http", "https") and source.partition("#")[0].partition("?")[0].endswith(".git"):
        raise errors.BuildError(f"{source[:200]} is not cloned here: clone it into the context, or give its archive")
    return "://" in source and scheme in ("http", "https")


def fetch(address: str, checksum: str | None, check: Callable[[], object]) -> Fetched:
    """Fetch a file.

    :param checksum: what its digest must be.
    :param check: called now and then.
    :raises BuildError: it cannot be had, or is another one.
    """
    # Needed by few builds, and slow to import.
    import email.utils
    import http.client
    import urllib.error
    import urllib.parse
    import urllib.request

    name = posixpath.basename(urllib.parse.unquote(urllib.parse.urlsplit(address).path)) or "index.html"
    if name in (".", "..") or "\0" in name:
        raise errors.BuildError(f"{address[:200]} ends in no name of a file: check the address")
    try:
        with urllib.request.urlopen(address, timeout=_SECONDS) as answer:  # noqa: S310 - http and https alone
            data = _body(answer, address, check)
            told = answer.headers.get("Last-Modified")
    except urllib.error.HTTPError as error:
        error.close()
        raise errors.BuildError(
            f"{address[:200]} cannot be fetched: the server says {error.code}: check the address"
        ) from error
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        if isinstance(error, errors.OverlaykitError):
            raise
        reason = (str(getattr(error, "reason", error)).splitlines() or ["no reason given"])[0]
        raise errors.BuildError(f"{address[:200]} cannot be fetched: {reason:.200}: check the address") from error
    moment = None
    if told:
        with contextlib.suppress(ValueError, TypeError):
            moment = int(email.utils.parsedate_to_datetime(told).timestamp())
    fetched = Fetched(name, data, 0o600, moment)
    if checksum is not None and checksum != fetched.digest:
        raise errors.BuildError(
            f"{address[:200]} has the digest {fetched.digest} and should have {checksum}: check the address and the "
            "checksum"
        )
    return fetched


def _body(answer: http.client.HTTPResponse, address: str, check: Callable[[], object]) -> bytes:
    length = answer.headers.get("Content-Length", "")
    expected = int(length) if length.isdecimal() else None
    data = io.BytesIO()
    while piece := answer.read(_CHUNK):
        check()
        data.write(piece)
        if data.tell() > LARGEST:
            raise errors.BuildError(
                f"{address[:200]} has more than {LARGEST} bytes: fetch it in a RUN, or put it into the context"
            )
    # A connection that ends too early is no error to http.client where one reads piece by piece.
    if expected is not None and data.tell() != expected:
        raise errors.BuildError(f"{address[:200]} was cut off after {data.tell()} of {expected} bytes: try again")
    return data.getvalue()


@contextlib.contextmanager
def unpacked(store: ImageStore, tree: Tree, path: str) -> Iterator[Tree | None]:
    """Show what is in an archive; ``None`` where the file is none: its content decides, not its name.

    :raises BuildError: it is a damaged one.
    """
    if not _is_archive(tree, path):
        yield None
        return
    with tempfile.NamedTemporaryFile(dir=store.path, prefix="add-") as spool:
        try:
            with tree.open_raw(path, os.O_RDONLY) as file:
                _spool(file, spool)
            spool.flush()
            key = store.import_tree(spool.name).key
        except (errors.ImportSourceError, errors.ImageFormatError) as error:
            why = str(error).removeprefix(f"{spool.name} ")
            raise errors.BuildError(f"{path[:200]!r} cannot be unpacked: {why}") from error
    try:
        with store.tree(key, readonly=True) as inside:
            yield inside
    finally:
        store.remove(key)


def _spool(file: io.RawIOBase, spool: IO[bytes]) -> None:
    head = file.read(len(_ZSTD)) or b""
    file.seek(0)
    if head != _ZSTD:
        while piece := file.read(_CHUNK):
            spool.write(piece)
        return
    from ..changeset import LayerStream, Limits

    with LayerStream(cast("BinaryIO", file), limits=Limits.none()) as stream:
        for piece in stream:
            spool.write(piece)
        stream.finish()


def _is_archive(tree: Tree, path: str) -> bool:
    """Tell whether a file begins with the header of a tar archive, compressed or not."""
    if not tree.is_file(path):
        return False
    with tree.open_raw(path, os.O_RDONLY) as file:
        head = file.read(_BLOCK) or b""
        file.seek(0)
        with contextlib.suppress(EOFError, OSError, ValueError, zlib.error):
            head = _inflated(file, head)
    if len(head) < _BLOCK:
        return False
    if head[_TAR] == b"ustar":
        return True
    # Archives from before POSIX have a check sum and nothing else.
    told = head[_SUM].strip(b" \0")
    total = sum(head) - sum(head[_SUM]) + 8 * ord(" ")
    return bool(told) and told.isdigit() and told.translate(None, b"89") == told and int(told, 8) == total


def _inflated(file: io.RawIOBase, head: bytes) -> bytes:
    opened: IO[bytes]
    if head.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(31).decompress(file.read(1 << 16) or b"", _BLOCK)
    if head.startswith(b"BZh"):
        import bz2

        with bz2.BZ2File(cast("IO[bytes]", file)) as opened:
            return opened.read(_BLOCK)
    if head.startswith(b"\xfd7zXZ\0"):
        import lzma

        try:
            with lzma.LZMAFile(cast("IO[bytes]", file)) as opened:
                return opened.read(_BLOCK)
        except lzma.LZMAError as error:
            raise ValueError("no xz") from error
    if head.startswith(_ZSTD):
        from ..changeset import LayerStream, Limits

        try:
            with LayerStream(cast("BinaryIO", file), limits=Limits.none()) as stream:
                return next(iter(stream), b"")[:_BLOCK]
        except errors.ImageFormatError as error:
            raise ValueError("no zstd") from error
    return head
