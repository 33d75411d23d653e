"""Fails the test after which something is left: a descriptor, a process, a thread, a mount or a temporary file."""

from __future__ import annotations

import gc
import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Holdings"]


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
            frozenset(entry.name for entry in os.scandir(tempfile.gettempdir()) if _ours(entry)),
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
    for child in psutil.Process().children(recursive=True):
        try:
            words = " ".join(child.cmdline())
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            words = child.name()
        # Python starts one of these with its first shared lock and keeps it to the end.
        if "multiprocessing.resource_tracker" not in words:
            yield f"{child.pid} {words}"


def _mounts() -> Iterator[str]:
    """Yield the mounts that a test of ours can have made; others may mount theirs meanwhile."""
    temporary = os.path.realpath(tempfile.gettempdir())
    with open("/proc/self/mountinfo") as table:
        for line in table:
            fields, _, rest = line.partition(" - ")
            point = fields.split()[4]
            if point.startswith(f"{temporary}/pytest-of-") or "overlaykit" in point or "overlaykit" in rest:
                yield f"{point} ({rest.split()[0]})"


def _ours(entry: os.DirEntry[str]) -> bool:
    try:
        return "overlaykit" in entry.name and entry.stat(follow_symlinks=False).st_uid == os.geteuid()
    except FileNotFoundError:
        return False


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
