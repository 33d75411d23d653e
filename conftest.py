"""What holds for every test of the project: hypothesis profiles, markers, the leak check, file systems to test on."""

from __future__ import annotations

import os
import signal
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Generator

pytest_plugins = ["testkit.leaks", "testkit.loops", "testkit.rich", "testkit.ranges", "pytester"]

# The same examples on every run: a change under test is what makes a test fail, not luck.
settings.register_profile("ci", derandomize=True, database=None, deadline=None, print_blob=True)
settings.register_profile("dev", deadline=timedelta(seconds=2), suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", max_examples=5_000, deadline=None, database=None, print_blob=True)
settings.load_profile(os.environ.get("OVERLAYKIT_HYPOTHESIS", "ci" if os.environ.get("CI") else "dev"))


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, int, int]:
    # Each session of pytest that starts closes the directory where all sessions of a user keep theirs to everybody
    # else, also while another one there has opened it for its tests as an unprivileged user.
    if config.option.basetemp is not None:
        return (yield)
    place = Path(tempfile.mkdtemp(prefix="overlaykit-tests-"))
    config.option.basetemp = place / "base"
    code = yield
    if code == pytest.ExitCode.OK:
        # Imported here: it is among the modules whose assertions pytest rewrites when it has begun.
        from testkit.rich import remove_all

        remove_all(place)
    else:
        print(f"What the tests made is left in {place}")
    return code


def pytest_configure() -> None:
    # A command that a test calls in its own process must not take that into a user namespace.
    os.environ["OVERLAYKIT_SUBIDS"] = "no"
    # A shell starts what runs in its background with SIGINT ignored, nohup with SIGHUP, and every program started from
    # there ignores them too: the tests of what Ctrl-C and a closed terminal do would wait for ever.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
