"""What the tests on a real Debian share: the base, the images built on it, and other people's tools with both."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from testkit.apt import run_repository
from testkit.bases import BASE, BaseRegistry, base_registry
from testkit.buildah import open_buildah
from testkit.peers import open_podman, run_containerd

from overlaykit import open_store

from .recipes import RECIPES, Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from testkit.buildah import Buildah, Entry
    from testkit.peers import Containerd, Podman

    from overlaykit.image import ImageStore

__all__ = ["base_registry"]

HERE = "docker.io/library/ubuntu-here:20.04"
"""The base with packages from a repository on loopback."""

_HERE = """FROM ubuntu:20.04
RUN rm -rf /etc/apt/sources.list.d
COPY sources.list /etc/apt/sources.list
"""


@dataclass(frozen=True, slots=True)
class Built:
    """An image of a recipe.

    :param name: its name.
    :param recipe: what it was made by.
    :param context: the directory that it was built from, with the Dockerfile.
    :param named: the named contexts.
    """

    name: str
    recipe: Recipe
    context: Path
    named: dict[str, str | Path]


@dataclass(frozen=True, slots=True)
class Shelf:
    """podman and buildah over one storage, so that layers that they share are there once.

    :param known: the layers that were read, by diff ids.
    """

    podman: Podman
    buildah: Buildah
    known: dict[str, Mapping[str, Entry]] = field(default_factory=dict)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for what is shared."""
    return tmp_path_factory.mktemp("real")


@pytest.fixture(scope="session")
def environment(base_registry: BaseRegistry) -> Iterator[None]:
    """Find the base image where a short name says nothing of it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in base_registry.environment.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def store(environment: None, base_registry: BaseRegistry, place: Path) -> Iterator[ImageStore]:
    """A store with the base image."""
    with open_store(place / "store", durability="none") as one:
        got = one.pull("ubuntu:20.04")
        assert got.image.references == (BASE,)
        assert got.source == f"{base_registry.host}/library/ubuntu"
        yield one


@pytest.fixture(scope="session")
def repository(place: Path) -> Iterator[str]:
    """A package repository on loopback, as a line of ``sources.list``."""
    with run_repository(place / "repository") as line:
        yield line


@pytest.fixture(scope="session")
def here(store: ImageStore, base_registry: BaseRegistry, repository: str, place: Path) -> str:
    """The base image with that repository for its only one, in store and registry."""
    context = place / "here"
    context.mkdir()
    (context / "sources.list").write_text(f"{repository}\n")
    (context / "Dockerfile").write_text(_HERE)
    there = HERE.replace("docker.io", base_registry.host)
    store.build(context, tags=[HERE, there])  # type: ignore[attr-defined]
    store.push(there)
    return HERE


@pytest.fixture(scope="session")
def machine_sources(store: ImageStore) -> str:
    """An address of the package sources that the base has from this machine, ``""`` where it cannot be reached."""
    words = ["apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI)"]
    with store.container("ubuntu:20.04") as box:
        lines = box.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    for line in lines:
        if line.startswith(("http://", "https://")):
            try:
                with urllib.request.urlopen(line, timeout=60):
                    return str(line)
            except OSError:
                return ""
    return ""


@pytest.fixture(scope="session")
def images() -> dict[str, Built]:
    """The images that were built so far."""
    return {}


@pytest.fixture(scope="session", params=list(RECIPES))
def built(
    request: pytest.FixtureRequest,
    store: ImageStore,
    images: dict[str, Built],
    here: str,
    machine_sources: str,
    place: Path,
) -> Built:
    """The image of each recipe, in turn."""
    name: str = request.param
    if name in images:
        return images[name]
    recipe = RECIPES[name]
    if recipe.apt == "machine" and not machine_sources:
        pytest.skip("the package sources of this machine cannot be reached; example-here has some on loopback")
    context = place / name / "context"
    context.mkdir(parents=True)
    named: dict[str, str | Path] = dict(recipe.fill(context))
    if recipe.apt == "here":
        named["ubuntu:20.04"] = f"docker-image://{here}"
    (context / "Dockerfile").write_text(recipe.text)
    images[name] = Built(f"docker.io/library/{name}:1", recipe, context, named)
    result = store.build(context, tags=images[name].name, named_contexts=named)  # type: ignore[attr-defined]
    assert not result.cached
    return images[name]


@pytest.fixture(scope="session")
def shelf(base_registry: BaseRegistry, place: Path) -> Iterator[Shelf]:
    """Podman and buildah."""
    with open_podman(place / "containers", "overlay") as podman, open_buildah(place / "containers") as buildah:
        yield Shelf(podman, buildah)


@pytest.fixture(scope="session")
def daemon(place: Path) -> Iterator[Containerd]:
    """A containerd."""
    with run_containerd(place / "containerd") as one:
        yield one
