"""What layers add, change, remove and waste, against what tarfile and the drivers' own trees say."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import stat
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest
from testkit.images import make_image, write_layout

from overlaykit.errors import LayerFormatError, NotFoundError
from overlaykit.explore import Cause, Waste, analyse, group_waste, instruction_text
from overlaykit.tree import Aspect, ChangeKind, compare

from .conftest import archive, link, member, symlink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from overlaykit.explore import Analysis, Entry
    from overlaykit.image import ImageStore
    from overlaykit.tree import Tree

BASE = archive(
    member("etc"),
    member("etc/motd", b"hello\n"),
    member("etc/conf", b"c" * 1000),
    member("usr"),
    member("usr/lib"),
    member("usr/lib/big", b"b" * 50_000),
    member("usr/lib/small", b"s" * 10),
    link("usr/lib/again", "usr/lib/big"),
    symlink("lib", "usr/lib"),
    member("var"),
    member("var/cache"),
    member("var/cache/a", b"a" * 3000),
    member("var/cache/b", b"b" * 4000),
    member(b"var/latin-\xe9", b"x" * 77),
    member("dev/pipe", type=tarfile.FIFOTYPE, mode=0o600),
)
SECOND = archive(
    member("etc/conf", b"c" * 1000, mode=0o600),
    member("etc/motd", b"other\n"),
    member("lib/through", b"t" * 500),
    member("var/.wh.cache"),
    member("var/cache2", b"a" * 3000),
    member("usr/lib/.wh.small", b""),
    member("usr/copy", b"b" * 50_000),
)
THIRD = archive(
    member("var"),
    member("var/new", b"n" * 20),
    member("var/.wh..wh..opq", b""),
    member("usr/lib/big", b"B" * 60_000),
    member("twice", b"1" * 11),
    member("twice", b"2" * 12),
)


def waste(analysis: Analysis) -> list[tuple[str, int, int, int, str]]:
    return [(one.path, one.bytes, one.layer, one.hidden_by, str(one.cause)) for one in analysis.waste]


def test_what_each_layer_does(load: Callable[..., ImageStore], driver: str) -> None:
    store = load(BASE, SECOND, THIRD, driver=driver)
    analysis = analyse(store, "image:1")
    assert [layer.stored for layer in analysis.layers] == [58_093, 54_506, 60_043]
    totals = [layer.total for layer in analysis.layers]
    assert [(one.added, one.modified, one.removed) for one in totals] == [(10, 0, 0), (3, 2, 3), (2, 1, 2)]
    changes = {one.path: one for one in analysis.layers[1].changes}
    assert changes["etc/conf"].aspects == Aspect.MODE
    assert changes["etc/motd"].aspects == Aspect.CONTENT
    assert changes["usr/lib/through"].kind is ChangeKind.ADDED
    assert changes["var/cache"].kind is changes["var/cache/b"].kind is ChangeKind.DELETED
    assert "lib" not in changes
    assert changes["etc/conf"].entry.mode == 0o600
    assert changes["var/cache/b"].entry.size == 4000


def test_what_is_wasted_and_why(load: Callable[..., ImageStore], driver: str) -> None:
    analysis = analyse(load(BASE, SECOND, THIRD, driver=driver), "image:1")
    # usr/lib/big lives on under its other name, usr/lib/again.
    assert sorted(waste(analysis)) == sorted(
        [
            ("var/cache/b", 4000, 0, 1, "deleted"),
            ("var/cache/a", 3000, 0, 1, "moved"),
            ("var/cache2", 3000, 1, 2, "deleted"),
            ("etc/conf", 1000, 0, 1, "rewritten"),
            ("var/latin-\udce9", 77, 0, 2, "deleted"),
            ("twice", 11, 2, 2, "replaced"),
            ("usr/lib/small", 10, 0, 1, "deleted"),
            ("etc/motd", 6, 0, 1, "replaced"),
        ]
    )
    assert [one.bytes for one in analysis.waste] == sorted((one.bytes for one in analysis.waste), reverse=True)
    moved = next(one for one in analysis.waste if one.cause is Cause.MOVED)
    assert moved.moved_to == "var/cache2"
    assert next(one for one in analysis.waste if one.cause is Cause.REWRITTEN).aspects == Aspect.MODE
    assert analysis.wasted == 11_104
    assert analysis.stored == 172_642
    assert analysis.efficiency == 1 - 11_104 / 172_642
    assert analysis.user_wasted == 11_104 / (54_506 + 60_043)
    assert [layer.wasted for layer in analysis.layers] == [8093, 3000, 11]
    assert [layer.hidden for layer in analysis.layers] == [0, 8016, 3088]
    assert [(one.bytes, one.places) for one in analysis.duplicates] == [
        (50_000, (("usr/lib/again", 0), ("usr/copy", 1)))
    ]
    below = analysis.directories(1)["var"]
    assert (below.added, below.removed, below.stored, below.hidden) == (1, 2, 3000, 7000)
    assert analysis.directories(2)["."].stored == analysis.layers[2].stored
    groups = [(one.hidden_by, str(one.cause), one.files, one.bytes, one.path) for one in group_waste(analysis.waste)]
    assert (1, "deleted", 2, 4010, ".") in groups
    assert (1, "moved", 1, 3000, "var/cache/a") in groups


def same(tree: Tree, path: str, entry: Entry) -> None:
    status = tree.stat(path, follow_symlinks=False)
    assert status.st_mode == entry.st_mode, path
    assert (status.st_uid, status.st_gid) == (entry.uid, entry.gid), path
    assert status.st_mtime_ns == entry.mtime, path
    if stat.S_ISREG(status.st_mode):
        assert hashlib.sha256(tree.read_bytes(path)).digest() == entry.digest, path
    if stat.S_ISLNK(status.st_mode):
        assert os.fsencode(tree.readlink(path)) == entry.target


def everything(tree: Tree) -> set[str]:
    return {entry.path for _, directories, files in tree.walk() for entry in (*directories, *files)}


def test_the_merged_trees_are_those_of_the_driver(load: Callable[..., ImageStore], driver: str) -> None:
    store = load(BASE, SECOND, THIRD, driver=driver)
    analysis = analyse(store, "image:1")
    for layer in analysis.layers:
        with store.tree(layer.chain_id) as tree:
            entries = dict(layer.root.walk())
            assert everything(tree) == set(entries)
            for path, entry in entries.items():
                same(tree, path, entry)


def minimal(analysis: Analysis, index: int) -> Iterator[tuple[str, str, Aspect]]:
    gone = ""
    for one in analysis.layers[index].changes:
        if one.kind is ChangeKind.DELETED:
            if gone and one.path.startswith(gone):
                continue
            gone = f"{one.path}/"
        yield str(one.kind), one.path, one.aspects


def test_the_changes_are_those_of_compare(load: Callable[..., ImageStore], driver: str) -> None:
    store = load(BASE, SECOND, THIRD, driver=driver)
    analysis = analyse(store, "image:1")
    for lower, upper in itertools.pairwise(analysis.layers):
        with store.tree(lower.chain_id) as before, store.tree(upper.chain_id) as after:
            expected = [
                (str(one.kind), one.path, one.aspects & ~Aspect.LINKS)
                for one in compare(before, after)
                if one.aspects != Aspect.LINKS
            ]
        assert list(minimal(analysis, upper.index)) == expected


def test_whiteouts_may_stand_anywhere(load: Callable[..., ImageStore]) -> None:
    """A layer that must be applied again: its whiteout hides what was used before it came."""
    lower = archive(member("d"), member("d/link", b"12345"), symlink("way", "d"))
    upper = archive(member("way/new", b"abc"), member(".wh.way", b""), member(".wh.d", b""))
    analysis = analyse(load(lower, upper), "image:1")
    assert sorted(path for path, _ in analysis.layers[1].root.walk()) == ["way", "way/new"]
    assert waste(analysis) == [("d/link", 5, 0, 1, "deleted")]


def test_hard_links_count_once_and_live_until_the_last_name_goes(load: Callable[..., ImageStore]) -> None:
    first = archive(member("a", b"x" * 100), link("b", "a"), link("c", "a"))
    second = archive(member(".wh.a", b""), link("d", "c"))
    third = archive(member(".wh.b", b""), member(".wh.c", b""))
    fourth = archive(member(".wh.d", b""))
    store = load(first, second, third, fourth)
    analysis = analyse(store, "image:1")
    assert [layer.stored for layer in analysis.layers] == [100, 0, 0, 0]
    assert [sum(one.stored for one in layer.changes) for layer in analysis.layers] == [100, 0, 0, 0]
    assert waste(analysis) == [("a", 100, 0, 3, "deleted")]
    assert analysis.efficiency == 0
    assert analysis.user_wasted == float("inf")
    assert analysis.layers[2].root.find("d") is not None


def test_a_chmod_that_doubles_a_layer(load: Callable[..., ImageStore]) -> None:
    files = {f"app/{number}": bytes([number]) * 1000 for number in range(50)}
    first = archive(member("app"), *(member(path, data) for path, data in files.items()))
    second = archive(member("app"), *(member(path, data, uid=7, gid=7) for path, data in files.items()))
    analysis = analyse(load(first, second), "image:1")
    assert analysis.efficiency == 0.5
    [group] = group_waste(analysis.waste)
    assert (group.cause, group.files, group.bytes, group.path) == (Cause.REWRITTEN, 50, 50_000, "app")
    assert {one.aspects for one in analysis.waste} == {Aspect.OWNER}


def test_files_and_directories_take_each_others_place(load: Callable[..., ImageStore], driver: str) -> None:
    first = archive(member("a"), member("a/x", b"1" * 5), member("b", b"2" * 6))
    second = archive(member("a", b"3" * 7), member("b"), member("b/y", b"4" * 8))
    analysis = analyse(load(first, second, driver=driver), "image:1")
    kinds = [(str(one.kind), one.path, one.aspects) for one in analysis.layers[1].changes]
    assert kinds == [
        ("modified", "a", Aspect.TYPE),
        ("deleted", "a/x", Aspect.NONE),
        ("modified", "b", Aspect.TYPE),
        ("added", "b/y", Aspect.NONE),
    ]
    assert sorted(waste(analysis)) == [("a/x", 5, 0, 1, "deleted"), ("b", 6, 0, 1, "replaced")]


def test_a_container_is_the_topmost_layer(load: Callable[..., ImageStore], driver: str) -> None:
    store = load(BASE, SECOND, driver=driver)
    box = store.create_container("image:1", "box")
    box.tree.write_bytes("new", b"n" * 33)
    box.tree.link("new", "linked")
    box.tree.unlink("usr/copy")
    box.tree.chmod("etc/conf", 0o640)
    box.tree.symlink("new", "way")
    box.tree.rmtree("etc/../dev")
    box.tree.write_bytes("dev", b"file now")
    box.close()
    analysis = analyse(store, None, "box")
    top = analysis.layers[-1]
    assert top.is_container
    assert [layer.is_container for layer in analysis.layers] == [False, False, True]
    assert (top.total.added, top.total.modified, top.total.removed) == (3, 2, 2)
    assert top.stored == 33 + 1000 + 8
    assert ("usr/copy", 50_000, 1, 2, "deleted") in waste(analysis)
    assert ("etc/conf", 1000, 1, 2, "rewritten") in waste(analysis)
    with store.tree("box", readonly=True) as tree:
        assert everything(tree) == {path for path, _ in top.root.walk()}
        for path, entry in top.root.walk():
            same(tree, path, entry)
    with pytest.raises(ValueError, match="not of"):
        analyse(store, _other(store), "box")
    store.remove_container("box")
    with pytest.raises(NotFoundError):
        analyse(store, None, "box")


def _other(store: ImageStore) -> str:
    with store.container("image:1") as box:
        box.tree.write_text("x", "y")
        return box.commit("other:1").digest


def test_a_commit_of_the_container_says_the_same(load: Callable[..., ImageStore], driver: str) -> None:
    store = load(BASE, driver=driver)
    with store.container("image:1", "box") as box:
        box.tree.write_bytes("new", b"n" * 33)
        box.tree.rmtree("var")
        # A third name, and one that sorts first: the two others did not change.
        box.tree.link("usr/lib/big", "a-link")
        box.tree.link("usr/lib/big", "z-link")
        box.tree.rename("usr/lib/small", "etc/small")
        before = analyse(store, None, "box")
        box.commit("made:1")
    after = analyse(store, "made:1")
    assert [(one.kind, one.path, one.stored) for one in before.layers[1].changes] == [
        (one.kind, one.path, one.stored) for one in after.layers[1].changes
    ]
    assert before.waste == after.waste
    assert [one.path for one in before.waste if one.cause is Cause.REWRITTEN] == ["usr/lib/big"]
    assert [one.moved_to for one in before.waste if one.cause is Cause.MOVED] == ["etc/small"]


def test_the_history_is_paired_with_the_layers(load: Callable[..., ImageStore]) -> None:
    history = [
        {"created_by": "/bin/sh -c #(nop) ADD file:1 in / "},
        {"created_by": '/bin/sh -c #(nop)  CMD ["sh"]', "empty_layer": True},
        {"created_by": "RUN /bin/sh -c make # buildkit", "created": "2020-01-01T00:00:00Z"},
    ]
    store = load(BASE, SECOND, THIRD, config={"history": history})
    analysis = analyse(store, "image:1")
    assert [step.layer for step in analysis.steps] == [0, None, 1, 2]
    assert [instruction_text(layer.created_by) for layer in analysis.layers] == ["ADD file:1 in /", "RUN make", ""]
    assert instruction_text(analysis.steps[1].created_by) == 'CMD ["sh"]'
    assert instruction_text("|1 A=b /bin/sh -c echo $A") == "RUN echo $A"
    assert instruction_text("overlaykit commit", "why") == "overlaykit commit: why"
    assert instruction_text("COPY . /app # buildkit", "buildkit.dockerfile.v0") == "COPY . /app"


def test_who_else_has_a_layer(load: Callable[..., ImageStore]) -> None:
    store = load(BASE, SECOND)
    with store.container("image:1") as box:
        box.tree.write_text("x", "y")
        box.commit("other:2")
    assert [layer.shared for layer in analyse(store, "other:2").layers] == [("image:1",), ("image:1",), ()]


def test_holes_are_not_stored_but_are_content(load: Callable[..., ImageStore]) -> None:
    out = io.BytesIO()
    info = tarfile.TarInfo("sparse")
    # The GNU format 1.0: a map of one piece of 10 bytes at 4096, then those.
    content = b"1\n4096\n10\n".ljust(512, b"\0") + b"0123456789"
    info.size = len(content)
    info.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "sparse",
        "GNU.sparse.realsize": "1000000",
    }
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(content))
    plain = archive(member("plain", b"\0" * 4096 + b"0123456789" + b"\0" * (1_000_000 - 4106)))
    analysis = analyse(load(out.getvalue(), plain), "image:1")
    entry = analysis.layers[0].root.find("sparse")
    assert entry is not None
    assert (entry.size, entry.stored) == (1_000_000, 10)
    assert analysis.layers[0].stored == 10
    assert [(one.places, one.size, one.bytes) for one in analysis.duplicates] == [
        ((("sparse", 0), ("plain", 1)), 1_000_000, 1_000_000)
    ]


def test_an_image_without_layers_wastes_nothing(load: Callable[..., ImageStore]) -> None:
    analysis = analyse(load(), "image:1")
    assert (analysis.layers, analysis.waste, analysis.stored, analysis.efficiency) == ((), (), 0, 1.0)
    assert analysis.user_wasted == 0


def test_what_is_lost_or_damaged_is_named(load: Callable[..., ImageStore]) -> None:
    store = load(BASE, driver="directory")
    digest = store.manifest("image:1").layers[0].digest
    path = store.content.path(digest)
    assert path is not None
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    os.chmod(path, 0o644)
    path.write_bytes(data)
    with pytest.raises(LayerFormatError):
        analyse(store, "image:1")
    store.content.remove(digest)
    with pytest.raises(NotFoundError, match=digest):
        analyse(store, "image:1")
    with pytest.raises(NotFoundError, match="nothing"):
        analyse(store, "nothing")
    with pytest.raises(ValueError, match="neither"):
        analyse(store, None)


def test_progress_reaches_the_end(load: Callable[..., ImageStore]) -> None:
    store = load(BASE, SECOND)
    seen: list[tuple[int, int]] = []
    analyse(store, "image:1", progress=lambda done, size: seen.append((done, size)))
    total = sum(layer.size for layer in store.manifest("image:1").layers)
    assert seen[-1] == (total, total)
    assert seen == sorted(seen)


def test_values_are_frozen() -> None:
    one = Waste("a", 1, 0, 1, Cause.DELETED)
    with pytest.raises(AttributeError):
        one.bytes = 2  # type: ignore[misc]


def test_without_the_native_module_no_image_gets_here(tmp_path: Path) -> None:
    write_layout(tmp_path / "layout", {"image:1": make_image([BASE])})
    program = (
        "import sys\n"
        "sys.modules['overlaykit._native'] = None\n"
        "from overlaykit import errors, open_store\n"
        "with open_store(driver='memory') as store:\n"
        "    try:\n"
        "        store.load(sys.argv[1])\n"
        "    except errors.UnsupportedError as error:\n"
        "        print(error, len(store.images()))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", program, tmp_path / "layout"], capture_output=True, text=True, check=True
    )
    assert ran.stdout == (
        "overlaykit's native module is missing, and images and their layers need it whatever the driver: "
        "reinstall overlaykit on Linux with a C compiler 0\n"
    )
