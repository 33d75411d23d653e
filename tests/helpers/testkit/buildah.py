"""buildah with places of its own, and layers entry by entry, so that those of others can be compared with ours."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testkit.loops import need_root, need_tool
from testkit.peers import run_tool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from testkit.bases import BaseRegistry

__all__ = ["Buildah", "Entry", "buildah", "layout_layers", "put_over", "without_mount_points"]

_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.FIFOTYPE: "fifo",
    tarfile.CHRTYPE: "character device",
    tarfile.BLKTYPE: "block device",
}


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

    :param path: for all that it keeps.
    :param run: for what it needs while it runs.
    """

    def __init__(self, path: Path, run: str) -> None:
        self._words = ["buildah", "--root", f"{path}/root", "--runroot", run, "--storage-driver", "overlay"]
        self._policy = path / "policy.json"
        self._policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')

    def build(self, context: Path, name: str, layout: Path, registry: BaseRegistry) -> None:
        """Build an image with a layer an instruction, and write it as an OCI layout."""
        trust = ["--quiet", "--signature-policy", str(self._policy)]
        words = ["bud", "--layers", "--isolation", "chroot", "--format", "oci", *trust, "--tag", name]
        run_tool(*self._words, *words, context, **registry.environment)
        run_tool(*self._words, "push", *trust, name, f"oci:{layout}:made")

    def end(self) -> None:
        """Unmount what it left mounted."""
        root = self._words[2]
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            points = [line.split()[4] for line in file]
        for point in reversed(points):
            if point.startswith((f"{root}/", f"{self._words[4]}/")):
                subprocess.run(["umount", point], check=False)


@pytest.fixture
def buildah(tmp_path: Path) -> Iterator[Buildah]:
    """Buildah with storage of the test's own."""
    need_root()
    need_tool("buildah")
    path = tmp_path / "buildah"
    path.mkdir()
    with tempfile.TemporaryDirectory(prefix="ok-", dir="/run") as run:
        one = Buildah(path, run)
        yield one
        one.end()


def layout_layers(layout: Path) -> list[Mapping[str, Entry]]:
    """Return the layers of an OCI layout's only image, each as its members by path; the first is the base.

    Left out is the root, for which containers-storage writes no member, whatever happened in it.
    """
    (named,) = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = json.loads(_blob(layout, named["digest"]).read_text())
    return [_layer(_blob(layout, one["digest"])) for one in manifest["layers"]]


def without_mount_points(layer: Mapping[str, Entry]) -> Mapping[str, Entry]:
    """Return a layer of buildah's without what a RUN leaves that did nothing: an empty ``/etc/hosts``, and parents."""
    kept = dict(layer)
    hosts = kept.get("etc/hosts")
    if hosts is not None and hosts.digest == hashlib.sha256().hexdigest():
        del kept["etc/hosts"]
    for name in ("etc", "run"):
        if not any(path.startswith(f"{name}/") for path in kept):
            kept.pop(name, None)
    return kept


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


def _blob(layout: Path, digest: str) -> Path:
    return layout / "blobs/sha256" / digest.removeprefix("sha256:")


def _layer(path: Path) -> Mapping[str, Entry]:
    members: dict[str, tarfile.TarInfo] = {}
    digests: dict[str, str] = {}
    with gzip.open(path) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
        for member in archive:
            name = _clean(member.name)
            members[name] = member
            if member.isreg():
                file = archive.extractfile(member)
                assert file is not None
                digests[name] = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
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


def _clean(name: str) -> str:
    return name.removeprefix("/").removeprefix("./").rstrip("/") or "."
