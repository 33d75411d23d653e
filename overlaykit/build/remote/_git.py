"""Git repositories, by the program git: a commit's files, and those of its submodules."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ... import errors
from ._address import without_password

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from .._control import Control
    from ._address import GitAddress

__all__ = ["GitTree", "find_commit"]

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SECRETS = ("GIT_AUTH_TOKEN", "GIT_AUTH_HEADER")


class _Git:
    """The program, for one repository.

    :param secret: returns a secret of the build by its id, for ``GIT_AUTH_TOKEN`` and ``GIT_AUTH_HEADER``, each also
        with ``.HOST`` (Docker's "Git authentication for remote contexts").
    """

    def __init__(self, address: GitAddress, control: Control, secret: Callable[[str], bytes | None]) -> None:
        found = shutil.which("git")
        if found is None:
            raise errors.BuildError(
                f"{address} is a Git repository, and there is no program git here: install git, or clone it into the "
                "context"
            )
        self._program = found
        self._address = address
        self._control = control
        # Nothing of this machine's settings, and no question to anybody: the same files everywhere.
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | {
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "http:https:ssh:git",
            "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes"),
            "LC_ALL": "C",
            **_authorization(address, secret),
        }

    def run(self, *words: str, where: Path | None = None, **more: str) -> str:
        """Run it, and return what it writes.

        :raises BuildError: it fails.
        """
        process = subprocess.Popen(
            [self._program, *words],
            cwd=where,
            env=self._environment | more,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # It has children of its own, which end with it.
            process_group=0,
        )

        def end() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)

        try:
            with self._control.ending(end):
                out, said = process.communicate()
        except BaseException:
            end()
            process.communicate()
            raise
        self._control.check()
        if process.returncode:
            lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
            why = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1] if lines else "")
            why = without_password(why.partition(": ")[2] or why or f"git ended with {process.returncode}")
            raise errors.BuildError(f"{self._address} cannot be fetched: {why.rstrip('.')}; check the address")
        return out.decode("utf-8", "surrogateescape")


def _authorization(address: GitAddress, secret: Callable[[str], bytes | None]) -> Mapping[str, str]:
    parts = urlsplit(address.remote)
    if parts.scheme not in ("http", "https"):
        return {}
    host = parts.hostname or ""
    for name in (f"{one}{suffix}" for suffix in (f".{host}", "") for one in _SECRETS):
        data = secret(name)
        if data is None:
            continue
        value = data.decode("utf-8", "surrogateescape").strip()
        if name.startswith("GIT_AUTH_TOKEN"):
            value = "basic " + base64.b64encode(f"x-access-token:{value}".encode()).decode()
        # In the environment, where no other user sees it, and for this server alone.
        return {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"http.{parts.scheme}://{parts.netloc.rpartition('@')[2]}/.extraheader",
            "GIT_CONFIG_VALUE_0": f"Authorization: {value}",
        }
    return {}


def find_commit(
    address: GitAddress, checksum: str | None, control: Control, secret: Callable[[str], bytes | None]
) -> str:
    """Return the commit that a repository's reference means now.

    :param checksum: what it must begin with: ``--checksum``.
    :raises BuildError: there is no such repository or reference, it is another commit, or there is no git.
    """
    commit = address.commit or _resolve(address, control, secret)
    if checksum is not None and not commit.startswith(checksum):
        raise errors.BuildError(
            f"{address} is the commit {commit} and should be {checksum[:100]}: check the reference and the checksum"
        )
    return commit


def _resolve(address: GitAddress, control: Control, secret: Callable[[str], bytes | None]) -> str:
    ref = address.ref or "HEAD"
    lines = _Git(address, control, secret).run("ls-remote", "--", address.remote, ref, f"{ref}^{{}}").splitlines()
    found = {name: commit for commit, _, name in (line.partition("\t") for line in lines)}
    # Branches before tags, as git-checkout(1) and BuildKit have it; what an annotated tag is of, not the tag.
    for name in (ref, f"refs/{ref}", f"refs/heads/{ref}", f"refs/tags/{ref}"):
        commit = found.get(f"{name}^{{}}") or found.get(name) or ""
        if _COMMIT.fullmatch(commit):
            return commit
    raise errors.BuildError(f"{address} has no branch or tag {ref[:100]!r}: check the part after the #")


class GitTree:
    """The files of a commit in a directory.

    :param address: the repository.
    :param commit: which one.
    :param keep: keep ``.git``, with this commit alone as its history.
    """

    def __init__(
        self,
        address: GitAddress,
        commit: str,
        control: Control,
        secret: Callable[[str], bytes | None],
        *,
        keep: bool = False,
    ) -> None:
        self._address = address
        self._commit = commit
        self._keep = keep
        self._git = _Git(address, control, secret)

    def check_out(self, directory: Path) -> Path:
        """Put them into an empty directory; return the directory in it that the address names.

        All of them have the commit's time, so that the same commit gives the same layer.

        :raises BuildError: there is no such commit or directory.
        """
        git, remote = self._git.run, self._address.remote
        git("init", "--quiet", "--initial-branch=main", ".", where=directory)
        git("remote", "add", "--", "origin", without_user(remote), where=directory)
        self._fetch(directory)
        git("-c", "advice.detachedHead=false", "checkout", "--quiet", "--force", self._commit, "--", where=directory)
        if (directory / ".gitmodules").is_file():
            git("submodule", "update", "--quiet", "--init", "--recursive", "--depth=1", where=directory)
        seconds = int(git("show", "--no-patch", "--format=%ct", self._commit, where=directory))
        if not self._keep:
            for name in self._git_directories(directory):
                shutil.rmtree(name) if name.is_dir() else name.unlink()
        else:
            (directory / ".git" / "FETCH_HEAD").unlink(missing_ok=True)
        _set_times(directory, seconds)
        found = directory / self._address.directory
        inside = os.path.realpath(found)
        if not os.path.isdir(inside) or os.path.commonpath((inside, os.path.realpath(directory))) != os.path.realpath(
            directory
        ):
            raise errors.BuildError(f"{self._address} has no directory {self._address.directory[:100]!r}: check it")
        return found

    def _fetch(self, directory: Path) -> None:
        remote = self._address.remote
        try:
            self._git.run("fetch", "--quiet", "--no-tags", "--depth=1", "--", remote, self._commit, where=directory)
        except errors.BuildError:
            # Not every server gives a commit by its name: then all that has one of their names.
            wanted = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
            self._git.run("fetch", "--quiet", "--", remote, *wanted, where=directory)

    @staticmethod
    def _git_directories(directory: Path) -> list[Path]:
        return [directory / ".git", *(one for one in directory.rglob(".git") if one.parent != directory)]


def without_user(remote: str) -> str:
    """Return an address without who asks, for what is kept."""
    scheme, there, rest = remote.partition("://")
    if not there or scheme not in ("http", "https"):
        return remote
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def _set_times(directory: Path, seconds: int) -> None:
    for path, directories, files in os.walk(directory, topdown=False):
        for name in (*directories, *files):
            os.utime(os.path.join(path, name), (seconds, seconds), follow_symlinks=False)
    os.utime(directory, (seconds, seconds))
