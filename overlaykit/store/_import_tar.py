"""A tar archive is read as a stream and written into a tree."""

from __future__ import annotations

import contextlib
import os
import posixpath
import stat
import tarfile
import zlib
from typing import IO, TYPE_CHECKING, Any, Final

from .. import errors
from ..tree import change_order

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._import import Importer

__all__ = ["import_tar"]

_XATTR: Final = "SCHILY.xattr."
_MOST_LINKS: Final = 40
_KINDS: Final = {
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}


class _Header(tarfile.TarInfo):
    """A header that says why the archive ended: :mod:`tarfile` itself takes a damaged one for the end."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> _Header:
        """Read the next header."""
        try:
            return super().fromtarfile(tarfile)
        except Exception as error:
            tarfile.ending = error  # type: ignore[attr-defined]
            raise


def import_tar(file: IO[bytes], name: str, importer: Importer) -> None:
    """Write an archive's entries into a tree.

    The rules are those of OCI layers (image specification, layer.md) without whiteouts. Every path is resolved inside
    the tree. The stream is read to its end, so that a compressor's check sum is checked.

    :param name: the archive's, for messages.
    :raises ImportSourceError: it is damaged or no archive.
    """
    try:
        with _decompressed(file) as plain:
            with tarfile.open(
                fileobj=plain, mode="r:", tarinfo=_Header, encoding="utf-8", errors="surrogateescape"
            ) as archive:
                unpacker = _Unpacker(archive, importer)
                while (member := archive.next()) is not None:
                    unpacker.add(member)
                    archive.members.clear()  # type: ignore[attr-defined]  # it would keep every header
                _check_end(archive)
            while plain.read(1 << 20):
                pass
    except errors.OverlaykitError:
        raise
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise _damaged(name, error) from error
    except (OSError, ValueError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _damaged(name, error) from error  # gzip and bz2 raise a bare OSError, tarfile a ValueError
    except Exception as error:
        if type(error).__name__ in ("LZMAError", "ZstdError"):
            raise _damaged(name, error) from error
        raise
    unpacker.finish()


def _damaged(name: str, error: Exception) -> errors.ImportSourceError:
    reason = (str(error).splitlines() or ["no reason given"])[0]
    return errors.ImportSourceError(f"{name} is damaged or no tar archive ({reason:.200}): get it again")


def _check_end(archive: tarfile.TarFile) -> None:
    ending = getattr(archive, "ending", None)
    if not isinstance(ending, tarfile.EOFHeaderError):  # type: ignore[attr-defined]
        raise tarfile.ReadError(f"it ends without its end mark: {ending or 'it is cut off'}")


@contextlib.contextmanager
def _decompressed(file: IO[bytes]) -> Iterator[IO[bytes]]:
    # tarfile's own streams leave out the check sums and cannot skip holes.
    assert hasattr(file, "peek")
    magic: bytes = file.peek(6)[:6]
    opened: Any
    if magic.startswith(b"\x1f\x8b"):
        import gzip

        opened = gzip.GzipFile(fileobj=file, mode="rb")
    elif magic.startswith(b"BZh"):
        import bz2

        opened = bz2.BZ2File(file)
    elif magic.startswith(b"\xfd7zXZ\x00"):
        import lzma

        opened = lzma.LZMAFile(file)  # noqa: SIM115
    elif magic.startswith(b"\x28\xb5\x2f\xfd"):
        raise errors.ImportSourceError("the archive is compressed with Zstandard: decompress it with 'zstd -d' first")
    else:
        yield file
        return
    with opened:
        yield opened


class _Unpacker:
    """Puts the entries of one archive where they belong.

    Directories get their attributes last, because their content changes their time and may need their mode.
    """

    def __init__(self, archive: tarfile.TarFile, importer: Importer) -> None:
        self._archive = archive
        self._importer = importer
        self._tree = importer.tree
        self._known = {""}
        self._later: dict[str, tarfile.TarInfo] = {}

    def add(self, member: tarfile.TarInfo) -> None:
        """Write one entry; a later one of the same path replaces an earlier one."""
        parts = _parts(member.name)
        parent = self._parent(parts[:-1], member.name)
        path = posixpath.join(parent, *parts[-1:])
        if member.isdir():
            self._make_directory(path)
            self._later[path] = member
            self._importer.count()
            return
        if not path:
            raise errors.ImportSourceError(f"{member.name!r:.200} names the root and is no directory: mend the archive")
        try:
            made = self._make(path, member)
        except FileExistsError:
            self._clear(path)
            made = self._make(path, member)
        if made:
            if not member.islnk():
                self._set_attributes(path, member)
            self._importer.count(member.size if member.isreg() else 0)

    def finish(self) -> None:
        """Set the directories' attributes, children first."""
        for path in sorted(self._later, key=change_order, reverse=True):
            self._set_attributes(path, self._later[path])
        self._importer.finish()

    def _make(self, path: str, member: tarfile.TarInfo) -> bool:
        if member.isreg():
            source = self._archive.extractfile(member)
            assert source is not None
            stretches: Any = member.sparse or [(0, member.size)]
            self._importer.write(path, source, [(at, size) for at, size in stretches if size], member.size)
        elif member.issym():
            self._tree.symlink(member.linkname, path)
        elif member.islnk():
            self._link(path, member)
        elif member.type in _KINDS:
            device = os.makedev(member.devmajor, member.devminor) if member.isdev() and not member.isfifo() else 0
            return self._importer.make_node(path, _KINDS[member.type] | member.mode, device)
        else:
            raise errors.ImportSourceError(
                f"{member.name!r:.200} has the unknown type {member.type!r}: mend the archive"
            )
        return True

    def _link(self, path: str, member: tarfile.TarInfo) -> None:
        parts = _parts(member.linkname)
        target = posixpath.join(self._parent(parts[:-1], member.linkname, make=False), *parts[-1:])
        try:
            if target != path:
                self._tree.link(target, path)
        except (FileNotFoundError, PermissionError) as error:
            raise errors.ImportSourceError(
                f"{member.name!r:.200} is a hard link to {member.linkname!r:.200}, which is not there or a directory"
            ) from error

    def _make_directory(self, path: str) -> None:
        if path in self._known:
            return
        try:
            self._tree.mkdir(path, 0o700)
        except FileExistsError:
            if not stat.S_ISDIR(self._tree.lstat(path).st_mode):
                self._clear(path)
                self._tree.mkdir(path, 0o700)
        self._known.add(path)

    def _clear(self, path: str) -> None:
        if not stat.S_ISDIR(self._tree.lstat(path).st_mode):
            self._tree.unlink(path)
            return
        self._tree.rmtree(path)
        inside = f"{path}/"
        self._known = {known for known in self._known if known != path and not known.startswith(inside)}
        self._later = {
            known: member for known, member in self._later.items() if known != path and not known.startswith(inside)
        }

    def _parent(self, parts: list[str], name: str, *, make: bool = True) -> str:
        """Return the directory that these names lead to inside the tree, with what is missing made on the way."""
        joined = "/".join(parts)
        if joined in self._known:
            return joined
        at, links = "", 0
        pending = parts[::-1]
        while pending:
            part = pending.pop()
            if part in ("", "."):
                continue
            if part == "..":
                at = posixpath.dirname(at)
                continue
            path = posixpath.join(at, part)
            if path not in self._known:
                try:
                    mode = self._tree.lstat(path).st_mode
                except FileNotFoundError:
                    if not make:
                        return joined
                    self._tree.mkdir(path, 0o755)
                    self._tree.chmod(path, 0o755)
                    mode = stat.S_IFDIR
                if stat.S_ISLNK(mode):
                    links += 1
                    if links > _MOST_LINKS:
                        raise errors.ImportSourceError(f"{name!r:.200} leads through a loop of links: mend the archive")
                    target = self._tree.readlink(path)
                    if target.startswith("/"):
                        at = ""
                    pending += target.split("/")[::-1]
                    continue
                if not stat.S_ISDIR(mode):
                    raise errors.ImportSourceError(f"{name!r:.200} is below {path!r:.200}, which is no directory")
                self._known.add(path)
            at = path
        return at

    def _set_attributes(self, path: str, member: tarfile.TarInfo) -> None:
        kind = stat.S_IFREG if member.isreg() else _KINDS[member.type]
        xattrs = {
            key.removeprefix(_XATTR): value.encode("utf-8", "surrogateescape")
            for key, value in member.pax_headers.items()
            if key.startswith(_XATTR)
        }
        self._importer.set_attributes(
            path, kind | stat.S_IMODE(member.mode), (member.uid, member.gid), _mtime(member), xattrs
        )


def _parts(name: str) -> list[str]:
    """Return a path's names with ``..`` resolved as text, which cannot go above the root."""
    clean = posixpath.normpath("/" + name).lstrip("/")
    return clean.split("/") if clean else []


def _mtime(member: tarfile.TarInfo) -> int:
    text = member.pax_headers.get("mtime")
    if text is None:
        return int(member.mtime) * 1_000_000_000
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    seconds, _, fraction = digits.partition(".")
    return sign * (int(seconds) * 1_000_000_000 + int(f"{fraction:0<9.9}"))
