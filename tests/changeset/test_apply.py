"""Every rule of applying layers, in every driver: the same tree, or the same refusal."""

from __future__ import annotations

import concurrent.futures
import contextlib
import io
import struct
import tarfile
import threading
import time
from typing import TYPE_CHECKING, BinaryIO

import pytest
from testkit.stacks import archive, link, node, shape, symlink, wh

from overlaykit import errors
from overlaykit.tree import compare

if TYPE_CHECKING:
    from collections.abc import Callable

    from testkit.stacks import Entry

    from overlaykit.store import Store

NOBODY = 0xFFFFFFFF
LOWER: list[Entry] = [
    "d/",
    "d/old=o",
    "d/sub/",
    "d/sub/deep=x",
    "b.txt=b",
    symlink("lnk", "d"),
    "f=lower",
    link("g", "f"),
]
BASE = {"d": "", "d/old": "o", "d/sub": "", "d/sub/deep": "x", "b.txt": "b", "lnk": "->d", "f": "lower", "g": "lower"}


def _base(*without: str, **more: str) -> dict[str, str]:
    left = {k: v for k, v in BASE.items() if not any(k == one or k.startswith(one + "/") for one in without)}
    return left | more


def _with(more: dict[str, str], *without: str) -> dict[str, str]:
    return _base(*without) | more


