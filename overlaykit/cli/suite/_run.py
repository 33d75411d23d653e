"""Starts pytest and reads what it reports."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ...conformance import Result, RunFacts
from ...errors import OverlaykitError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

__all__ = ["REPORT_FD", "SuiteRun", "run_suite"]

REPORT_FD = "OVERLAYKIT_REPORT_FD"
"""The environment variable with the number of the descriptor that the reporter writes to."""

_STARTED = "started"
_PATIENCE = 30
"""Seconds that a test has to clean up after itself when it is interrupted."""


def test_started(test: str) -> str:
    """Return the line that says which test runs now."""
    return json.dumps({_STARTED: test})


SuiteRun = RunFacts | Result
"""What a run tells: first what is tested, then each test that has ended."""


def run_suite(driver: str, extra: Sequence[str]) -> Iterator[SuiteRun]:
    """Run the conformance suite on a driver: yield what is tested, then each test's result as it ends.

    :param driver: its name.
    :param extra: further arguments for pytest.
    :raises UnsupportedError: pytest or hypothesis is not installed.
    :raises OverlaykitError: the suite could not be run; the message is pytest's own.
    """
    missing = [name for name in ("pytest", "hypothesis") if importlib.util.find_spec(name) is None]
    if missing:
        raise UnsupportedError(
            f"the conformance suite needs {' and '.join(missing)}: pip install overlaykit[conformance]"
        )
    with tempfile.TemporaryDirectory(prefix="overlaykit-suite-") as directory:
        # A configuration of its own: the working directory's is about other tests.
        configuration = Path(directory, "pytest.ini")
        configuration.write_text("[pytest]\n")
        log = Path(directory, "log")
        words = [sys.executable, "-P", "-m", "pytest", "--pyargs", "overlaykit.conformance"]
        # The suite has no conftest; one above a source tree is about that tree's own tests.
        words += ["--noconftest", "-c", str(configuration), "--rootdir", directory, "-p", "no:cacheprovider", "-q"]
        words += ["-p", "overlaykit.conformance.plugin", "-p", "overlaykit.cli.suite.reporter"]
        words += ["--overlaykit-driver", driver, *extra]
        with open(log, "wb") as output:
            code = yield from _read_results(words, output.fileno())
        # 5: the expression selects no test, which the caller sees.
        if code not in (0, 1, 5):
            raise OverlaykitError(f"the conformance suite could not be run: {_last_words(log)}")


def _read_results(words: list[str], log: int) -> Generator[SuiteRun, None, int]:
    reader, writer = os.pipe()
    with open(reader, encoding="utf-8") as lines:
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[writer],
                # A Ctrl-C is for this process, which hands it on: a second one would disturb the cleaning up.
                process_group=0,
                env=_environment() | {REPORT_FD: str(writer)},
            )
        finally:
            os.close(writer)
        try:
            running = ""
            for line in lines:
                started = json.loads(line).get(_STARTED)
                if started is None:
                    yield RunFacts.from_line(line) or Result.from_line(line)
                else:
                    running = started
            return process.wait()
        except KeyboardInterrupt as error:
            # Of a test that never ends nothing else is ever told.
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                process.send_signal(signal.SIGINT)
                process.wait(_PATIENCE)
            if running:
                error.add_note(f"in the test {running}; --only {shlex.quote(running)} runs it alone")
            raise
        finally:
            # Reached early where the reader stops: interrupted, or its output closed.
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            process.wait()


def _environment() -> dict[str, str]:
    # Other plugins that happen to be installed, and what PYTEST_ADDOPTS says, are for other tests.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return kept | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR:", "E  ", "Error"))]
    return (errors or lines or ["pytest said nothing"])[-1].removeprefix("ERROR: ")
