"""What only some of the builds on the real base show: the cache, what a stage leaves behind, users, mounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from testkit.apt import PACKAGE

if TYPE_CHECKING:
    from overlaykit.image import ImageStore

    from .conftest import Built

pytestmark = pytest.mark.real


def output(store: ImageStore, name: str, *args: str) -> str:
    """Run a program in a new container, and return what it says."""
    with store.container(name) as box:
        done = box.run(list(args) or None, capture_output=True, text=True)
        assert done.returncode == 0, (done.stdout, done.stderr)
        return str(done.stdout)


@pytest.mark.parametrize("built", ["example-here"], indirect=True)
def test_the_example_is_cached(store: ImageStore, built: Built) -> None:
    def again(tag: str) -> int:
        result = store.build(built.context, tags=tag, named_contexts=built.named)  # type: ignore[attr-defined]
        return int(result.cached)

    assert again("again:1") == 2
    assert store.image("again:1").digest == store.image(built.name).digest
    known = (built.context / "app.py").read_text()
    try:
        (built.context / "app.py").write_text("print('changed')\n")
        assert again("again:2") == 1
    finally:
        (built.context / "app.py").write_text(known)
    assert output(store, "again:2", "python", "/app/app.py") == "changed\n"
    layers = store.manifest("again:1").layers, store.manifest("again:2").layers
    assert [one == two for one, two in zip(*layers, strict=True)] == [*[True] * (len(layers[0]) - 1), False]


@pytest.mark.parametrize("built", ["example", "example-here"], indirect=True)
def test_the_example_knows_packages(store: ImageStore, built: Built) -> None:
    """Where the machine's sources cannot be reached only the repository on loopback shows it, which is always tried."""
    with store.container(built.name) as box:
        assert list((box.tree / "var/lib/apt/lists").glob("*Packages*"))
        if built.recipe.apt == "here":
            words = ["sh", "-c", f"apt-get install -y -qq {PACKAGE} && {PACKAGE}"]
            done = box.run(words, capture_output=True, text=True)
            assert done.stdout.endswith("hello from a package\n"), done.stderr
        else:
            done = box.run(["apt-cache", "show", "hello"], capture_output=True, text=True)
            assert "Package: hello" in done.stdout, done.stderr


@pytest.mark.parametrize("built", ["stages"], indirect=True)
def test_a_stage_leaves_only_what_is_copied(store: ImageStore, built: Built) -> None:
    image = store.image(built.name)
    assert image.layers == 1
    with store.tree(image.top or "") as tree:
        assert [entry.name for entry in tree.scandir(".")] == ["hello"]


@pytest.mark.parametrize("built", ["python"], indirect=True)
def test_a_user_without_rights(store: ImageStore, built: Built) -> None:
    script = "id -u; pwd; touch x && ls -n /opt/venv/bin/greet | cut -d' ' -f3,4"
    assert output(store, built.name, "sh", "-c", script) == "1234\n/home/app\n1234 1234\n"


@pytest.mark.parametrize("built", ["wheel"], indirect=True)
def test_what_is_mounted_stays_outside(store: ImageStore, built: Built) -> None:
    listed = output(store, built.name, "sh", "-c", "ls -d /wheels/* /cache/* || true; ls -A /source")
    assert {*listed.splitlines()} - {"build"} == {path.name for path in built.context.iterdir()}