STACKS: dict[str, tuple[list[list[Entry]], dict[str, str]]] = {
    "whiteout": ([LOWER, [wh("d")]], _base("d")),
    "whiteout-before-new-directory": ([LOWER, [wh("d"), "d/", "d/new=n"]], _with({"d": "", "d/new": "n"}, "d")),
    "whiteout-after-new-directory": ([LOWER, ["d/", "d/new=n", wh("d")]], _with({"d": "", "d/new": "n"}, "d")),
    "whiteout-after-implicit-directory": ([LOWER, ["d/new=n", wh("d")]], _with({"d": "", "d/new": "n"}, "d")),
    "whiteout-between": (
        [LOWER, ["d/sub/a=1", wh("d"), "d/sub/b=2"]],
        _with({"d": "", "d/sub": "", "d/sub/a": "1", "d/sub/b": "2"}, "d"),
    ),
    "whiteout-after-file": ([LOWER, ["b.txt=new", wh("b.txt")]], _with({"b.txt": "new"})),
    "whiteout-before-file": ([LOWER, [wh("b.txt"), "b.txt=new"]], _with({"b.txt": "new"})),
    "opaque-first": ([LOWER, ["d/", "d/.wh..wh..opq=", "d/new=n"]], _with({"d": "", "d/new": "n"}, "d")),
    "opaque-last": (
        [LOWER, ["d/new=n", "d/sub/x=y", "d/.wh..wh..opq="]],
        _with({"d": "", "d/new": "n", "d/sub": "", "d/sub/x": "y"}, "d"),
    ),
    "opaque-alone": ([LOWER, ["d/.wh..wh..opq="]], _with({"d": ""}, "d")),
    "opaque-below": ([LOWER, ["d/sub/.wh..wh..opq="]], _base("d/sub/deep")),
    "opaque-nested": (
        [LOWER, ["d/", "d/sub/", "d/sub/n=1", "d/.wh..wh..opq="]],
        _with({"d": "", "d/sub": "", "d/sub/n": "1"}, "d"),
    ),
    "opaque-root": ([LOWER, [".wh..wh..opq=", "n=1", "d/x=2"]], {"n": "1", "d": "", "d/x": "2"}),
    "opaque-root-last": ([LOWER, ["n=1", "d/x=2", ".wh..wh..opq="]], {"n": "1", "d": "", "d/x": "2"}),
    "opaque-with-whiteout": (
        [LOWER, ["d/", "d/.wh..wh..opq=", wh("d/old"), "d/n=1"]],
        _with({"d": "", "d/n": "1"}, "d"),
    ),
    "opaque-new": ([LOWER, ["new/", "new/.wh..wh..opq=", wh("new/x"), "new/a=1"]], _with({"new": "", "new/a": "1"})),
    "opaque-nothing": ([LOWER, ["none/.wh..wh..opq="]], BASE),
    "opaque-file": ([LOWER, ["b.txt/.wh..wh..opq="]], BASE),
    "whiteout-nothing": ([LOWER, [wh("none"), wh("none/x"), wh("d/none")]], BASE),
    "whiteout-below-whiteout": ([LOWER, [wh("d"), wh("d/old")]], _base("d")),
    "whiteout-above-whiteout": ([LOWER, [wh("d/sub/deep"), wh("d/old"), wh("d")]], _base("d")),
    "whiteout-below-file": ([LOWER, [wh("b.txt/x")]], BASE),
    "whiteout-of-everything": ([LOWER, [wh(x) for x in ("d", "b.txt", "lnk", "f", "g")]], {}),
    "whiteout-through-symlink": ([LOWER, [wh("lnk/old")]], _base("d/old")),
    "whiteout-of-one-name": ([LOWER, [wh("g")]], _base("g")),
    "file-then-directory": ([LOWER, [wh("d"), "b.txt/", "b.txt/x=1"]], _with({"b.txt": "", "b.txt/x": "1"}, "d")),
    "file-over-directory": ([LOWER, ["d=file"]], _with({"d": "file"}, "d")),
    "symlink-over-directory": ([LOWER, [symlink("d", "b.txt")]], _with({"d": "->b.txt"}, "d")),
    "directory-over-symlink": ([LOWER, ["lnk/", "lnk/x=1"]], _with({"lnk": "", "lnk/x": "1"})),
    "directory-over-file-over-directory": ([LOWER, ["d=f"], ["d/", "d/n=1"]], _with({"d": "", "d/n": "1"}, "d")),
    "directory-over-whiteout": ([LOWER, [wh("d")], ["d/", "d/n=1"]], _with({"d": "", "d/n": "1"}, "d")),
    "ancestor-deleted": ([LOWER, [wh("d")], ["d/sub/n=1"]], _with({"d": "", "d/sub": "", "d/sub/n": "1"}, "d")),
    "file-and-directory-in-one-layer": ([LOWER, ["d=1", "d/", "d/n=2"]], _with({"d": "", "d/n": "2"}, "d")),
    "directory-and-file-in-one-layer": ([LOWER, ["n/", "n/x=1", "n=2"]], _with({"n": "2"})),
    "twice": ([LOWER, ["n=1", "n=2", symlink("n", "x"), "n=3", link("m", "n"), "n=4"]], _with({"n": "4", "m": "3"})),
    "link-to-lower": ([LOWER, [link("h", "b.txt")]], _with({"h": "b"})),
    "link-to-lower-link": ([LOWER, [link("h", "g")]], _with({"h": "lower"})),
    "link-to-lower-symlink": ([LOWER, [link("h", "lnk")]], _with({"h": "->d"})),
    "link-into-new-directory": ([LOWER, ["n/", link("n/h", "d/sub/deep")]], _with({"n": "", "n/h": "x"})),
    "link-chain": ([LOWER, [link("h", "b.txt"), link("i", "h"), link("j", "i")]], _with(dict.fromkeys("hij", "b"))),
    "link-then-target-replaced": ([LOWER, [link("h", "b.txt"), "b.txt=new"]], _with({"h": "b", "b.txt": "new"})),
    "link-over-directory": ([LOWER, [link("d", "b.txt")]], _with({"d": "b"}, "d")),
    "link-then-its-directory": (
        [LOWER, [link("n/h", "b.txt"), "n/", "n/x=1"]],
        _with({"n": "", "n/h": "b", "n/x": "1"}),
    ),
    "link-then-target-directory": ([LOWER, [link("h", "d/old"), "d/", "d=f"]], _with({"h": "o", "d": "f"}, "d")),
    "link-then-target-a-directory": (
        [LOWER, [link("h", "b.txt"), "b.txt/x=1"]],
        _with({"h": "b", "b.txt": "", "b.txt/x": "1"}),
    ),
    "link-in-replaced-directory": ([LOWER, [link("d/h", "b.txt"), "d=f"]], _with({"d": "f"}, "d")),
    "link-over-own-lower-name": ([LOWER, [link("g", "b.txt")]], _with({"g": "b"})),
    "link-replaced": ([LOWER, [link("h", "b.txt"), "h=own"]], _with({"h": "own"})),
    "link-through-symlink": ([LOWER, [link("lnk/h", "lnk/old")]], _with({"d/h": "o"})),
    "parent-through-symlink": ([LOWER, ["lnk/t=1"]], _with({"d/t": "1"})),
    "parent-through-absolute-symlink": ([LOWER, [symlink("a", "/d"), "a/t=1"]], _with({"a": "->/d", "d/t": "1"})),
    "parent-through-escaping-symlink": (
        [LOWER, [symlink("a", "../../../d/sub"), "a/t=1"]],
        _with({"a": "->../../../d/sub", "d/sub/t": "1"}),
    ),
    "parent-through-dangling-symlink": (
        [LOWER, [symlink("a", "x/y"), "a/t=1"]],
        _with({"a": "->x/y", "x": "", "x/y": "", "x/y/t": "1"}),
    ),
    "parent-is-a-file": ([LOWER, ["b.txt/x=1"]], _with({"b.txt": "", "b.txt/x": "1"})),
    "implicit": ([["x/y/z=1"]], {"x": "", "x/y": "", "x/y/z": "1"}),
    "absolute-and-dots": (
        [LOWER, ["/abs=1", "../../up=2", "./d/../dd=3", "d/./e=4"]],
        _with({"abs": "1", "up": "2", "dd": "3", "d/e": "4"}),
    ),
    "root-entry": ([LOWER, ["./", "./n=1"]], _with({"n": "1"})),
    "names": (
        [["-n=1", "a:b,c\\d=2", "n\nl=3", "x" * 255 + "=4"]],
        {"-n": "1", "a:b,c\\d": "2", "n\nl": "3", "x" * 255: "4"},
    ),
    "long-path": (
        [["/".join(["y" * 200] * 25) + "=1"]],
        {"/".join(["y" * 200] * n): "" for n in range(1, 25)} | {"/".join(["y" * 200] * 25): "1"},
    ),
    "fifo": ([LOWER, [node("p", tarfile.FIFOTYPE)]], _with({"p": "type 10000"})),
    "socket": ([LOWER, [node("s", b"s")]], BASE),
    "three": ([LOWER, [wh("d/old"), "d/m=1"], [wh("d/m"), "d/old=again"]], _with({"d/old": "again"})),
    "opaque-over-opaque": (
        [LOWER, ["d/.wh..wh..opq=", "d/m=1"], ["d/.wh..wh..opq=", "d/k=2"]],
        _with({"d": "", "d/k": "2"}, "d"),
    ),
    "restart-symlink": (
        [LOWER, ["lnk/t=1", wh("lnk")]],
        {**{k: v for k, v in BASE.items() if k != "lnk"}, "lnk": "", "lnk/t": "1"},
    ),
    "restart-many": (
        [LOWER, ["d/sub/t=1", wh("d/sub"), "lnk/u=2", wh("lnk"), wh("f")]],
        _with({"d/sub": "", "d/sub/t": "1", "lnk": "", "lnk/u": "2"}, "d/sub", "lnk", "f"),
    ),
    "aufs": ([LOWER, [".wh..wh.plnk/", ".wh..wh.aufs="]], BASE),
    "empty": ([LOWER, []], BASE),
}

