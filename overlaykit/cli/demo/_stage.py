"""A store that is gone at the end, however the end comes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["temporary_directory"]

_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def temporary_directory() -> Iterator[Path]:
    """Make a directory for the body and remove it afterwards, also when the user or the system ends the program."""
    before = {number: signal.getsignal(number) for number in _ENDINGS}
    directory = None
    try:
        for number in _ENDINGS:
            signal.signal(number, _end)
        directory = Path(tempfile.mkdtemp(prefix="overlaykit-demo-"))
        yield directory
    finally:
        # Who is impatient while we tidy up waits a few milliseconds.
        for number in _ENDINGS:
            signal.signal(number, signal.SIG_IGN)
        if directory is not None:
            _remove(directory)
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _: FrameType | None) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _remove(top: Path) -> None:
    # The kernel's overlayfs makes its work directory with mode 000, which only root can look into.
    for directory, names, _ in os.walk(top):
        for name in names:
            path = os.path.join(directory, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
    shutil.rmtree(top)
