"""makedirs, walk and rmtree, on any tree."""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable

import pytest

from overlaykit.tree import Tree, TreeEntry

NewTree = Callable[[], Tree]


@pytest.fixture
def tree(new_tree: NewTree) -> Tree:
    return new_tree()


@pytest.mark.parametrize("path", ["a/b/c", "/a//b/c/", b"a/b/c"])
def test_makedirs_makes_what_is_missing(tree: Tree, path: str | bytes) -> None:
    tree.mkdir("a", 0o711)
    tree.makedirs(path, 0o700)
    modes = [stat.S_IMODE(tree.stat(name).st_mode) for name in ("a", "a/b", "a/b/c")]
    assert modes[0] == 0o711
    assert modes[2] == 0o700
    with pytest.raises(FileExistsError) as caught:
        tree.makedirs(path)
    assert caught.value.errno == errno.EEXIST
    tree.makedirs(path, exist_ok=True)


def test_makedirs_over_something_else(tree: Tree) -> None:
    tree.write_bytes("file", b"")
    tree.symlink("nowhere", "dangling")
    tree.mkdir("dir")
    tree.symlink("dir", "link")
    for path, error in (
        ("file", FileExistsError),
        ("file/x", NotADirectoryError),
        ("file/x/y", NotADirectoryError),
        ("dangling", FileExistsError),
        ("dangling/x", FileNotFoundError),
    ):
        with pytest.raises(error):
            tree.makedirs(path, exist_ok=True)
    tree.makedirs("link", exist_ok=True)
    tree.makedirs("link/x")
    assert tree.is_dir("dir/x")
    for root in ("", "/", "."):
        tree.makedirs(root, exist_ok=True)
        with pytest.raises(FileExistsError):
            tree.makedirs(root)


def furnish(tree: Tree) -> None:
    tree.makedirs("b/d/e")
    tree.mkdir("a")
    tree.mkdir("c")
    for path in ("top", "a/1", "b/2", "b/d/e/3"):
        tree.write_bytes(path, path.encode())
    tree.symlink("b", "link")
    tree.symlink("nowhere", "a/dangling")


def shape(level: tuple[str, list[TreeEntry], list[TreeEntry]]) -> tuple[str, list[str], list[str]]:
    path, directories, others = level
    return path, sorted(entry.path for entry in directories), sorted(entry.path for entry in others)


EXPECTED = {
    "": (["a", "b", "c"], ["link", "top"]),
    "a": ([], ["a/1", "a/dangling"]),
    "b": (["b/d"], ["b/2"]),
    "b/d": (["b/d/e"], []),
    "b/d/e": ([], ["b/d/e/3"]),
    "c": ([], []),
}


@pytest.mark.parametrize("topdown", [True, False])
def test_walk_sees_everything_once(tree: Tree, topdown: bool) -> None:
    furnish(tree)
    levels = [shape(level) for level in tree.walk(topdown=topdown)]
    assert {path: (directories, others) for path, directories, others in levels} == EXPECTED
    assert len(levels) == len(EXPECTED)
    order = [path for path, _, _ in levels]
    for path in order:
        if path:
            above = order.index(path.rpartition("/")[0])
            assert (above < order.index(path)) is topdown


def test_walk_can_be_pruned_and_begin_anywhere(tree: Tree) -> None:
    furnish(tree)
    seen = []
    for path, directories, _ in tree.walk():
        seen.append(path)
        directories[:] = [entry for entry in directories if entry.name != "b"]
    assert sorted(seen) == ["", "a", "c"]
    assert [shape(level)[0] for level in tree.walk("/b/d/")] == ["b/d", "b/d/e"]
    assert [shape(level)[0] for level in tree.walk(b"link")] == ["link", "link/d", "link/d/e"]
    for path, error in (("top", NotADirectoryError), ("nothing", FileNotFoundError)):
        with pytest.raises(error):
            list(tree.walk(path))


def test_walk_while_what_is_below_is_removed(tree: Tree) -> None:
    furnish(tree)
    for path, directories, _ in tree.walk():
        for entry in list(directories):
            if entry.name == "b":
                tree.rmtree(entry.path)
                directories.remove(entry)
        assert not path.startswith("b")


def test_rmtree_removes_links_and_not_what_they_lead_to(tree: Tree) -> None:
    furnish(tree)
    tree.symlink("/a", "b/d/to-a")
    tree.symlink("../../..", "b/d/e/up")
    tree.rmtree("b")
    assert sorted(tree.listdir()) == ["a", "c", "link", "top"]
    assert tree.read_bytes("a/1") == b"a/1"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("top", errno.ENOTDIR),
        ("link", errno.ENOTDIR),
        ("link/", errno.ENOTDIR),
        ("nothing", errno.ENOENT),
        ("a/1/x", errno.ENOTDIR),
        (b"nothing/x", errno.ENOENT),
    ],
)
def test_rmtree_of_no_directory(tree: Tree, path: str | bytes, code: int) -> None:
    furnish(tree)
    with pytest.raises(OSError, match=r".") as caught:
        tree.rmtree(path)
    assert caught.value.errno == code
    assert caught.value.filename == path
    assert {shape(level)[0] for level in tree.walk()} == set(EXPECTED)


@pytest.mark.parametrize("root", ["", "/", "."])
def test_rmtree_of_the_root_empties_it(tree: Tree, root: str) -> None:
    furnish(tree)
    before = tree.stat().st_ino
    tree.rmtree(root)
    assert tree.listdir() == []
    assert tree.stat().st_ino == before


def test_a_deep_tree(tree: Tree) -> None:
    path = "/".join(["deep"] * 1100)
    tree.makedirs(path)
    tree.write_bytes(f"{path}/file", b"1")
    levels = [level[0] for level in tree.walk()]
    assert len(levels) == 1101
    assert levels[-1] == path
    assert [level[0] for level in tree.walk(topdown=False)] == levels[::-1]
    tree.rmtree("deep")
    assert tree.listdir() == []