REFUSED: dict[str, tuple[list[Entry], str]] = {
    "whiteout-of-nothing": ([".wh.="], "whiteout of nothing"),
    "whiteout-of-dot": (["d/.wh..="], "whiteout of nothing"),
    "whiteout-of-dots": (["d/.wh...="], "whiteout of nothing"),
    "link-to-nothing": ([link("h", "none")], "none"),
    "link-to-later": ([link("h", "n"), "n=1"], "'n'"),
    "link-to-hidden": ([wh("b.txt"), link("h", "b.txt")], "b.txt"),
    "link-to-hidden-later": ([link("h", "b.txt"), wh("b.txt")], "b.txt"),
    "link-to-opaque": (["d/.wh..wh..opq=", link("h", "d/old")], "d/old"),
    "link-to-directory": ([link("h", "d")], "directory"),
    "link-over-its-target": ([link("d", "d/old")], "below it"),
    "link-to-itself": ([link("h", "h")], "itself"),
    "symlink-loop": ([symlink("a", "b"), symlink("b", "a"), "a/x=1"], "loop"),
    "whiteout-device": ([node("w", tarfile.CHRTYPE)], "0:0"),
    "long-name": (["x" * 256 + "=1"], "name"),
    "root-is-a-file": ([".="], "directory"),
}

