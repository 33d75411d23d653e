"""A store that is gone at the end, however the end comes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
            shutil.rmtree(directory, onerror=_open_up)
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _open_up(function: Callable[[str], object], path: str, error: object) -> None:
    # The kernel's overlayfs makes its work directory with mode 000, which only root can look into.
    for place in (os.path.dirname(path), path):
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(os.lstat(place).st_mode):
                os.chmod(place, 0o700)
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        function(path)
