"""Other people's tools: the same layers come of the same Dockerfile, and what is built here runs there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
from testkit.loops import need_root, need_tool
from testkit.peers import podman, run_tool

import overlaykit

from .conftest import BASE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testkit.peers import Podman

__all__ = ["podman"]

TEXT = (
    BASE.decode()
    + """\
WORKDIR /srv/app
COPY one.txt tree/ ./
COPY --chown=7:8 one.txt tree/ /owned/
COPY --chmod=0640 one.txt /modes/renamed
COPY l*k *.txt /links/
ADD packed.tar.gz /unpacked/
ARG WHO=world
ENV GREETING="hello $WHO" EMPTY=
RUN busybox mkdir -p /made && echo $GREETING > /made/file && busybox ln /made/file /made/hard && \\
    busybox chmod 4755 /made/file && busybox chown 3:4 /made
RUN busybox rm -r /modes && busybox rm tree-file
LABEL some=label
EXPOSE 8080/tcp
VOLUME /data
USER 1000:1000
STOPSIGNAL SIGQUIT
ENTRYPOINT ["/bin/busybox"]
CMD ["echo", "built", "here"]
"""
)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    path = tmp_path / "context"
    (path / "tree" / "deep").mkdir(parents=True)
    shutil.copy(need_tool("busybox"), path / "busybox")
    (path / "one.txt").write_text("one")
    (path / "tree" / "tree-file").write_text("gone later")
    (path / "tree" / "deep" / "script").write_text("#!")
    (path / "tree" / "deep" / "script").chmod(0o750)
    (path / "tree" / "link").symlink_to("deep/script")
    (path / "link").symlink_to("one.txt")
    with tarfile.open(path / "packed.tar.gz", "w:gz") as archive:
        archive.add(path / "tree", "inner")
    (path / "Dockerfile").write_text(TEXT)
    return path


@pytest.fixture
def buildah(tmp_path: Path) -> Iterator[list[str]]:
    need_root()
    need_tool("buildah")
    need_tool("skopeo")
    places = ["--root", str(tmp_path / "buildah"), "--runroot", str(tmp_path / "buildah-run")]
    yield ["buildah", *places, "--storage-driver", "vfs"]
    subprocess.run([*["buildah", *places, "--storage-driver", "vfs"], "rmi", "--all", "--force"], check=False)


def _tree(layout: Path) -> dict[str, tuple[Any, ...]]:
    """Return what a layout's only image shows, without its times; and hard links by their first name."""
    index = json.loads((layout / "index.json").read_text())

    def blob(digest: str) -> Path:
        return layout / "blobs" / digest.replace(":", "/")

    manifest = json.loads(blob(index["manifests"][0]["digest"]).read_text())
    shown: dict[str, tuple[Any, ...]] = {}
    for layer in manifest["layers"]:
        with tarfile.open(blob(layer["digest"])) as archive:
            for member in archive:
                name = os.path.normpath(member.name)
                above, _, last = name.rpartition("/")
                if last.startswith(".wh."):
                    gone = os.path.join(above, last.removeprefix(".wh."))
                    shown = {one: what for one, what in shown.items() if one != gone and not one.startswith(gone + "/")}
                elif name != ".":
                    source = archive.extractfile(member) if member.isfile() else None
                    data = source.read() if source else b""
                    if member.islnk():
                        shown[name] = shown[os.path.normpath(member.linkname)]
                    else:
                        shown[name] = (member.type, member.mode & 0o7777, member.uid, member.gid, member.linkname, data)
    return shown


def _config(layout: Path) -> dict[str, Any]:
    index = json.loads((layout / "index.json").read_text())
    path = layout / "blobs" / index["manifests"][0]["digest"].replace(":", "/")
    config = json.loads(path.read_text())["config"]["digest"]
    document: dict[str, Any] = json.loads((layout / "blobs" / config.replace(":", "/")).read_text())
    return document


@pytest.mark.native
def test_the_same_comes_of_buildah(context: Path, buildah: list[str], tmp_path: Path) -> None:
    with overlaykit.open_store(tmp_path / "store", durability="none") as store:
        store.build(context, tags="app")
        store.save("app", tmp_path / "ours", form="oci")
    run = ["bud", "--quiet", "--isolation", "chroot", "--network", "host", "--format", "oci", "--layers"]
    run_tool(*buildah, *run, "--tag", "app", str(context))
    policy = tmp_path / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    run_tool(*buildah, "push", "--quiet", "--signature-policy", str(policy), "app", f"oci:{tmp_path / 'theirs'}")
    ours, theirs = _tree(tmp_path / "ours"), _tree(tmp_path / "theirs")
    # Mount points that buildah leaves behind.
    theirs = {name: what for name, what in theirs.items() if name.split("/")[0] not in ("proc", "sys", "dev", "etc")}
    theirs.pop("run", None)
    # VOLUME makes a directory there, and with BuildKit none.
    theirs.pop("data", None)
    assert ours == theirs
    inner, other = (_config(tmp_path / one)["config"] for one in ("ours", "theirs"))
    for name in ("Cmd", "Entrypoint", "WorkingDir", "User", "ExposedPorts", "Volumes", "StopSignal"):
        assert inner[name] == other[name], name
    assert sorted(inner["Env"]) == sorted(other["Env"])
    assert inner["Labels"]["some"] == other["Labels"]["some"]


@pytest.mark.native
def test_what_is_built_runs_under_podman(context: Path, podman: Podman, tmp_path: Path) -> None:
    with overlaykit.open_store(tmp_path / "store", durability="none") as store:
        result = store.build(context, tags="app:built")
        store.save("app:built", tmp_path / "app.tar", form="oci-archive")
    podman.load(tmp_path / "app.tar")
    assert podman.inspect("app:built")["Config"]["Labels"] == {"some": "label"}
    # Lower than any machine's own: who may raise limits differs.
    limits = ["--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"]
    said = podman("run", "--rm", "--network", "none", *limits, "app:built")
    assert said == "built here\n"
    assert podman.inspect("app:built")["Id"] == result.image.config.removeprefix("sha256:")
