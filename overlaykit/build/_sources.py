"""What COPY and ADD take from elsewhere than a tree: here-documents, files by HTTP, Git repositories."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from typing import TYPE_CHECKING, Any, Protocol

from .. import errors
from . import dockerfile as ast
from ._request import load_secret
from ._scratch import scratch_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..tree import Tree
    from ._control import Control
    from ._events import Reporter
    from ._request import BuildRequest
    from ._store import BuildStore
    from .remote import Downloads, GitAddress

__all__ = ["Remotes", "Source", "WrittenFile"]

_CHUNK = 1 << 20


class Source(Protocol):
    """Something to copy."""

    @property
    def key(self) -> Any:
        """What the result depends on."""

    @property
    def name(self) -> str:
        """The file's name; ``"."`` where it is a directory whose content is meant."""

    @property
    def is_remote(self) -> bool:
        """Whether ``ADD --unpack`` is about it."""

    def tree(self) -> contextlib.AbstractContextManager[Tree]:
        """Show it in a tree of its own."""


class WrittenFile:
    """A here-document."""

    is_remote = False

    def __init__(self, store: BuildStore, document: ast.Heredoc) -> None:
        self._store = store
        self._data = document.body.encode()
        self.name = str(document.name)

    @property
    def key(self) -> Any:
        """Its name, content and mode."""
        return self.name, "sha256:" + hashlib.sha256(self._data).hexdigest(), 0o644

    @contextlib.contextmanager
    def tree(self) -> Iterator[Tree]:
        """Show it in a tree of its own."""
        from ..store import begin_layer

        with begin_layer(self._store, None) as working:
            working.tree.write_bytes(self.name, self._data)
            working.tree.chmod(self.name, 0o644)
            yield working.tree


class Remotes:
    """Fetches what ADD names by address, for one build. Closing it closes connections."""

    def __init__(self, store: BuildStore, request: BuildRequest, control: Control) -> None:
        self._store = store
        self._request = request
        self._control = control
        self._lock = threading.Lock()
        self._downloads: Downloads | None = None

    def close(self) -> None:
        """Close the connections."""
        if self._downloads is not None:
            self._downloads.close()

    def find(self, source: str, one: ast.Transfer, reporter: Reporter) -> Source | None:
        """Return what a source of an instruction is; ``None`` for a path.

        :raises BuildError: it cannot be had.
        """
        if not isinstance(one, ast.Add) or not ("://" in source or "@" in source):
            return None
        from .remote import GitAddress, is_http

        checksum = str(one.checksum) if one.checksum else None
        repository = GitAddress.parse(source)
        if repository is not None:
            return RemoteRepository(self, repository, checksum, reporter, keep=one.keep_git_dir)
        if not is_http(source):
            return None
        if checksum is not None and ":" not in checksum:
            if len(checksum) != 64:
                raise errors.BuildError(f"--checksum={checksum} is no digest of a file: write sha256: and 64 digits")
            checksum = f"sha256:{checksum}"
        return RemoteFile(self, source, checksum, reporter)

    def download(self, address: str, checksum: str | None, reporter: Reporter) -> tuple[str, int]:
        """Return the digest of a file, which is a blob of the store then, and its time."""
        from .remote import Downloads

        with self._lock:
            if self._downloads is None:
                from ..image.registry import Options

                options = self._request.registry or Options()
                self._downloads = Downloads(self._store.content, self._store.build_downloads, options, self._control)
        with reporter.step(_shown(address)) as step:
            found = self._downloads.get(address, checksum, step.progress)
        return found.digest, found.modified

    def commit(self, address: GitAddress, checksum: str | None, reporter: Reporter) -> str:
        """Return the commit that a repository's reference means."""
        from .remote import find_commit

        if address.commit:
            return find_commit(address, checksum, self._control, self._secret)
        with reporter.step(f"[internal] look up {address}"):
            return find_commit(address, checksum, self._control, self._secret)

    @contextlib.contextmanager
    def checked_out(self, address: GitAddress, commit: str, reporter: Reporter, *, keep: bool) -> Iterator[Tree]:
        """Show a commit's files."""
        from ._origins import directory_tree
        from .remote import GitTree

        with scratch_directory(self._store) as place:
            with reporter.step(str(address)):
                git = GitTree(address, commit, self._control, self._secret, keep=keep)
                found = git.check_out(place)
            with directory_tree(found) as tree:
                yield tree

    @contextlib.contextmanager
    def blob(self, name: str, digest: str, modified: int) -> Iterator[Tree]:
        """Show a blob as a file."""
        from ..store import begin_layer

        with begin_layer(self._store, None) as working:
            tree = working.tree
            with self._store.content.open(digest) as file, tree.open(name, "wb") as copy:
                while piece := file.read(_CHUNK):
                    self._control.check()
                    copy.write(piece)
            tree.chmod(name, 0o600)
            tree.utime(name, ns=(modified * 10**9, modified * 10**9))
            yield tree

    def _secret(self, id: str) -> bytes | None:
        secret = self._request.secrets.get(id)
        return None if secret is None else load_secret(id, secret)


class RemoteFile:
    """A file by HTTP. With a checksum it is fetched only where its content is needed."""

    is_remote = True

    def __init__(self, remotes: Remotes, address: str, checksum: str | None, reporter: Reporter) -> None:
        from .remote import file_name

        self.name = file_name(address)
        known = checksum if checksum is not None and checksum.startswith("sha256:") else None
        self._fetch: Callable[[], tuple[str, int]] = lambda: remotes.download(address, checksum, reporter)
        self._remotes = remotes
        self._digest = known or self._fetch()[0]

    @property
    def key(self) -> Any:
        """Its name, content and mode."""
        return self.name, self._digest, 0o600

    @contextlib.contextmanager
    def tree(self) -> Iterator[Tree]:
        """Show it in a tree of its own."""
        digest, modified = self._fetch()
        with self._remotes.blob(self.name, digest, modified) as tree:
            yield tree


class RemoteRepository:
    """The files of a Git repository, which are fetched only where they are needed: a commit is what is in it."""

    is_remote = False
    name = "."

    def __init__(
        self, remotes: Remotes, address: GitAddress, checksum: str | None, reporter: Reporter, *, keep: bool
    ) -> None:
        self._remotes = remotes
        self._address = address
        self._keep = keep
        self._reporter = reporter
        self._commit = remotes.commit(address, checksum, reporter)

    @property
    def key(self) -> Any:
        """The commit, the directory in it, and whether ``.git`` stays."""
        return "git", self._commit, self._address.directory, self._keep

    def tree(self) -> contextlib.AbstractContextManager[Tree]:
        """Show them in a tree."""
        return self._remotes.checked_out(self._address, self._commit, self._reporter, keep=self._keep)


def _shown(address: str) -> str:
    from .remote import without_password

    return without_password(address)
