"""Space kept back, so that a snapshot can be removed when the file system is full."""

from __future__ import annotations

import contextlib
import os

TYPE_CHECKING = False

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Final

__all__ = ["Reserve"]

_SIZE: Final = 256 * 1024


class Reserve:
    """A file that is there to be deleted: even a removal writes to the database first.

    :param path: the file; ``None`` for a store without a path.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.spent = True  # as far as is known

    def spend(self) -> bool:
        """Free the space; tell whether there was any."""
        if self._path is None:
            return False
        self.spent = True
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
            return True
        return False

    def refill(self) -> None:
        """Take the space again where it is missing and there is some: without it only removals are the poorer."""
        if self._path is None or self._path.exists():
            self.spent = False
            return
        with contextlib.suppress(OSError):
            try:
                # Random bytes, because a file system may make nothing of zeros.
                self._path.write_bytes(os.urandom(_SIZE))
                self.spent = False
            except OSError:
                self.spend()
                raise
