"""Directories for the length of a build's step, that are gone also where the process was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..image import ImageStore

__all__ = ["remove_directory", "scratch_directory", "sweep_scratch"]


@contextlib.contextmanager
def scratch_directory(store: ImageStore) -> Iterator[Path]:
    """Have an empty directory, in the store where that has a path."""
    import tempfile

    if store.path is None:
        with tempfile.TemporaryDirectory(prefix="overlaykit-build-") as temporary:
            yield Path(temporary)
        return
    above = store.path / "build" / "scratch"
    above.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Whoever sweeps leaves alone what is locked; between making and locking it, it may go.
    while True:
        path = Path(tempfile.mkdtemp(dir=above))
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if path.exists():
            break
        os.close(descriptor)
    try:
        yield path
    finally:
        remove_directory(path)
        os.close(descriptor)


def sweep_scratch(store: ImageStore) -> None:
    """Remove the directories whose processes are gone."""
    if store.path is None:
        return
    with contextlib.suppress(FileNotFoundError), os.scandir(store.path / "build" / "scratch") as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError, BlockingIOError):
                descriptor = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    remove_directory(Path(entry.path))
                finally:
                    os.close(descriptor)


def remove_directory(path: Path) -> None:
    """Remove a directory and all below it."""
    from ..linux import remove_tree

    parent = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        remove_tree(parent, path.name)
    finally:
        os.close(parent)
