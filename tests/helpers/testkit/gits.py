"""Git repositories, and servers of them on loopback: by HTTP with ``git http-backend``, and ``git daemon``."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from testkit.loops import need_tool
from testkit.registries import Quiet, free_port, serving
from testkit.waits import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Repository", "git_daemon", "git_http"]

_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.invalid",
    "GIT_COMMITTER_NAME": "C",
    "GIT_COMMITTER_EMAIL": "c@example.invalid",
}


class Repository:
    """A repository with a working tree; what it serves is that.

    :param path: an empty directory, or one to make.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seconds = 1_600_000_000
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main")
        (path / ".git" / "git-daemon-export-ok").touch()

    def git(self, *words: str) -> str:
        """Run git in it, and return what it writes."""
        when = {"GIT_AUTHOR_DATE": f"{self._seconds} +0000", "GIT_COMMITTER_DATE": f"{self._seconds} +0000"}
        ran = subprocess.run(
            [need_tool("git"), *words],
            cwd=self.path,
            env={**os.environ, **_ENVIRONMENT, **when},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        return ran.stdout.strip()

    def commit(self, **files: str) -> str:
        """Write files (``__`` is a slash), commit all, a second after the one before, and return the commit."""
        self._seconds += 1
        for name, content in files.items():
            path = self.path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "more")
        return self.git("rev-parse", "HEAD")


@contextlib.contextmanager
def git_http(root: Path, seen: list[dict[str, str]] | None = None, password: str = "") -> Iterator[str]:
    """Serve the repositories below a directory by HTTP; ``/NAME.git`` is ``NAME/.git``.

    :param seen: gets path and headers of each request.
    :param password: what ``Authorization`` must be.
    """
    program = Path(subprocess.check_output([need_tool("git"), "--exec-path"], text=True).strip()) / "git-http-backend"

    class Handler(Quiet):
        def get(self) -> None:
            if seen is not None:
                seen.append({"path": self.path, **self.headers})
            if password and self.headers.get("Authorization") != password:
                self.answer(401, WWW_Authenticate='Basic realm="x"')
                return
            path, _, query = self.path.partition("?")
            name, _, rest = path.lstrip("/").partition(".git")
            length = int(self.headers.get("Content-Length") or 0)
            ran = subprocess.run(
                [program],
                input=self.rfile.read(length),
                stdout=subprocess.PIPE,
                env={
                    **os.environ,
                    **_ENVIRONMENT,
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "GIT_PROJECT_ROOT": str(root),
                    "PATH_INFO": f"/{name}/.git{rest}",
                    "QUERY_STRING": query,
                    "REQUEST_METHOD": self.command,
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                    "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                    "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                    "REMOTE_USER": "",
                    # It serves the repositories of whoever made them.
                    "GIT_CONFIG_COUNT": "1",
                    "GIT_CONFIG_KEY_0": "safe.directory",
                    "GIT_CONFIG_VALUE_0": "*",
                },
            )
            head, _, body = ran.stdout.partition(b"\r\n\r\n")
            told = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            status = int(told.pop("Status", "200").split()[0])
            told.pop("Content-Length", None)
            self.answer(status, body, **{key.replace("-", "_"): value for key, value in told.items()})

        post = get

    with serving(Handler) as host:
        yield f"http://{host}"


@contextlib.contextmanager
def git_daemon(root: Path) -> Iterator[str]:
    """Serve the repositories below a directory by git's own protocol."""
    program = Path(subprocess.check_output([need_tool("git"), "--exec-path"], text=True).strip()) / "git-daemon"
    port = free_port()
    words = [f"--base-path={root}", "--listen=127.0.0.1", f"--port={port}", "--reuseaddr"]
    process = subprocess.Popen(
        [str(program), *words], env={**os.environ, **_ENVIRONMENT}, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        yield f"git://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
