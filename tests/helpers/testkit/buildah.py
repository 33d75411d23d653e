"""buildah with places of its own, and layers entry by entry, so that those of others can be compared with ours."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from testkit.loops import need_root, need_tool
from testkit.peers import run_tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from overlaykit.image import ImageStore
    from testkit.bases import BaseRegistry

__all__ = [
    "Buildah",
    "Entry",
    "Layer",
    "layers_of",
    "open_buildah",
    "put_over",
    "read_layer",
    "timeless",
    "without_mount_points",
]

_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.FIFOTYPE: "fifo",
    tarfile.CHRTYPE: "character device",
    tarfile.BLKTYPE: "block device",
}

_EMPTY = hashlib.sha256().hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """All of a member of a layer but its times, and the names of its owners, which readers do not look at.

    :param links: all names of the same file in the layer.
    """

    kind: str
    mode: int
    owner: tuple[int, int]
    digest: str
    target: str
    device: tuple[int, int]
    xattrs: tuple[tuple[str, str], ...]
    links: frozenset[str]


class Buildah:
    """buildah with storage of its own.

    :param path: for all that it keeps, which podman may share.
    :param run: for what it needs while it runs.
    """

    def __init__(self, path: Path, run: str) -> None:
        self._words = ["buildah", "--root", f"{path}/root", "--runroot", run, "--storage-driver", "overlay"]
        self._policy = path / "policy.json"
        self._policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        self._layout = path / "layout"

    def build(
        self,
        context: Path,
        name: str,
        registry: BaseRegistry,
        *,
        named_contexts: Mapping[str, str | os.PathLike[str]] | None = None,
    ) -> list[Layer]:
        """Build an image with a layer an instruction, and return its layers."""
        trust = ["--quiet", "--signature-policy", str(self._policy)]
        words = ["bud", "--layers", "--isolation", "chroot", "--network", "host", "--format", "oci", *trust]
        words += [f"--build-context={key}={os.fspath(value)}" for key, value in (named_contexts or {}).items()]
        self._run(*words, "--tag", name, context, **registry.environment)
        # Layers of images in one layout are there once, and as they are nobody has to compress the base again.
        tag = name.replace("/", "-").replace(":", "-")
        self._run("push", *trust, "--disable-compression", name, f"oci:{self._layout}:{tag}")
        return list(_layers(self._layout, tag))

    def _run(self, *words: str | Path, **environment: str) -> None:
        """Run it, and take away the mounts that it leaves."""
        try:
            run_tool(*self._words, *words, **environment)
        finally:
            self._unmount()

    def _unmount(self) -> None:
        root = self._words[2]
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            points = [line.split()[4] for line in file]
        for point in reversed(points):
            if point.startswith((f"{root}/", f"{self._words[4]}/")):
                subprocess.run(["umount", point], check=False)


@contextlib.contextmanager
def open_buildah(path: Path) -> Iterator[Buildah]:
    """Give buildah a place of its own while the body runs.

    :param path: a directory, made where it is not there.
    """
    need_root()
    need_tool("buildah")
    path.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ok-", dir="/run") as run:
        yield Buildah(path, run)


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that can be read.

    :param diff_id: of its archive.
    :param open: opens its blob.
    """

    diff_id: str
    open: Callable[[], AbstractContextManager[BinaryIO]]


def layers_of(store: ImageStore, name: str) -> list[Layer]:
    """Return the layers of an image of ours."""
    blobs = [functools.partial(store.content.open, one.digest) for one in store.manifest(name).layers]
    return [Layer(*both) for both in zip(store.config(name).diff_ids, blobs, strict=True)]


def _layers(layout: Path, tag: str) -> Iterator[Layer]:
    def blob(digest: str) -> Path:
        return layout / "blobs/sha256" / digest.removeprefix("sha256:")

    named = json.loads((layout / "index.json").read_text())["manifests"]
    [digest] = [one["digest"] for one in named if one["annotations"]["org.opencontainers.image.ref.name"] == tag]
    manifest = json.loads(blob(digest).read_text())
    config = json.loads(blob(manifest["config"]["digest"]).read_text())
    for diff_id, one in zip(config["rootfs"]["diff_ids"], manifest["layers"], strict=True):
        yield Layer(diff_id, functools.partial(io.FileIO, blob(one["digest"])))


def without_mount_points(layer: Mapping[str, Entry]) -> Mapping[str, Entry]:
    """Return a layer of buildah's without the empty ``/etc/hosts`` that a RUN leaves over which it had one mounted."""
    return {path: one for path, one in layer.items() if (path, one.digest) != ("etc/hosts", _EMPTY)}


def put_over(tree: dict[str, Entry], layer: Mapping[str, Entry]) -> None:
    """Put a layer over a tree: what it hides goes, whether name by name or a directory at once, and the rest comes."""
    for path in layer:
        directory, _, name = path.rpartition("/")
        start = f"{directory}/" if directory else ""
        hidden = start if name == ".wh..wh..opq" else start + name.removeprefix(".wh.")
        if name.startswith(".wh."):
            for one in [one for one in tree if one == hidden or one.startswith(f"{hidden.rstrip('/')}/")]:
                del tree[one]
    tree.update({path: one for path, one in layer.items() if not path.rpartition("/")[2].startswith(".wh.")})


def read_layer(layer: Layer, known: dict[str, Mapping[str, Entry]]) -> Mapping[str, Entry]:
    """Return the members of a layer by path.

    Left out is the root, for which containers-storage writes no member, whatever happened in it.

    :param known: what was read before, by diff ids; gets this one too.
    """
    if layer.diff_id not in known:
        with layer.open() as file:
            known[layer.diff_id] = _read(file)
    return known[layer.diff_id]


def _read(file: BinaryIO) -> Mapping[str, Entry]:
    members: dict[str, tarfile.TarInfo] = {}
    digests: dict[str, str] = {}
    with tarfile.open(fileobj=file, mode="r|*") as archive:
        for member in archive:
            name = _clean(member.name)
            members[name] = member
            if member.isreg():
                content = archive.extractfile(member)
                assert content is not None
                digests[name] = hashlib.sha256(timeless(name, content.read())).hexdigest()
    firsts: dict[str, set[str]] = {}
    for name, member in members.items():
        firsts.setdefault(_clean(member.linkname) if member.islnk() else name, set()).add(name)
    found = {}
    for first, names in firsts.items():
        member = members[first]
        entry = Entry(
            _KINDS[member.type],
            member.mode & 0o7777,
            (member.uid, member.gid),
            digests.get(first, ""),
            member.linkname if member.issym() else "",
            (member.devmajor, member.devminor) if member.isdev() and not member.isfifo() else (0, 0),
            tuple(sorted((key, one) for key, one in member.pax_headers.items() if key.startswith("SCHILY.xattr."))),
            frozenset(names),
        )
        found.update(dict.fromkeys(names, entry))
    found.pop(".", None)
    return found


def timeless(name: str, content: bytes) -> bytes:
    """Return what a file holds without the times in it of files and of days."""
    if name.endswith(".pyc") and content[4:8] == bytes(4):
        # PEP 552: compiled from a source of that time.
        return content[:8] + bytes(4) + content[12:]
    if name in ("etc/shadow", "etc/shadow-"):
        # shadow(5): the third field is the day of the last change.
        lines = [line.split(b":") for line in content.splitlines()]
        return b"\n".join(b":".join([*line[:2], *line[3:]]) for line in lines)
    return content


def _clean(name: str) -> str:
    return name.removeprefix("/").removeprefix("./").rstrip("/") or "."
