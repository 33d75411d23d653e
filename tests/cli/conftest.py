"""The command line as users start it: a process of its own."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from testkit.starter import Starter, starting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Cli:
    """Starts ``overlaykit`` with a store of the test's own.

    :param store: the directory of the store, not made yet.
    :param starter: what starts it.
    """

    def __init__(self, store: Path, starter: Starter) -> None:
        self.store = store
        self._starter = starter
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OVERLAYKIT_", "NO_COLOR", "XDG_", "COLUMNS", "PYTHONPATH"))
        } | {
            "OVERLAYKIT_STORE": str(store),
            # What another user in the store means has tests of its own.
            "OVERLAYKIT_SUBIDS": "no",
            "TERM": "xterm-256color",
            "HOME": str(store.parent),
        }

    def run(self, *words: str | bytes, expect: int = 0, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command and check its exit code; names that are not UTF-8 come out surrogate-escaped."""
        ran = self._starter.run(words, self.environment, **options)
        assert ran.returncode == expect, (ran.returncode, ran.stdout, ran.stderr)
        return ran

    def lines(self, *words: str | bytes) -> list[str]:
        """Run a command and return what it writes, line by line."""
        return self.run(*words).stdout.splitlines()

    def json(self, *words: str | bytes) -> Any:
        """Run a command with --json and return its document."""
        ran = self.run(*words, "--json")
        assert ran.stderr == ""
        return json.loads(ran.stdout)

    def error(self, *words: str | bytes, code: int) -> str:
        """Run a command that fails and return its one line, without the program's name."""
        ran = self.run(*words, expect=code)
        assert ran.stderr.startswith("overlaykit: ")
        assert ran.stderr.count("\n") == 1
        return ran.stderr.removeprefix("overlaykit: ").rstrip("\n")

    def error_json(self, *words: str | bytes, code: int) -> dict[str, Any]:
        """Run a command that fails with --json and return its error object."""
        ran = self.run(*words, "--json", expect=code)
        assert ran.stdout == ""
        document = json.loads(ran.stderr)
        assert set(document) == {"error"}
        error: dict[str, Any] = document["error"]
        assert set(error) == {"kind", "errno", "exit", "message"}
        assert error["exit"] == code
        return error

    def on_terminal(self, *words: str | bytes) -> str:
        """Run a command with a terminal of 80 columns as its output and return what it writes there."""
        ours, theirs = pty.openpty()
        environment = self.environment | {"COLUMNS": "80"}
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "overlaykit", *words], env=environment, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        written = b""
        with open(ours, "rb", buffering=0) as terminal:
            try:
                while block := terminal.read(4096):
                    written += block
            except OSError:  # EIO: the other side is closed
                pass
        assert process.wait() == 0, written
        return written.decode("utf-8", "surrogateescape").replace("\r\n", "\n")


@pytest.fixture(scope="module")
def starter(request: pytest.FixtureRequest) -> Iterator[Starter]:
    """What starts the command line."""
    if os.geteuid() == 0:
        # Before, so that what is mounted there is seen by what is started.
        request.getfixturevalue("mount_namespace")
    with starting() as one:
        yield one


@pytest.fixture
def cli(tmp_path: Path, starter: Starter) -> Cli:
    """The command line with an empty place for a store."""
    return Cli(tmp_path / "store", starter)


@pytest.fixture
def stocked(cli: Cli, tmp_path: Path) -> Cli:
    """The command line with a store: the layers base and app, the container web, the view look."""
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "motd").write_text("hello\n")
    (root / "etc" / "old").write_text("old\n")
    (root / "link").symlink_to("etc/motd")
    cli.run("import", str(root), "base", "--label", "made=today")
    cli.run("prepare", "work", "base")
    cli.run("commit", "work", "app")
    cli.run("prepare", "web", "app", "--label", "role=web")
    cli.run("view", "look", "app")
    return cli
