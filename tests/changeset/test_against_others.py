"""Layers unpacked by umoci and by GNU tar give the same trees as here, but where those are wrong, which is said."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest
from testkit.images import descriptor, make_image
from testkit.layer_model import archive
from testkit.loops import need_root, need_tool
from testkit.parity import AS_ROOT, STACKS, Stack, look

from overlaykit.store import Store, open_store

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.native

Described = Mapping[bytes, tuple[object, ...]]

#: What umoci 0.4.7 makes other trees of, or does not unpack, and why that is wrong; the rules' numbers are
#: those of the layers' semantics: a whiteout hides what is below wherever it stands (1), another type takes a path's
#: place with all below it (5), parents are made (6), symbolic links are followed inside (7), links' targets are
#: what is there (8), names are any bytes and stay inside (10), attributes are kept (11), overlayfs's are data (12).
_CLOCK = "a directory has the time of unpacking, not the one that the layer says: what hides touches it afterwards"
_ORDER = "the place of a whiteout among the entries decides (1): the layer's own is taken for what is below"
_PARENT = "a parent that the layer does not list cannot take the place of a file (6)"
_OVERLAY = "overlayfs's own attributes are dropped (12)"

UMOCI: dict[str, str] = {
    "a-directory-made-again-and-then-its-whiteout": _CLOCK,
    "opaque-with-an-implicit-child-after": _CLOCK,
    "opaque-root-last-with-a-directory-kept": _CLOCK,
    "an-implicit-directory-and-then-its-whiteout": _ORDER,
    "implicit-below-and-then-the-whiteout-above": _ORDER,
    "a-path-through-a-symlink-and-then-its-whiteout": _ORDER,
    "hidden-and-linked-from-elsewhere": _ORDER,
    "link-to-what-is-whited-out-later": _ORDER,
    "implicit-parent-over-a-file": _PARENT,
    "below-a-file-of-the-same-layer": _PARENT,
    "a-path-below-a-whiteout": "is taken",
    "what-aufs-kept-for-itself": "is unpacked",
    "character-device-0-0": "is taken (12)",
    "a-path-of-5000-bytes": "is too long (10)",
    "xattrs": "empty values are dropped (11)",
    "overlays-own-attributes-are-data": _OVERLAY,
}

#: The same of GNU tar 1.34, which knows nothing of whiteouts: stacks with some are not tried with it.
_FULL = "a directory that is not empty does not give way to something else (5)"
_LINKS = "no path leads through a symbolic link that is absolute or climbs (7)"
_DOTS = "a name with .. in it is refused (10)"
_MERGED = "attributes that a directory has from below stay (5)"

TAR: dict[str, str] = {
    "file-over-directory": _FULL,
    "file-over-directory-and-back": _FULL,
    "symlink-over-directory": _FULL,
    "link-over-a-directory": _FULL,
    "a-directory-then-a-file": _FULL,
    "a-file-over-a-lower-directory-then-a-directory": _FULL,
    "implicit-parent-over-a-file": _PARENT,
    "below-a-file-of-the-same-layer": _PARENT,
    "character-device-0-0": "is taken (12)",
    "link-to-itself": "is taken (8)",
    "path-through-an-absolute-symlink": _LINKS,
    "path-through-a-symlink-that-climbs": _LINKS,
    "path-through-a-dangling-symlink": "no path leads through a symbolic link to nothing (7)",
    "path-through-a-symlink-out-of-the-root": _LINKS,
    "path-through-etc": _LINKS,
    "a-symlink-swapped-for-a-directory": _LINKS,
    "dots-that-climb": _DOTS,
    "dots-inside": _DOTS,
    "dots-at-the-end": _DOTS,
    "owners": "a directory has the time of unpacking where an entry below it does not follow it at once (11)",
    "xattrs-replaced": _MERGED,
    "overlays-own-attributes-are-data": _MERGED,
}


def dump(root: bytes) -> dict[bytes, tuple[object, ...]]:
    """Describe a directory as :func:`testkit.parity.look` describes a tree, with nothing but :mod:`os`."""
    found: dict[bytes, tuple[object, ...]] = {}
    first: dict[tuple[int, int], bytes] = {}
    top = os.open(root, os.O_PATH | os.O_DIRECTORY)

    def visit(parent: int, name: bytes, path: bytes) -> None:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        kind = stat.S_IFMT(status.st_mode)
        place = b"/proc/self/fd/%d/%s" % (parent, name)
        same = path if kind == stat.S_IFDIR else first.setdefault((status.st_dev, status.st_ino), path)
        content: object = (0, 0)
        if kind == stat.S_IFREG:
            with open(place, "rb") as file:
                content = file.read()
        elif kind == stat.S_IFLNK:
            content = os.readlink(name, dir_fd=parent)
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            content = (os.major(status.st_rdev), os.minor(status.st_rdev))
        elif kind == stat.S_IFDIR:
            content = None
        names = os.listxattr(place, follow_symlinks=False)
        xattrs = tuple((key, os.getxattr(place, key, follow_symlinks=False)) for key in sorted(names))
        mode = 0o777 if kind == stat.S_IFLNK else stat.S_IMODE(status.st_mode)
        found[path] = (kind, mode, status.st_uid, status.st_gid, status.st_mtime_ns, xattrs, content, same)
        if kind == stat.S_IFDIR:
            below = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
            for child in sorted(os.listdir(b"/proc/self/fd/%d" % below)):
                visit(below, child, child if path == b"." else path + b"/" + child)
            os.close(below)

    try:
        visit(top, b".", b".")
    finally:
        os.close(top)
    return found


def built(store: Store, stack: Stack) -> Described | None:
    """Return the tree of a stack, ``None`` where a layer of it is refused."""
    parent: str | None = None
    try:
        for layer in stack:
            parent = store.apply(io.BytesIO(archive(layer) or bytes(1024)), parent).snapshot.key
    except OSError:
        return None
    assert parent is not None
    with store.tree(parent) as tree:
        return look(tree)


def with_umoci(stacks: Mapping[str, Stack], root: Path) -> dict[str, Described | None]:
    """Unpack all with umoci."""
    program = need_tool("umoci")
    layout = root / "layout"
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    entries = []
    for name, stack in stacks.items():
        made = make_image([archive(layer) or bytes(1024) for layer in stack])
        for digest, data in made.blobs.items():
            (blobs / digest.removeprefix("sha256:")).write_bytes(data)
        annotations = {"org.opencontainers.image.ref.name": name}
        entries.append(descriptor(made.manifest, made.media_type, annotations=annotations))
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": entries}))
    found: dict[str, Described | None] = {}
    for name in stacks:
        bundle = root / "bundles" / name
        bundle.parent.mkdir(exist_ok=True)
        ran = subprocess.run(
            [program, "raw", "unpack", "--image", f"{layout}:{name}", bundle], capture_output=True, check=False
        )
        found[name] = dump(os.fsencode(bundle)) if ran.returncode == 0 else None
    return found


def with_tar(stacks: Mapping[str, Stack], root: Path) -> dict[str, Described | None]:
    """Unpack all with GNU tar, one layer over the other."""
    program = need_tool("tar")
    options = ["--extract", "--preserve-permissions", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls"]
    found: dict[str, Described | None] = {}
    for name, stack in stacks.items():
        tree = root / "trees" / name
        tree.mkdir(parents=True)
        codes = [
            subprocess.run(
                [program, *options, "--directory", tree], input=archive(layer), capture_output=True, check=False
            ).returncode
            for layer in stack
        ]
        found[name] = None if any(codes) else dump(os.fsencode(tree))
    return found


def _timed(tree: Described | None, ours: Described | None, stack: Stack, top: bool) -> Described | None:
    """Take the times of directories away that no layer says, and with ``top`` those that the topmost does not."""
    if tree is None or ours is None:
        return tree
    listed = {entry.path.strip(b"./") or b"." for entry in stack[-1] if entry.kind == "directory"}
    found = {}
    for path, told in tree.items():
        known = ours.get(path)
        silent = known is not None and known[4] == 0
        forget = told[0] == stat.S_IFDIR and (silent or (top and path not in listed))
        found[path] = (*told[:4], 0, *told[5:]) if forget else told
    return found


def check(
    theirs: Mapping[str, Described | None], wrong: Mapping[str, str], driver: str, path: Path, *, top: bool
) -> None:
    """Compare with a driver, but for what is known to be wrong there: that has to differ."""
    stacks = STACKS | AS_ROOT
    differ = {}
    with open_store(None if driver == "memory" else path, driver=driver, durability="none") as store:
        for name, found in theirs.items():
            ours = built(store, stacks[name])
            ours, found = _timed(ours, ours, stacks[name], top), _timed(found, ours, stacks[name], top)
            if found != ours:
                differ[name] = _difference(ours, found)
    unexpected = [f"{name}: {what}" for name, what in differ.items() if name not in wrong]
    assert not unexpected, f"{len(unexpected)}:\n" + "\n".join(unexpected)
    assert set(wrong) - set(differ) == set(), "what is said to be wrong is right"


def _difference(ours: Described | None, theirs: Described | None) -> str:
    if ours is None or theirs is None:
        return f"refused by {'us' if ours is None else 'them'} alone"
    keys = sorted(ours.keys() | theirs.keys())
    return "; ".join(
        f"{key!r:.40} ours {str(ours.get(key))[:120]} theirs {str(theirs.get(key))[:120]}"
        for key in keys
        if ours.get(key) != theirs.get(key)
    )[:400]


@pytest.fixture(scope="module")
def umoci_trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Described | None]:
    need_root()
    return with_umoci(STACKS | AS_ROOT, tmp_path_factory.mktemp("umoci"))


@pytest.fixture(scope="module")
def tar_trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Described | None]:
    need_root()
    plain = {
        name: stack
        for name, stack in (STACKS | AS_ROOT).items()
        if not any(b".wh." in entry.path for layer in stack for entry in layer)
    }
    return with_tar(plain, tmp_path_factory.mktemp("tar"))


@pytest.mark.parametrize("driver", ["overlayfs", "directory", "memory"])
def test_umoci(umoci_trees: dict[str, Described | None], driver: str, tmp_path: Path) -> None:
    check(umoci_trees, UMOCI, driver, tmp_path / "store", top=False)


@pytest.mark.parametrize("driver", ["overlayfs", "directory", "memory"])
def test_gnu_tar(tar_trees: dict[str, Described | None], driver: str, tmp_path: Path) -> None:
    check(tar_trees, TAR, driver, tmp_path / "store", top=True)
