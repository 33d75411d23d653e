"""A registry for all tests, and stores to pull into."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from testkit.images import layer, make_image, write_layout
from testkit.registries import Front, front, run_registry
from testkit.waits import PATIENCE

from overlaykit.image import open_store
from overlaykit.image.registry import Options, push

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from overlaykit.image import ImageStore


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Know no credentials of whoever runs the tests, no proxy and no mirror."""
    for name in (
        "REGISTRY_AUTH_FILE",
        "CONTAINERS_REGISTRIES_CONF",
        "OVERLAYKIT_MIRRORS",
        "XDG_CONFIG_HOME",
        *(f"{kind}_proxy" for kind in ("http", "https", "all", "no")),
    ):
        for one in (name, name.upper()):
            monkeypatch.delenv(one, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("OVERLAYKIT_REGISTRIES_CONF", "/dev/null")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that anybody may write."""
    with run_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


@pytest.fixture
def broken(registry: str) -> Iterator[Front]:
    """A front of it that breaks things."""
    with front(registry) as one:
        yield one


@pytest.fixture
def make_store() -> Iterator[Callable[[], ImageStore]]:
    """Makes stores in memory."""
    stores: list[ImageStore] = []

    def make() -> ImageStore:
        stores.append(open_store(driver="memory"))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def store(make_store: Callable[[], ImageStore]) -> ImageStore:
    """An empty store."""
    return make_store()


@pytest.fixture
def waits() -> list[float]:
    """How long was waited."""
    return []


@pytest.fixture
def options(waits: list[float]) -> Options:
    """Options that wait for nothing."""
    return Options(sleep=waits.append, timeout=PATIENCE)


@pytest.fixture
def source(make_store: Callable[[], ImageStore], tmp_path: Path) -> ImageStore:
    """A store with the image ``app:1``: two small layers and one of 3 MB, and ``app:2``, that has one layer more."""
    noise = random.Random(1).randbytes(3_000_000)
    layers = [layer({"a": b"1"}), layer({"big": noise}), layer({"b": b"2"}), layer({"c": b"3"})]
    images = {"app:1": make_image(layers[:3]), "app:2": make_image(layers)}
    store = make_store()
    store.load(write_layout(tmp_path / "layout", images))
    return store


@pytest.fixture
def pushed(source: ImageStore, registry: str, request: pytest.FixtureRequest) -> str:
    """The repository, of this test alone, with both images."""
    name = "t/" + "".join(sign for sign in request.node.name.lower() if sign.isalnum())[:100]
    for tag in ("1", "2"):
        push(source, f"app:{tag}", f"{registry}/{name}:{tag}")
    return name
