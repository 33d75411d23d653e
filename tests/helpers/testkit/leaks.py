"""Fails the test after which something is left: a descriptor, a process, a thread, a mount or a temporary file."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from overlaykit.conformance._leaks import has_children

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SERVING", "Holdings"]

#: Processes that serve several tests, such as a browser, whose own ones come and go; to be taken out by whoever ends
#: them, before the run does.
SERVING: set[int] = set()

#: Where this run keeps the files of its tests, beside the directory for temporary files.
PLACES: set[str] = set()

_PREFIX = "overlaykit-tests-"


@dataclass(frozen=True, slots=True)
class Holdings:
    """What this process holds at one moment."""

    descriptors: frozenset[str]
    processes: frozenset[str]
    threads: frozenset[str]
    mounts: frozenset[str]
    files: frozenset[str]

    @classmethod
    def now(cls) -> Holdings:
        """Look."""
        return cls(
            frozenset(_descriptors()),
            frozenset(_processes()),
            frozenset(f"{thread.name} ({thread.native_id})" for thread in threading.enumerate()),
            frozenset(_mounts()),
            frozenset(os.listdir(tempfile.gettempdir())),
        )

    def beyond(self, before: Holdings) -> list[str]:
        """Return what is here and was not ``before``, one line each."""
        found = []
        for name in self.__slots__:
            new = getattr(self, name) - getattr(before, name)
            found += [f"{name}: {what}" for what in sorted(new)]
        return found


def _descriptors() -> Iterator[str]:
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # the one that listed the directory
        yield f"{name} -> {target}"


def _processes() -> Iterator[str]:
    if not has_children():
        return
    for child in psutil.Process().children(recursive=True):
        try:
            if _serves(child):
                continue
            words = " ".join(child.cmdline())
        except psutil.ZombieProcess:
            words = child.name()
        except psutil.NoSuchProcess:
            continue
        # Python starts one of these with its first shared lock and keeps it to the end.
        if "multiprocessing.resource_tracker" not in words:
            yield f"{child.pid} {words}"


def _serves(child: psutil.Process) -> bool:
    return bool(SERVING) and any(one.pid in SERVING for one in (child, *child.parents()))


def _mounts() -> Iterator[str]:
    """Yield the mounts that a test of ours can have made; other runs may make theirs meanwhile."""
    ours = tuple(f"{place}/" for place in {os.path.realpath(tempfile.gettempdir()), *PLACES})
    with open("/proc/self/mountinfo") as table:
        for line in table:
            fields, _, rest = line.partition(" - ")
            point = fields.split()[4]
            if point.startswith(ours) or ("overlaykit" in rest and f"/{_PREFIX}" not in line):
                yield f"{point} ({rest.split()[0]})"


def pytest_configure(config: pytest.Config) -> None:
    """Give the run a directory of its own for temporary files, so that what is left there is this run's.

    What :func:`tmp_path` gives stays where pytest keeps it.
    """
    known = tempfile.gettempdir()
    own = tempfile.mkdtemp(prefix=_PREFIX)
    os.chmod(own, 0o755)
    if config.option.basetemp is not None:
        PLACES.add(os.path.realpath(config.option.basetemp))
    changes = {"TMPDIR": own, "PYTEST_DEBUG_TEMPROOT": os.environ.get("PYTEST_DEBUG_TEMPROOT", known)}
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    tempfile.tempdir = None

    def restore() -> None:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        tempfile.tempdir = None
        shutil.rmtree(own)

    config.add_cleanup(restore)


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test that leaves something; ``@pytest.mark.leaks("why")`` excuses it."""
    if request.node.get_closest_marker("leaks") or not Path("/proc/self/fd").is_dir():
        yield
        return
    before = Holdings.now()
    yield
    if Holdings.now().beyond(before):
        gc.collect()
        left = Holdings.now().beyond(before)
        if left:
            pytest.fail("left behind:\n  " + "\n  ".join(left), pytrace=False)


@pytest.fixture(scope="session", autouse=True)
def no_leaks_at_the_end() -> Iterator[None]:
    """Fail the run that leaves a process, a thread, a mount or a temporary file, whoever made it."""
    if not Path("/proc/self/fd").is_dir():
        yield
        return
    before = Holdings.now()
    yield
    gc.collect()
    left = [line for line in Holdings.now().beyond(before) if not line.startswith("descriptors:")]
    assert not left, "the run left behind:\n  " + "\n  ".join(left)
