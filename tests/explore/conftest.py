"""Images whose layers are made by hand, in a store of each driver."""

from __future__ import annotations

import contextlib
import io
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
from testkit.images import make_image, write_layout

from overlaykit.image import ImageStore, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

MTIME = 1_600_000_000


def member(path: str | bytes, content: bytes | None = None, **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member of an archive: a file where there is content, else a directory, else what ``type`` says."""
    name = path.decode("utf-8", "surrogateescape") if isinstance(path, bytes) else path
    info = tarfile.TarInfo(name)
    info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
    info.mode = 0o755 if content is None else 0o644
    info.mtime = MTIME
    info.size = len(content or b"")
    for key, value in more.items():
        setattr(info, key, value)
    return info, content or b""


def link(path: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    """Return a hard link."""
    return member(path, type=tarfile.LNKTYPE, linkname=target)


def symlink(path: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    """Return a symbolic link."""
    return member(path, type=tarfile.SYMTYPE, linkname=target, mode=0o777)


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """Return an uncompressed layer."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture(params=["memory", "directory", "overlayfs"])
def driver(request: pytest.FixtureRequest) -> str:
    """The name of a driver, each in turn."""
    name: str = request.param
    return name


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Callable[..., ImageStore]]:
    """Make an image of layers and take it into a new store; the first layer given is the lowest."""
    with contextlib.ExitStack() as stack:

        def make(
            *layers: bytes, driver: str = "memory", config: dict[str, Any] | None = None, name: str = "image:1"
        ) -> ImageStore:
            path = tmp_path / f"layout{len(list(tmp_path.iterdir()))}"
            write_layout(path, {name: make_image(list(layers), config=config)})
            place = None if driver == "memory" else tmp_path / "store"
            store = stack.enter_context(open_store(place, driver=driver))
            store.load(path)
            return store

        yield make


def sizes(values: Sequence[Any]) -> list[int]:
    """Return the bytes of each."""
    return [one.bytes for one in values]
