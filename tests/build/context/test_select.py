"""What the sources of COPY and ADD name."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from overlaykit import errors
from overlaykit.build.context import Ignore, select
from overlaykit.tree import HostTree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from overlaykit.tree import Tree

FILES = (
    "a.txt",
    "b.txt",
    "dir/a.txt",
    "dir/deep/b.txt",
    "dir/deep/er/c.md",
    "empty/",
    "node_modules/x/y.js",
    "arr[0].txt",
    "src/main.c",
)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / "context" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir()
        else:
            path.write_text(name)
    return tmp_path / "context"


@pytest.fixture
def tree(context: Path) -> Iterator[Tree]:
    with HostTree(os.open(context, os.O_RDONLY | os.O_DIRECTORY), readonly=True) as opened:
        yield opened


def _targets(
    tree: Tree, *sources: str, ignore: str = "", exclude: tuple[str, ...] = (), parents: bool = False
) -> list[str]:
    found = select(tree, sources, ignore=Ignore.read(ignore), exclude=Ignore(exclude), parents=parents)
    return [entry.target for group in found for entry in group if entry.target]


CASES: list[tuple[tuple[str, ...], dict[str, object], list[str]]] = [
    (("a.txt",), {}, ["a.txt"]),
    (("/a.txt",), {}, ["a.txt"]),
    (("dir",), {}, ["a.txt", "deep", "deep/b.txt", "deep/er", "deep/er/c.md"]),
    (("dir/",), {}, ["a.txt", "deep", "deep/b.txt", "deep/er", "deep/er/c.md"]),
    (("*.txt",), {}, ["a.txt", "arr[0].txt", "b.txt"]),
    (("arr[[]0].txt",), {}, ["arr[0].txt"]),
    (("[^b].txt",), {}, ["a.txt"]),
    (("dir/*/*.txt",), {}, ["b.txt"]),
    (("a.txt", "no*"), {"ignore": "node_modules"}, ["a.txt"]),
    (("*.txt",), {"exclude": ("a*",)}, ["b.txt"]),
    (("dir",), {"exclude": ("**/*.txt",)}, ["deep", "deep/er", "deep/er/c.md"]),
    (("dir",), {"exclude": ("deep", "!deep/er/*.md")}, ["a.txt", "deep", "deep/er", "deep/er/c.md"]),
    (("dir",), {"ignore": "dir/deep\n"}, ["a.txt"]),
    (("dir",), {"ignore": "*\n!dir/deep/er\n"}, ["deep", "deep/er", "deep/er/c.md"]),
    (("dir/deep",), {"ignore": "dir\n!dir/deep/b.txt\n"}, ["b.txt"]),
    (("dir/a.txt", "src/main.c"), {"parents": True}, ["dir", "dir/a.txt", "src", "src/main.c"]),
    (("dir/./deep/b.txt",), {"parents": True}, ["deep", "deep/b.txt"]),
    (("dir/./*/b.txt",), {"parents": True}, ["deep", "deep/b.txt"]),
    (("**/*.md",), {"parents": True}, ["dir", "dir/deep", "dir/deep/er", "dir/deep/er/c.md"]),
    (("dir/**/*.txt",), {"parents": True}, ["dir", "dir/a.txt", "dir", "dir/deep", "dir/deep/b.txt"]),
    (("dir/./**/*.txt",), {"parents": True}, ["a.txt", "deep", "deep/b.txt"]),
]


@pytest.mark.parametrize(("sources", "options", "expected"), CASES)
def test_sources_name(tree: Tree, sources: tuple[str, ...], options: dict[str, object], expected: list[str]) -> None:
    assert _targets(tree, *sources, **options) == expected  # type: ignore[arg-type]


MISSES = [
    ("nothing", "", "there is no 'nothing' to copy: check the path"),
    ("a.tx", "", "did you mean 'a.txt'?"),
    ("src/man.c", "", "did you mean 'src/main.c'?"),
    ("a.txt", "# c\n\n*.txt\n", "'*.txt' of .dockerignore, line 3 leaves it out"),
    ("src/main.c", "src\n", "'src' of .dockerignore, line 1 leaves it out"),
    ("src", "src\n", "'src' of .dockerignore, line 1 leaves it out"),
    ("*.zip", "", "there is no '*.zip' to copy"),
    ("../a.txt", "", "'../a.txt' is outside of the build context"),
    ("dir/../../x", "", "outside of the build context"),
    ("out", "", "it is a symbolic link to '/etc/hostname-of-the-host'"),
    ("up", "", "it is a symbolic link to '../../secret'"),
    ("loop", "", "it is a symbolic link to 'loop'"),
    ("a[", "", "has a [ without a ]"),
]


@pytest.mark.parametrize(("source", "ignore", "message"), MISSES)
def test_what_is_not_there_is_told_with_why(tree: Tree, context: Path, source: str, ignore: str, message: str) -> None:
    (context.parent / "secret").write_text("no")
    (context / "out").symlink_to("/etc/hostname-of-the-host")
    (context / "up").symlink_to("../../secret")
    (context / "loop").symlink_to("loop")
    with pytest.raises(errors.BuildError, match=re.escape(message)):
        _targets(tree, source, ignore=ignore)


def test_what_is_ignored_for_good_is_not_looked_into(tree: Tree, context: Path) -> None:
    if os.geteuid():
        (context / "node_modules").chmod(0)
    else:
        # Root may list everything; a directory that is not there any more nobody can.
        (context / "node_modules").rename(context.parent / "elsewhere")
        (context / "node_modules").symlink_to("nowhere")
    assert "dir/deep" in _targets(tree, ".", ignore="node_modules\ndir\n!dir/deep\n")
    if os.geteuid():
        (context / "node_modules").chmod(0o700)


def test_a_directory_that_may_not_be_listed_is_told(tree: Tree, context: Path) -> None:
    if not os.geteuid():
        pytest.skip("needs a user other than root, who may list everything")
    (context / "dir").chmod(0o100)
    with pytest.raises(errors.BuildError, match="'dir' may not be listed: change its mode"):
        _targets(tree, ".")
    (context / "dir").chmod(0o700)


def test_a_directory_that_is_ignored_but_for_something_in_it_keeps_its_mode(tree: Tree, context: Path) -> None:
    (context / "dir").chmod(0o711)
    found = select(tree, ["."], ignore=Ignore.read("dir\n!dir/deep/b.txt"), exclude=Ignore())
    modes = {entry.target: entry.status.st_mode & 0o777 for entry in found[0]}
    assert modes["dir"] == 0o711
    assert "dir/a.txt" not in modes


def test_names_that_are_not_utf_8_are_found_and_sorted_by_bytes(tree: Tree, context: Path) -> None:
    name = os.fsdecode(b"dir/\xff\xfe")
    (context / name).write_text("x")
    (context / "dir/é").write_text("x")
    raw = [os.fsencode(one) for one in _targets(tree, "dir")]
    assert raw == [b"a.txt", b"deep", b"\xc3\xa9", b"\xff\xfe", b"deep/b.txt", b"deep/er", b"deep/er/c.md"]
    assert b"\xff\xfe" not in [os.fsencode(one) for one in _targets(tree, "dir", exclude=("??",))]
