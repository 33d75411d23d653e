"""Each image that is built here runs in podman, loads in containerd, and has the layers that buildah makes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from testkit.buildah import Entry, layers_of, put_over, read_layer, without_mount_points
from testkit.dump import dump_directory, dump_tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from testkit.bases import BaseRegistry
    from testkit.peers import Containerd

    from overlaykit.image import ImageStore

    from .conftest import Built, Shelf

pytestmark = pytest.mark.real

_TIMED = {f"var/cache/apt/{name}pkgcache.bin" for name in ("", "src")}
"""What apt keeps of its lists, with the times at which each of them was written."""


@pytest.fixture(scope="session")
def archive(store: ImageStore, built: Built, place: Path) -> Iterator[Path]:
    """An archive of the image."""
    path = place / "saved.tar"
    store.save(built.name, path)
    yield path
    path.unlink()


def test_runs_in_a_container(store: ImageStore, built: Built) -> None:
    recipe, settings = built.recipe, store.config(built.name).document["config"]
    with store.container(built.name) as box:
        where = {} if recipe.cwd is None else {"cwd": recipe.cwd}
        words = [*settings.get("Entrypoint", []), *recipe.words] if recipe.words else None
        done = box.run(words, capture_output=True, text=True, **where)  # type: ignore[call-overload]
        assert (done.returncode, done.stdout) == (0, recipe.says), done.stderr


def test_runs_under_podman(store: ImageStore, built: Built, archive: Path, shelf: Shelf) -> None:
    shelf.podman.load(archive)
    recipe = built.recipe
    where = () if recipe.cwd is None else (f"--workdir={recipe.cwd}",)
    assert shelf.podman.run(*where, built.name, *recipe.words) == recipe.says
    assert shelf.podman.inspect(built.name)["Id"] == store.image(built.name).config.removeprefix("sha256:")


def test_loads_in_containerd(
    store: ImageStore,
    built: Built,
    archive: Path,
    shelf: Shelf,
    daemon: Containerd,
    mount_namespace: None,
    tmp_path: Path,
) -> None:
    daemon("image", "import", "--snapshotter", "overlayfs", archive)
    image = store.image(built.name)
    assert daemon.digests()[built.name] == image.digest
    # All of one image, and of the others what is above the base, which is the same one.
    layers = layers_of(store, built.name)
    upper = sorted({path for one in layers[1:] for path in _shown(read_layer(one, shelf.known))})
    paths = None if len(layers) == 1 or "same" in built.name else upper
    with daemon.mounted(built.name, tmp_path) as path, store.tree(image.top or "") as tree:
        known = None if paths is None else [path for path in paths if tree.exists(path, follow_symlinks=False)]
        theirs, ours = dict(dump_directory(path, known)), dict(dump_tree(tree, known))
        # The root is a new directory of its own there, and has the time at which it was made.
        for one in (theirs, ours):
            if "." in one:
                one["."] = replace(one["."], mtime=0)
    assert theirs.keys() == ours.keys()
    wrong = {path: (theirs[path], ours[path]) for path in ours if theirs[path] != ours[path]}
    assert not wrong, f"{len(wrong)} entries differ, the first: {next(iter(wrong.items()))}"


@pytest.mark.parametrize("built", ["example-here", "stages", "python", "same"], indirect=True)
def test_the_same_layers_as_buildah(store: ImageStore, built: Built, base_registry: BaseRegistry, shelf: Shelf) -> None:
    """All of each layer but its times, and what is in apt's caches.

    Not the example with the machine's own packages: what those lists hold may change between two builds. Nor the wheel
    of this project: what cmake leaves has names with times and with pip's random directories in it.
    """
    name = f"localhost/{built.name.rpartition('/')[2].partition(':')[0]}:theirs"
    theirs = shelf.buildah.build(built.context, name, base_registry, named_contexts=built.named)
    ours = layers_of(store, built.name)
    assert len(ours) == len(theirs)
    trees: tuple[dict[str, Entry], dict[str, Entry]] = {}, {}
    for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        if mine.diff_id == other.diff_id:
            for tree in trees:
                put_over(tree, read_layer(mine, shelf.known))
            continue
        layers = [
            {path: replace(one, digest="") if path in _TIMED else one for path, one in layer.items()}
            for layer in (read_layer(mine, shelf.known), without_mount_points(read_layer(other, shelf.known)))
        ]
        # They have what was opened for writing too, though nothing came of it, and both have what differs in time only.
        added = [_changed(layer, tree) for layer, tree in zip(layers, trees, strict=True)]
        for tree, layer in zip(trees, layers, strict=True):
            put_over(tree, layer)
        # A directory that was replaced is opaque there, and has whiteouts here: the trees tell that it is the same.
        for one, two in (added, trees):
            wrong = {path: (one.get(path), two.get(path)) for path in one | two if one.get(path) != two.get(path)}
            assert not wrong, f"layer {number}: {wrong}"


def _shown(layer: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return what a layer adds."""
    return {path: one for path, one in layer.items() if not path.rpartition("/")[2].startswith(".wh.")}


def _changed(layer: Mapping[str, Entry], below: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return what of a layer differs from the tree below in more than its time."""
    return {path: one for path, one in _shown(layer).items() if one != below.get(path)}