PLAIN = pytest.param("plain", marks=pytest.mark.native)
DRIVERS = [
    pytest.param("overlayfs", marks=pytest.mark.native),
    pytest.param("directory", marks=pytest.mark.native),
    PLAIN,
    "memory",
]


@pytest.fixture(params=DRIVERS)
def store(request: pytest.FixtureRequest, make_store: Callable[[str], Store]) -> Store:
    """A new store over each driver."""
    return make_store(request.param)


def _apply(store: Store, layers: list[list[Entry]], name: str = "layer") -> str:
    parent = None
    for number, entries in enumerate(layers):
        parent = store.apply(io.BytesIO(archive(entries)), parent, f"{name}-{number}").snapshot.key
    assert parent is not None
    return parent


def test_stacks(store: Store) -> None:
    """The tree is right, a child sees it too, and the driver knows of the change what comparing the trees tells."""
    wrong = []
    for case, (layers, expected) in STACKS.items():
        key = _apply(store, layers, case)
        parent = store.stat(key).parent
        known = list(store.changes(key))
        with contextlib.ExitStack() as stack:
            after = stack.enter_context(store.tree(key, readonly=True))
            before = None if parent is None else stack.enter_context(store.tree(parent, readonly=True))
            if shape(after) != expected:
                wrong.append(f"{case}: {shape(after)}")
            if known != list(compare(before, after)):
                wrong.append(f"{case}: {known}")
        if case == "long-path" and store.driver_name == "plain":
            continue  # shutil.copytree, with which it copies, takes no path of this length
        child = store.prepare(f"child of {case}", key).key
        with store.tree(child) as tree:
            if shape(tree) != expected:
                wrong.append(f"{case}, a child: {shape(tree)}")
            for path in ("d", "lnk"):
                if not tree.exists(path, follow_symlinks=False):
                    tree.mkdir(path)
                    if tree.listdir(path):
                        wrong.append(f"{case}: {path} made again holds {tree.listdir(path)}")
    assert not wrong


def test_refused(store: Store) -> None:
    base = _apply(store, [LOWER])
    before = {info.key for info in store.walk()}
    for case, (entries, word) in REFUSED.items():
        with pytest.raises((errors.LayerFormatError, errors.LimitError), match=word) as caught:
            store.apply(io.BytesIO(archive(entries)), base, "bad")
        assert "\n" not in str(caught.value)
        assert {info.key for info in store.walk()} == before, case


def test_nothing_is_inherited(store: Store) -> None:
    """A default ACL of a directory gives nothing to what a layer puts there: the layer says all."""
    entry = struct.Struct("<HHI")
    rules = ((1, 7, NOBODY), (2, 7, 4242), (4, 5, NOBODY), (16, 7, NOBODY), (32, 5, NOBODY))
    acl = struct.pack("<I", 2) + b"".join(entry.pack(*rule) for rule in rules)
    directory = node("a/", tarfile.DIRTYPE)
    directory.mode = 0o755
    directory.pax_headers = {"SCHILY.xattr.system.posix_acl_default": acl.decode("utf-8", "surrogateescape")}
    key = _apply(store, [[directory], ["a/b=1", "a/c/", symlink("a/l", "b"), node("a/p", tarfile.FIFOTYPE)]])
    with store.tree(key, readonly=True) as tree:
        assert tree.listxattr("a") == ["system.posix_acl_default"]
        assert [tree.listxattr(f"a/{name}", follow_symlinks=False) for name in "bclp"] == [[]] * 4
        assert tree.stat("a/b").st_mode & 0o777 == 0o644


