"""ADD: files from addresses, and archives that are unpacked."""

from __future__ import annotations

import contextlib
import email.utils
import hashlib
import io
import os
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .. import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..image import ImageStore
    from ..tree import Tree

__all__ = ["Fetched", "fetch", "is_address", "unpacked"]

_SECONDS = 60
_CHUNK = 1 << 20
_MAGIC = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")
_TAR = slice(257, 262)


@dataclass(frozen=True, slots=True)
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
    if scheme in ("http", "https") and urllib.parse.urlsplit(source).path.endswith(".git"):
        raise errors.BuildError(f"{source[:200]} is not cloned here: clone it into the context, or give its archive")
    return "://" in source and scheme in ("http", "https")


def fetch(address: str, checksum: str | None, check: Callable[[], object]) -> Fetched:
    """Fetch a file.

    :param checksum: what its digest must be.
    :param check: called now and then.
    :raises BuildError: it cannot be had, or is another one.
    """
    name = os.path.basename(urllib.parse.unquote(urllib.parse.urlsplit(address).path)) or "index.html"
    data = io.BytesIO()
    try:
        with urllib.request.urlopen(address, timeout=_SECONDS) as answer:  # noqa: S310 - http and https alone
            while piece := answer.read(_CHUNK):
                check()
                data.write(piece)
            told = answer.headers.get("Last-Modified")
    except (urllib.error.URLError, OSError) as error:
        raise errors.BuildError(f"{address[:200]} cannot be fetched: {error}: check the address") from error
    moment = None
    if told:
        with contextlib.suppress(ValueError, TypeError):
            moment = int(email.utils.parsedate_to_datetime(told).timestamp())
    fetched = Fetched(name, data.getvalue(), 0o600, moment)
    if checksum is not None and checksum != fetched.digest:
        raise errors.BuildError(
            f"{address[:200]} has the digest {fetched.digest} and should have {checksum}: check the address and the "
            "checksum"
        )
    return fetched


@contextlib.contextmanager
def unpacked(store: ImageStore, tree: Tree, path: str) -> Iterator[Tree | None]:
    """Show what is in an archive; ``None`` where the file is none."""
    if not _looks_packed(tree, path):
        yield None
        return
    with tempfile.NamedTemporaryFile(dir=store.path, prefix="add-") as spool:
        with tree.open_raw(path, os.O_RDONLY) as file:
            while piece := file.read(_CHUNK):
                spool.write(piece)
        spool.flush()
        try:
            key = store.import_tree(spool.name).key
        except errors.ImportSourceError:
            key = None
    if key is None:
        yield None  # compressed, and no archive
        return
    try:
        with store.tree(key, readonly=True) as inside:
            yield inside
    finally:
        store.remove(key)


def _looks_packed(tree: Tree, path: str) -> bool:
    if not tree.is_file(path):
        return False
    with tree.open_raw(path, os.O_RDONLY) as file:
        head = file.read(_TAR.stop) or b""
    return head.startswith(_MAGIC) or head[_TAR] == b"ustar"
