"""What a test must not leave in the process: descriptors, mounts, threads, children."""

from __future__ import annotations

import os
import shlex
import sys
import threading
from collections import Counter
from pathlib import Path

import psutil

from ..values import value_class

__all__ = ["Resources", "has_children", "leaked", "resources"]

_DESCRIPTORS = next((path for path in ("/proc/self/fd", "/dev/fd") if Path(path).is_dir()), "")
_MOUNTS = Path("/proc/self/mountinfo")
_WALL = 0x40000000
"""Children, too, whose end sends no SIGCHLD (waitid(2)); Python has no name for it."""


@value_class
class Resources:
    """What the process holds at one moment."""

    descriptors: Counter[str]
    mounts: Counter[str]
    threads: Counter[str]
    children: Counter[str]


def resources(base: str) -> Resources:
    """Count what the process holds now.

    :param base: the directory that the driver's own lies in; other programs may mount what they like elsewhere.
    """
    mounts = _MOUNTS.read_text(errors="surrogateescape").splitlines() if _MOUNTS.exists() else []
    return Resources(
        descriptors=Counter(_descriptors()),
        mounts=Counter(line for line in mounts if base in line),
        threads=Counter(f"{thread.name} ({thread.ident})" for thread in threading.enumerate()),
        children=Counter(_children()),
    )


def has_children() -> bool:
    """Tell whether this process has children of any kind, without a look at every process of the machine."""
    if sys.platform != "linux":
        return bool(psutil.Process().children())
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT | _WALL)
    except ChildProcessError:
        return False
    return True


def _children() -> list[str]:
    # Who has no children has no grandchildren: theirs would be another's by now.
    return [str(child.pid) for child in psutil.Process().children(recursive=True)] if has_children() else []


def _named(pid: str) -> str:
    try:
        return f"{pid} {shlex.join(psutil.Process(int(pid)).cmdline())}".strip()
    except psutil.Error:
        # It has just ended.
        return pid


def _descriptors() -> list[str]:
    found: list[str] = []
    if not _DESCRIPTORS:
        return found
    for number in os.listdir(_DESCRIPTORS):
        try:
            target = os.readlink(f"{_DESCRIPTORS}/{number}")
        except OSError:
            # The descriptor of this very listing.
            continue
        if target != f"/proc/{os.getpid()}/fd":
            found.append(target)
    return found


def leaked(before: Resources, after: Resources) -> list[str]:
    """Count what is held ``after`` and was not ``before``: a text for each kind."""
    texts = []
    for kind, one in (("descriptors", "descriptor"), ("mounts", "mount"), ("threads", "thread"), ("children", "child")):
        more: Counter[str] = getattr(after, kind) - getattr(before, kind)
        if more:
            names = ", ".join(sorted(map(_named, more) if kind == "children" else more))
            texts.append(f"{more.total()} {one if more.total() == 1 else kind} ({names})")
    return texts
