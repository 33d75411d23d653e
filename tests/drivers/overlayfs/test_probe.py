"""Finding out what works here, by several processes at once."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest
from overlaykit_overlayfs._probe import uses_userxattr

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.native


def test_who_asks_the_same_directory_at_once_gets_the_same_answer(tmp_path: Path) -> None:
    """What one removes again, another may be about to remove."""
    expected = uses_userxattr(os.fspath(tmp_path))
    answers: set[bool] = set()
    start = threading.Barrier(4)

    def ask() -> None:
        start.wait()
        for _ in range(3_000):
            answers.add(uses_userxattr(os.fspath(tmp_path)))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {expected}
    assert os.listxattr(tmp_path) == []
