"""The trees that the analysis makes of stacks of layers are those of the model, which drivers are held to."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from testkit.images import make_image, write_layout
from testkit.layer_model import Entry as Member
from testkit.layer_model import Refused, d, described, f, h, model, o, w
from testkit.layer_model import archive as pack
from testkit.parity import AS_ROOT, STACKS, Stack

from overlaykit.explore import analyse
from overlaykit.image import open_store

if TYPE_CHECKING:
    from overlaykit.explore import Analysis, Entry

pytestmark = pytest.mark.native


def expected(stack: Stack) -> dict[bytes, tuple[object, ...]] | None:
    """Return what the model says, with digests for contents; ``None`` where it refuses a layer."""
    try:
        found = described(model(stack))
    except Refused:
        return None
    return {
        path: (*one[:6], hashlib.sha256(one[6]).digest() if stat.S_ISREG(one[0]) else one[6], one[7])  # type: ignore[arg-type]
        for path, one in found.items()
    }


def look(root: Entry) -> dict[bytes, tuple[object, ...]]:
    """Return a tree of an analysis as the model describes it."""
    found: dict[bytes, tuple[object, ...]] = {}
    first: dict[int, bytes] = {}
    for text, one in [(".", root), *root.walk()]:
        path = os.fsencode(text)
        name = path if one.is_directory else first.setdefault(one.inode, path)
        content: object = (os.major(one.device), os.minor(one.device))
        if one.is_directory:
            content = None
        elif stat.S_ISREG(one.st_mode):
            content = one.digest
        elif stat.S_ISLNK(one.st_mode):
            content = one.target
        xattrs = tuple((os.fsdecode(key), value) for key, value in one.xattrs)
        mode = stat.S_IMODE(one.st_mode)
        found[path] = (stat.S_IFMT(one.st_mode), mode, one.uid, one.gid, one.mtime, xattrs, content, name)
    return found


def made(stack: Stack, path: Path) -> Analysis:
    layers = [pack(layer) or bytes(1024) for layer in stack]
    write_layout(path, {"stack:1": make_image(layers, compression="none")})
    with open_store(driver="memory") as store:
        store.load(path)
        return analyse(store, "stack:1")


def check(stack: Stack, path: Path) -> None:
    wanted = expected(stack)
    if wanted is None:  # no driver takes it in
        return
    analysis = made(stack, path)
    assert look(analysis.layers[-1].root) == wanted
    live = {entry.inode: entry.stored for _, entry in analysis.layers[-1].root.walk()}
    assert sum(live.values()) + analysis.wasted == analysis.stored
    assert sum(layer.wasted for layer in analysis.layers) == analysis.wasted
    assert sum(layer.hidden for layer in analysis.layers) == analysis.wasted
    for index, layer in enumerate(analysis.layers):
        twice = sum(one.bytes for one in analysis.waste if one.layer == one.hidden_by == index)
        assert sum(one.stored for one in layer.changes) + twice == layer.stored


@pytest.mark.parametrize("name", [*STACKS, *AS_ROOT])
def test_every_stack(tmp_path: Path, name: str) -> None:
    check({**STACKS, **AS_ROOT}[name], tmp_path / "layout")


_PATHS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join)


@st.composite
def _layers(draw: st.DrawFn) -> list[Member]:
    members: list[Member] = []
    for _ in range(draw(st.integers(0, 7))):
        path = draw(_PATHS)
        kind = draw(st.sampled_from("fffddwwohh"))
        if kind == "f":
            members.append(f(path, draw(st.sampled_from(["", "x", "yy"])), mode=draw(st.sampled_from([0o644, 0o600]))))
        elif kind == "d":
            members.append(d(path))
        elif kind == "w":
            members.append(w(path))
        elif kind == "o":
            members.append(o(path))
        else:
            members.append(h(path, draw(_PATHS)))
    return members


@pytest.mark.hypothesis
@settings(deadline=None)
@given(stack=st.lists(_layers(), min_size=1, max_size=4))
def test_random_stacks(stack: Stack) -> None:
    with tempfile.TemporaryDirectory() as directory:
        check(stack, Path(directory) / "layout")
