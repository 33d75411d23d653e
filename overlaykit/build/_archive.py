"""Archives that ADD unpacks."""

from __future__ import annotations

import contextlib
import os
import tempfile
import zlib
from typing import IO, TYPE_CHECKING, cast

from .. import errors
from ..store import unpack_archive

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator
    from typing import BinaryIO

    from ..image import ImageStore
    from ..tree import Tree

__all__ = ["unpacked"]

_CHUNK = 1 << 20
_BLOCK = 512
_TAR = slice(257, 262)
_SUM = slice(148, 156)
_ZSTD = b"\x28\xb5\x2f\xfd"


@contextlib.contextmanager
def unpacked(store: ImageStore, tree: Tree, path: str) -> Iterator[Tree | None]:
    """Show what is in an archive; ``None`` where the file is none: its content decides, not its name.

    :raises BuildError: it is a damaged one.
    """
    if not _is_archive(tree, path):
        yield None
        return
    with store.snapshot() as working:
        try:
            # Without a name it is gone when this process is.
            with tempfile.TemporaryFile(dir=store.path) as spool:
                with tree.open_raw(path, os.O_RDONLY) as file:
                    _spool(file, spool)
                spool.flush()
                spool.seek(0)
                unpack_archive(spool, working.tree, path[:200], store)
        except (errors.ImportSourceError, errors.ImageFormatError) as error:
            why = str(error).removeprefix(f"{path[:200]} ")
            raise errors.BuildError(f"{path[:200]!r} cannot be unpacked: {why}") from error
        yield working.tree


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
