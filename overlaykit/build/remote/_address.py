"""Which sources of ADD are addresses, and of what (Dockerfile reference, "ADD")."""

from __future__ import annotations

import re
from typing import Self

from ... import errors
from ...values import value_class

__all__ = ["GitAddress", "file_name", "is_http", "without_password"]

_SCHEMES = ("http", "https", "ssh", "git")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SCP = re.compile(r"[A-Za-z0-9_][\w.-]*@[A-Za-z0-9][\w.-]*:(?!//).+")
_USER = re.compile(r"(?<=://)[^/@]*@")


def without_password(address: str) -> str:
    """Return an address for a message: without who asks, and not too long."""
    return _USER.sub("", address)[:200]


def is_http(source: str) -> bool:
    """Tell whether a source is the address of a file, and no path and no repository.

    :raises BuildError: it is an address of a kind that is not fetched.
    """
    scheme, there, _ = source.partition("://")
    scheme = scheme.lower()
    if there and scheme in ("ftp", "ftps", "sftp", "file"):
        raise errors.BuildError(f"{without_password(source)} is not fetched here: http, https and Git repositories are")
    return bool(there) and scheme in ("http", "https") and not _path(source).endswith(".git")


def _path(source: str) -> str:
    return source.partition("#")[0].partition("?")[0]


def file_name(address: str) -> str:
    """Return what the file of an address is called.

    :raises BuildError: it can have no name.
    """
    import posixpath
    import urllib.parse

    try:
        path = urllib.parse.urlsplit(address).path
    except ValueError:
        raise errors.BuildError(f"{without_password(address)} is no address: check it") from None
    name = posixpath.basename(urllib.parse.unquote(path)) or "index.html"
    if name in (".", "..") or "\0" in name or "/" in name:
        raise errors.BuildError(f"{without_password(address)} ends in no name of a file: check the address")
    return name


@value_class
class GitAddress:
    """A repository, as BuildKit writes one: ``REMOTE#REF:DIRECTORY``.

    :param remote: what git is given.
    :param ref: a branch, a tag or a commit; ``""`` for the remote's own choice.
    :param directory: the directory in it that is meant; ``""`` for all.
    """

    remote: str
    ref: str = ""
    directory: str = ""

    @classmethod
    def parse(cls, source: str) -> Self | None:
        """Return the repository that a source is, ``None`` where it is none.

        ``http`` and ``https`` need a path that ends in ``.git``; ``git``, ``ssh`` and ``user@host:path`` are always
        repositories.

        :raises BuildError: what follows its ``#`` can be none.
        """
        scheme, there, _ = source.partition("://")
        scheme = scheme.lower() if there else ""
        if scheme in ("http", "https"):
            if not _path(source).endswith(".git"):
                return None
        elif scheme not in _SCHEMES and not (not there and _SCP.fullmatch(source)):
            return None
        remote, _, fragment = source.partition("#")
        ref, _, directory = fragment.partition(":")
        parts = [part for part in directory.split("/") if part not in ("", ".")]
        # What begins with a dash would be an option of git's, and .git is no part of what it has.
        if ref.startswith("-") or ".." in parts or ".git" in parts or not (ref + directory).isprintable():
            raise errors.BuildError(
                f"{without_password(source)} names no branch, tag or commit and a directory in it: write "
                "REPOSITORY#REF:DIRECTORY"
            )
        return cls(remote, ref, "/".join(parts))

    @property
    def commit(self) -> str:
        """The commit, where the reference is one; else ``""``."""
        return self.ref if _COMMIT.fullmatch(self.ref) else ""

    def __str__(self) -> str:
        told = f"#{self.ref}" if self.ref or self.directory else ""
        return without_password(self.remote) + told + (f":{self.directory}" if self.directory else "")