# The driver plain copies with shutil.copytree, which keeps no hard links.
@pytest.mark.parametrize("driver", [driver for driver in DRIVERS if driver is not PLAIN])
def test_link_keeps_one_file(make_store: Callable[[str], Store], driver: str) -> None:
    store = make_store(driver)
    key = _apply(store, [LOWER, [link("h", "g"), link("i", "b.txt")]])
    with store.tree(key, readonly=True) as tree:
        same = {tree.stat(path).st_ino for path in ("f", "g", "h")}
        assert len(same) == 1
        assert {tree.stat(path).st_nlink for path in ("f", "g", "h")} == {3}
        assert tree.stat("i").st_ino == tree.stat("b.txt").st_ino != tree.stat("f").st_ino
        assert tree.stat("h").st_mtime == 1_700_000_000


@pytest.mark.parametrize("driver", [DRIVERS[0], "memory"])
def test_whiteouts_are_linear(make_store: Callable[[str], Store], driver: str) -> None:
    store = make_store(driver)
    _apply(store, [[f"d{n % 20}/f{n}=x" for n in range(20_000)]], "base")
    began = time.process_time()
    store.apply(io.BytesIO(archive([wh(f"d{n % 20}/f{n}") for n in range(3000)])), "base-0", "top")
    took = time.process_time() - began
    with store.tree("top", readonly=True) as tree:
        assert sum(len(tree.listdir(f"d{n}")) for n in range(20)) == 17_000
    assert took < 30


@pytest.mark.parametrize("driver", [DRIVERS[0], "memory"])
def test_links_to_below_are_linear(make_store: Callable[[str], Store], driver: str) -> None:
    store = make_store(driver)
    _apply(store, [[f"f{n}=x" for n in range(2000)]], "base")
    began = time.process_time()
    top: list[Entry] = [link(f"g{n}", f"f{n}") for n in range(2000)]
    store.apply(io.BytesIO(archive([*top, *(f"h{n}=y" for n in range(10_000))])), "base-0", "top")
    assert time.process_time() - began < 30
    with store.tree("top", readonly=True) as tree:
        assert len(tree.listdir("")) == 14_000
        assert tree.read_text("g1999") == "x"


@pytest.mark.native
def test_layers_that_wait_for_each_other(make_store: Callable[[str], Store]) -> None:
    """Each begins before the one below it is there, and all but the first ask what is below at their end."""
    store = make_store("overlayfs")
    layers = [["base=1", "d/"], ["d/one=1"], ["d/two=2", "base=2"]]
    lowest = threading.Event()

    def lowest_opened() -> BinaryIO:
        assert lowest.wait(60)
        return io.BytesIO(archive(layers[0]))

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        first = pool.submit(store.apply, lowest_opened)
        second = pool.submit(store.apply, io.BytesIO(archive(layers[1])), lambda: first.result().snapshot.key)
        third = pool.submit(store.apply, io.BytesIO(archive(layers[2])), lambda: second.result().snapshot.key)
        while len(list(store.walk(kind="active"))) < 3:
            time.sleep(0.01)
        # They have begun, and have nothing left to do but to wait.
        time.sleep(0.2)
        lowest.set()
        key = third.result(60).snapshot.key
    assert [info.parent for info in (store.stat(key), store.stat(second.result().snapshot.key))] == [
        second.result().snapshot.key,
        first.result().snapshot.key,
    ]
    with store.tree(key) as tree:
        assert shape(tree) == {"base": "2", "d": "", "d/one": "1", "d/two": "2"}


@pytest.mark.native
def test_the_layer_below_fails(make_store: Callable[[str], Store]) -> None:
    store = make_store("overlayfs")

    def below() -> str:
        raise errors.LayerFormatError("the one below is damaged: get it again")

    with pytest.raises(errors.LayerFormatError, match="the one below"):
        store.apply(io.BytesIO(archive(["f=1"])), below, "above")
    assert list(store.walk()) == []
