"""An image that buildah made of Debian's files and busybox, against sums that tarfile gives of what ``save`` writes."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testkit.loops import need_root, need_tool
from testkit.peers import run_tool
from testkit.sums import Sums

from overlaykit.explore import Cause, analyse
from overlaykit.image import open_store
from overlaykit.tree import Aspect

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCKERFILE = """
FROM scratch
COPY root /
ENV PATH=/bin
RUN busybox chmod -R 0700 /usr/share/doc
RUN busybox rm -rf /usr/share/common-licenses && busybox mv /usr/share/perl5 /usr/share/moved
RUN busybox mkdir /links && busybox cp /bin/busybox /links/a && cd /links && busybox ln a b && busybox ln a c
RUN cd /usr/share && busybox rm -rf /links/a moved && busybox mkdir moved && echo new >moved/x
RUN busybox cp /bin/busybox /bin/again && busybox rm /links/b /links/c && echo more >>/etc/profile
CMD ["/bin/busybox", "sh"]
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image as an OCI archive."""
    need_root()
    need_tool("buildah")
    place = tmp_path_factory.mktemp("built")
    root = place / "context" / "root"
    (root / "bin").mkdir(parents=True)
    (root / "etc").mkdir()
    shutil.copy2(need_tool("busybox"), root / "bin")
    (root / "bin" / "sh").symlink_to("busybox")
    (root / "etc" / "profile").write_text("PATH=/bin\n")
    # Files of packages that every Debian has, with its symbolic links.
    for name in ("common-licenses", "perl5", "doc/apt", "doc/libc6", "doc/bash", "doc/perl", "doc/util-linux"):
        source = Path("/usr/share") / name
        if source.is_dir():
            shutil.copytree(source, root / "usr/share" / name, symlinks=True)
    (place / "context" / "Dockerfile").write_text(DOCKERFILE)
    with tempfile.TemporaryDirectory(prefix="ok-", dir="/run") as run:
        places = ["--root", str(place / "storage"), "--runroot", run, "--storage-driver", "vfs"]
        run_tool("buildah", *places, "bud", "--layers", "--isolation", "chroot", "-t", "made", place / "context")
        run_tool("buildah", *places, "push", "--quiet", "made", f"oci-archive:{place}/image.tar:made:1")
    shutil.rmtree(place / "storage")
    return place / "image.tar"


def layers_of(archive: Path) -> Iterator[tarfile.TarFile]:
    """Yield the layers of an OCI archive, the lowest first."""
    with tarfile.open(archive) as outer:

        def blob(digest: str) -> bytes:
            file = outer.extractfile(f"blobs/{digest.replace(':', '/')}")
            assert file is not None
            return file.read()

        index = outer.extractfile("index.json")
        assert index is not None
        [manifest] = json.load(index)["manifests"]
        for layer in json.loads(blob(manifest["digest"]))["layers"]:
            with tarfile.open(fileobj=io.BytesIO(blob(layer["digest"])), mode="r:*") as inner:
                yield inner


@pytest.mark.parametrize("driver", ["overlayfs", "directory", "memory"])
def test_the_sums_are_those_of_tarfile(built: Path, tmp_path: Path, driver: str) -> None:
    with open_store(None if driver == "memory" else tmp_path / "store", driver=driver) as store:
        store.load(built)
        store.save("made:1", tmp_path / "saved.tar")
        analysis = analyse(store, "made:1")
    sums = Sums()
    for index, layer in enumerate(layers_of(tmp_path / "saved.tar")):
        sums.layer(index, layer)
        root = analysis.layers[index].root
        assert {os.fsencode(path) for path, _ in root.walk()} >= {os.fsencode(path) for path in sums.names}
        found = {path for path, entry in root.walk() if not entry.is_directory}
        assert found <= set(sums.names)
    assert [layer.stored for layer in analysis.layers] == sums.stored
    assert {(one.path, one.bytes, one.layer) for one in analysis.waste} == sums.wasted
    assert analysis.wasted == sum(size for _, size, _ in sums.wasted) > 1_000_000
    assert analysis.efficiency == 1 - analysis.wasted / sum(sums.stored)


def test_what_the_instructions_did(built: Path) -> None:
    with open_store(driver="memory") as store:
        store.load(built)
        analysis = analyse(store, "made:1")
    chmod, remove, links, again, last = analysis.layers[1:]
    by = {(one.hidden_by, one.cause) for one in analysis.waste}
    assert (chmod.index, Cause.REWRITTEN) in by
    assert {one.aspects for one in analysis.waste if one.hidden_by == chmod.index} == {Aspect.MODE}
    assert {one.cause for one in analysis.waste if one.hidden_by == remove.index} == {Cause.DELETED, Cause.MOVED}
    busybox = analysis.layers[0].root.find("bin/busybox")
    assert busybox is not None
    assert links.total.added == 3
    assert links.stored == busybox.size
    # The hard links lose their first name in one layer and are wasted with the last, in the next.
    [lost] = [one for one in analysis.waste if one.path == "links/a"]
    assert (lost.layer, lost.hidden_by, lost.bytes) == (links.index, last.index, busybox.size)
    assert [path for path, _ in again.root.walk() if path.startswith("usr/share/moved/")] == ["usr/share/moved/x"]
    assert [one.places for one in analysis.duplicates if one.size == busybox.size] == [
        (("bin/busybox", 0), ("bin/again", last.index))
    ]
    assert analysis.steps[-1].layer is None
