"""Stores of each driver with a base image: busybox alone."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from testkit.loops import need_tool

import overlaykit
from overlaykit.build import BuildEvent, BuildResult, BuildStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST_DRIVERS = [
    pytest.param("overlayfs", marks=pytest.mark.native),
    pytest.param("directory", marks=pytest.mark.native),
]

BASE = b"""\
FROM scratch
COPY busybox /bin/busybox
COPY busybox /bin/sh
ENV FROM_BASE=yes
CMD ["sh"]
"""


@dataclass
class Builder:
    """Builds in one store, and keeps what it says."""

    store: BuildStore
    context: Path
    events: list[BuildEvent] = field(default_factory=list)

    def build(self, text: str | bytes, **more: Any) -> BuildResult:
        """Build a Dockerfile's text over the context."""
        self.events.clear()
        raw = text if isinstance(text, bytes) else text.encode()
        more.setdefault("progress", self.events.append)
        return self.store.build(self.context, dockerfile=raw, **more)

    def put(self, path: str, content: str = "", mode: int = 0o644) -> Path:
        """Write a file of the context."""
        file = self.context / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        file.chmod(mode)
        return file

    def read(self, result: BuildResult, path: str) -> str:
        """Return the text of a file of an image."""
        with self.store.tree(result.image.top or "") as tree:
            return str(tree.read_text(path))

    def inner(self, result: BuildResult) -> dict[str, Any]:
        """Return the ``config`` of an image."""
        return dict(self.store.config(result.image).document["config"])

    def history(self, result: BuildResult) -> list[tuple[str, bool]]:
        """Return what the history says, oldest first, and whether each made a layer."""
        return [(one.created_by, not one.empty_layer) for one in self.store.config(result.image).history]

    def output(self) -> str:
        """Return what commands wrote."""
        return b"".join(event.data for event in self.events).decode()

    def endings(self) -> list[tuple[str, str]]:
        """Return how the steps of the Dockerfile ended: name and kind."""
        kinds = ("cached", "done", "failed", "canceled")
        others = ("[internal]", "exporting")
        return [
            (one.name, one.kind)
            for one in self.events
            if one.kind in kinds and not one.name.startswith(others) and "] FROM " not in one.name
        ]


def make_builder(store: BuildStore, context: Path) -> Builder:
    """Put the base image into a store."""
    context.mkdir(exist_ok=True)
    binary = context.parent / "base"
    binary.mkdir(exist_ok=True)
    shutil.copy(need_tool("busybox"), binary / "busybox")
    os.utime(binary / "busybox", (1_600_000_000, 1_600_000_000))
    store.build(binary, dockerfile=BASE, tags="base")
    return Builder(store, context)


@pytest.fixture(params=HOST_DRIVERS)
def builder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Builder]:
    """A store on a disk."""
    with overlaykit.open_store(tmp_path / "store", driver=request.param, durability="none") as store:
        yield make_builder(store, tmp_path / "context")


@pytest.fixture(params=["memory", *HOST_DRIVERS])
def any_builder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Builder]:
    """A store of any driver."""
    path = None if request.param == "memory" else tmp_path / "store"
    with overlaykit.open_store(path, driver=request.param, durability="none") as store:
        yield make_builder(store, tmp_path / "context")
