"""TreePath against pathlib: the same calls on a tree and on a directory give the same."""

from __future__ import annotations

import errno
import operator
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from overlaykit.errors import CapabilityError, StoreClosedError
from overlaykit.tree import HostTree, Tree, TreePath

NewTree = Callable[[], Tree]
PATHS = [
    "/",
    "/a",
    "/a/b/c.txt",
    "/a/archive.tar.gz",
    "/.hidden",
    "/a/.hidden.d",
    "/trailing.",
    "/a/..",
    "/a/../b",
    "//a//./b/",
    "/\udcff/\udcfe.x",
    "/with space/new\nline.x",
]

PURE: dict[str, Callable[[Any], object]] = {
    "str": str,
    "bytes": bytes,
    "posix": lambda p: p.as_posix(),
    "parts": lambda p: p.parts,
    "name": lambda p: p.name,
    "stem": lambda p: p.stem,
    "suffix": lambda p: p.suffix,
    "suffixes": lambda p: p.suffixes,
    "root": lambda p: p.root,
    "anchor": lambda p: p.anchor,
    "drive": lambda p: p.drive,
    "parent": lambda p: str(p.parent),
    "parents": lambda p: [str(parent) for parent in p.parents],
    "last parent": lambda p: str(p.parents[-1]),
    "first parents": lambda p: [str(parent) for parent in p.parents[:2]],
    "absolute": lambda p: p.is_absolute(),
    "slash": lambda p: str(p / "x/y"),
    "slash absolute": lambda p: str(p / "/x"),
    "slash pure": lambda p: str(p / PurePosixPath("x/../y")),
    "joinpath": lambda p: str(p.joinpath("x", "y", "/z", "w")),
    "joinpath nothing": lambda p: str(p.joinpath()),
    "slash a number": lambda p: p / 1,
    "with_name": lambda p: str(p.with_name("new")),
    "with_name of a path": lambda p: str(p.with_name("a/b")),
    "with_name of nothing": lambda p: str(p.with_name("")),
    "with_stem": lambda p: str(p.with_stem("new")),
    "with_suffix": lambda p: str(p.with_suffix(".new")),
    "without suffix": lambda p: str(p.with_suffix("")),
    "with_suffix that is none": lambda p: str(p.with_suffix("new")),
    "relative to the root": lambda p: str(p.relative_to("/")),
    "relative to a": lambda p: str(p.relative_to("/a")),
    "relative to something relative": lambda p: str(p.relative_to("a")),
    "is relative to a": lambda p: p.is_relative_to("/a"),
    "is relative to itself": lambda p: p.is_relative_to(p),
    "match *.txt": lambda p: p.match("*.txt"),
    "match b/*": lambda p: p.match("b/*"),
    "match /a/*": lambda p: p.match("/a/*"),
    "match [!a]": lambda p: p.match("[!a]*"),
    "hash": lambda p: hash(p) == hash(p.joinpath()),
    "equal": lambda p: p == p.joinpath(),
    "not equal": lambda p: p != p / "x",
    "equal to text": lambda p: p == str(p),
    "less": lambda p: p < p / "x",
    "less or equal": lambda p: p <= p / "x",
    "greater": lambda p: p > p / "x",
    "greater or equal": lambda p: p >= p,
    "less than text": lambda p: p < "x",
}


def outcome(operation: Callable[[Any], object], on: object) -> object:
    try:
        return operation(on)
    except OSError as error:
        return error.errno
    except Exception as error:
        return next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")


@pytest.mark.parametrize("path", PATHS)
def test_a_path_alone_is_as_pathlibs(new_memory_tree: NewTree, path: str) -> None:
    ours = TreePath(new_memory_tree(), path)
    # Two slashes at the beginning are pathlib's own matter: a tree has one root.
    theirs = PurePosixPath("/" + path.lstrip("/"))
    for name, operation in PURE.items():
        assert (name, outcome(operation, ours)) == (name, outcome(operation, theirs))


@pytest.mark.parametrize("paths", [["/a/b", "/a", "/b", "/a b", "/a-b/c", "/"]])
def test_paths_sort_as_pathlibs(new_memory_tree: NewTree, paths: list[str]) -> None:
    tree = new_memory_tree()
    expected = [str(path) for path in sorted(map(PurePosixPath, paths))]
    assert [str(path) for path in sorted(tree / path for path in paths)] == expected


def test_paths_belong_to_one_tree(new_memory_tree: NewTree) -> None:
    one, other = new_memory_tree(), new_memory_tree()
    path = one / "a"
    assert path.tree is one
    assert one.root == TreePath(one) == one / "" == one / "/" == one / "."
    assert path != other / "a"
    assert path == one / "a"
    assert len({path, one / "a", other / "a"}) == 2
    assert str(path) == "/a"
    assert repr(path) == f"TreePath({one!r}, '/a')"
    assert path.absolute() is path
    assert one / "x" / path == path
    for compare in (operator.lt, operator.le, operator.gt, operator.ge):
        with pytest.raises(TypeError):
            compare(path, other / "a")
    uses: list[Callable[[TreePath], object]] = [
        lambda p: path / p,
        path.joinpath,
        path.relative_to,
        path.rename,
        path.hardlink_to,
        path.symlink_to,
    ]
    for use in uses:
        with pytest.raises(ValueError, match="another tree"):
            use(other / "a")


def test_a_path_is_immutable(new_memory_tree: NewTree) -> None:
    path: Any = new_memory_tree() / "a"
    for name in ("tree", "name", "parts", "anything"):
        with pytest.raises(AttributeError):
            setattr(path, name, None)


def test_a_path_is_not_taken_for_one_of_this_machine(new_memory_tree: NewTree) -> None:
    path: Any = new_memory_tree() / "etc/passwd"
    assert not isinstance(path, os.PathLike)
    for use in (open, os.stat, Path):
        with pytest.raises(TypeError):
            use(path)
    with pytest.raises(CapabilityError):
        _ = path.host_path


@pytest.mark.native
def test_the_host_path_is_one_of_this_machine(tree: HostTree) -> None:
    (tree / "dir").mkdir()
    (tree / "dir" / "file").write_text("content")
    assert Path((tree / "dir/file").host_path).read_text() == "content"
    assert os.listdir(tree.root.host_path) == ["dir"]
    assert tree.root.host_path == tree.host_path


def test_bytes_are_segments(new_memory_tree: NewTree) -> None:
    tree = new_memory_tree()
    path = tree / b"\xff" / b"file"
    path.parent.mkdir()
    path.write_bytes(b"1")
    assert bytes(path) == b"/\xff/file"
    assert list(tree.root.rglob("file")) == [path]
    assert list(tree.root.glob("\udcff/*")) == [path]
    assert TreePath(tree, b"\xff", "file") == path


# -- with what is there ------------------------------------------------------------------------------------------


def furnish(root: Any) -> None:
    """The same calls make the same in a tree and in a directory."""
    (root / "dir" / "sub" / "deep").mkdir(parents=True)
    (root / "dir" / "sub" / "deep" / "deepest.txt").write_text("deepest")
    (root / "dir" / "one.txt").write_text("one")
    (root / "dir" / "two.py").write_bytes(b"two\r\nlines\rand more\n")
    (root / "empty").mkdir(mode=0o700)
    (root / ".hidden").touch()
    (root / "file").write_text("f\u00fcr")
    (root / "file").chmod(0o640)
    (root / "link").symlink_to("file")
    (root / "dirlink").symlink_to("dir/sub")
    (root / "dangling").symlink_to("nowhere")
    (root / "loop").symlink_to("loop")
    (root / "dir" / "up").symlink_to("../dir/one.txt")
    (root / "hard").hardlink_to(root / "file")
    (root / "brackets[1]").touch()


def text(path: Any, root: Any) -> str:
    """A path without what lies above its root."""
    return "/" + str(path)[len(str(root)) :].lstrip("/")


def texts(paths: Any, root: Any) -> list[str]:
    return sorted(text(path, root) for path in paths)


def walked(root: Any, path: Any, **options: Any) -> list[object]:
    return sorted((text(p, root), sorted(d), sorted(f)) for p, d, f in path.walk(**options))


def read(path: Any, **options: Any) -> list[object]:
    with path.open(**options) as file:
        return list(file)


Operation = Callable[[Any], object]
QUESTIONS = ["exists", "is_dir", "is_file", "is_symlink", "is_fifo", "is_socket", "is_block_device", "is_char_device"]
NAMES = [
    "",
    "dir",
    "file",
    "link",
    "dirlink",
    "dangling",
    "loop",
    "hard",
    "nothing",
    "file/x",
    "loop/x",
    "nul\0",
    "dir/..",
]
PATTERNS = [
    "*",
    "*.txt",
    "*/*",
    "**/*.txt",
    "**/*",
    "dir/*.??",
    "dir/**/deep/*",
    "*/",
    "dir/",
    "dir/sub",
    "nothing",
    "nothing/*",
    "file/*",
    "link",
    "dangling",
    "dirlink/*",
    "*link/*",
    "[!.]*",
    ".*",
    "brackets[[]1]",
    "dir/../file",
    "**/sub/../*.py",
    "**/**/one.txt",
    "d*r/s*b/d*p",
    "./file",
    "",
    "/absolute",
    "a**b",
]

READING: dict[str, Operation] = {
    **{
        f"{question} {name!r}": lambda r, q=question, n=name: getattr(r / n, q)()
        for question in QUESTIONS
        for name in NAMES
    },
    **{f"glob {pattern!r}": lambda r, p=pattern: texts(r.glob(p), r) for pattern in PATTERNS},
    **{f"rglob {p!r}": lambda r, p=p: texts(r.rglob(p), r) for p in ["*", "*.txt", "sub", "*/", "dir/*", "/x"]},
    "rglob upwards": lambda r: texts((r / "dir").rglob("../*.txt"), r),
    "glob in a file": lambda r: texts((r / "file").glob("*"), r),
    "glob in a link": lambda r: texts((r / "dirlink").glob("**/*"), r),
    "iterdir": lambda r: texts(r.iterdir(), r),
    "iterdir of a link": lambda r: texts((r / "dirlink").iterdir(), r),
    "iterdir of a file": lambda r: list((r / "file").iterdir()),
    "iterdir of nothing": lambda r: list((r / "nothing").iterdir()),
    "read_text": lambda r: (r / "file").read_text(encoding="utf-8"),
    "read_text with all line ends": lambda r: (r / "dir/two.py").read_text(encoding="utf-8"),
    "read_text wrongly": lambda r: (r / "file").read_text(encoding="ascii"),
    "read_text ignoring": lambda r: (r / "file").read_text(encoding="ascii", errors="ignore"),
    "read_bytes": lambda r: (r / "link").read_bytes(),
    "read_bytes of a directory": lambda r: (r / "dir").read_bytes(),
    "readlink": lambda r: str((r / "dirlink").readlink()),
    "readlink of a file": lambda r: (r / "file").readlink(),
    "stat": lambda r: stat.filemode((r / "link").stat().st_mode),
    "stat, not following": lambda r: stat.S_ISLNK((r / "link").stat(follow_symlinks=False).st_mode),
    "lstat": lambda r: stat.S_ISLNK((r / "link").lstat().st_mode),
    "stat of nothing": lambda r: (r / "nothing").stat(),
    "samefile": lambda r: (r / "file").samefile(r / "hard"),
    "samefile through a link": lambda r: (r / "file").samefile(r / "link"),
    "not samefile": lambda r: (r / "file").samefile(r / "dir/one.txt"),
    "samefile as nothing": lambda r: (r / "file").samefile(r / "nothing"),
    "resolve": lambda r: text((r / "dirlink/deep/../../up").resolve(), r.resolve()),
    "resolve of nothing": lambda r: text((r / "dirlink/nothing/x").resolve(), r.resolve()),
    "resolve of nothing, strictly": lambda r: (r / "dirlink/nothing").resolve(strict=True),
    "resolve of a file, strictly": lambda r: text((r / "link").resolve(strict=True), r.resolve()),
    "resolve below a file, strictly": lambda r: (r / "file/x").resolve(strict=True),
    "resolve of a dangling link": lambda r: text((r / "dangling").resolve(), r.resolve()),
    "open": lambda r: read(r / "dir/two.py", newline=""),
    "open binary": lambda r: read(r / "dir/two.py", mode="rb"),
    "open in no mode": lambda r: (r / "file").open("q"),
}

WRITING: dict[str, Operation] = {
    "mkdir": lambda r: (r / "new").mkdir(),
    "mkdir with a mode": lambda r: (r / "new").mkdir(0o701),
    "mkdir with parents": lambda r: (r / "new/a/b").mkdir(parents=True),
    "mkdir with parents and a mode": lambda r: (r / "new/a/b").mkdir(0o700, parents=True),
    "mkdir with parents that exist": lambda r: (r / "dir/sub").mkdir(parents=True),
    "mkdir with parents that exist, and all right": lambda r: (r / "dir/sub").mkdir(parents=True, exist_ok=True),
    "mkdir without parents": lambda r: (r / "new/a").mkdir(),
    "mkdir without parents, and all right": lambda r: (r / "new/a").mkdir(exist_ok=True),
    "mkdir that exists": lambda r: (r / "dir").mkdir(),
    "mkdir that exists, and all right": lambda r: (r / "dir").mkdir(exist_ok=True),
    "mkdir through a link, and all right": lambda r: (r / "dirlink").mkdir(exist_ok=True),
    "mkdir over a file, and all right": lambda r: (r / "file").mkdir(exist_ok=True),
    "mkdir with parents below a file": lambda r: (r / "file/x/y").mkdir(parents=True, exist_ok=True),
    "rmdir": lambda r: (r / "empty").rmdir(),
    "rmdir of a full one": lambda r: (r / "dir").rmdir(),
    "rmdir of a file": lambda r: (r / "file").rmdir(),
    "unlink": lambda r: (r / "file").unlink(),
    "unlink a link": lambda r: (r / "dangling").unlink(),
    "unlink nothing": lambda r: (r / "nothing").unlink(),
    "unlink nothing, and all right": lambda r: (r / "nothing").unlink(missing_ok=True),
    "unlink a directory": lambda r: (r / "dir").unlink(missing_ok=True),
    "unlink below a file": lambda r: (r / "file/x").unlink(missing_ok=True),
    "rename": lambda r: text((r / "file").rename(r / "new"), r),
    "rename a directory": lambda r: text((r / "dir").rename(r / "empty"), r),
    "rename over a full directory": lambda r: (r / "empty").rename(r / "dir"),
    "rename nothing": lambda r: (r / "nothing").rename(r / "new"),
    "replace": lambda r: text((r / "file").replace(r / "dir/one.txt"), r),
    "symlink_to": lambda r: (r / "new").symlink_to("../any"),
    "symlink_to a directory": lambda r: (r / "new").symlink_to("dir", target_is_directory=True),
    "symlink_to over a file": lambda r: (r / "file").symlink_to("x"),
    "hardlink_to": lambda r: (r / "new").hardlink_to(r / "file"),
    "hardlink_to a link": lambda r: (r / "new").hardlink_to(r / "link"),
    "hardlink_to nothing": lambda r: (r / "new").hardlink_to(r / "nothing"),
    "hardlink_to over a file": lambda r: (r / "file").hardlink_to(r / "dir/one.txt"),
    "touch": lambda r: (r / "new").touch(),
    "touch with a mode": lambda r: (r / "new").touch(0o600),
    "touch a file": lambda r: (r / "file").touch(0o600),
    "touch a directory": lambda r: (r / "dir").touch(),
    "touch through a dangling link": lambda r: (r / "dangling").touch(),
    "touch what exists": lambda r: (r / "file").touch(exist_ok=False),
    "touch in nothing": lambda r: (r / "nothing/x").touch(),
    "write_text": lambda r: (r / "new").write_text("\u00fc\n", encoding="utf-8"),
    "write_text with line ends": lambda r: (r / "new").write_text("a\nb\n", encoding="utf-8", newline="\r\n"),
    "write_text of bytes": lambda r: (r / "file").write_text(b"x"),
    "write_bytes": lambda r: (r / "link").write_bytes(b"\0\1"),
    "write_bytes of a view": lambda r: (r / "new").write_bytes(memoryview(b"view")),
    "write_bytes to a directory": lambda r: (r / "dir").write_bytes(b""),
    "chmod": lambda r: (r / "link").chmod(0o751),
    "chmod with setuid": lambda r: (r / "file").chmod(0o4755),
    "chmod nothing": lambda r: (r / "nothing").chmod(0o700),
    "lchmod a directory": lambda r: (r / "dir").chmod(0o700),
}


def state(root: Any) -> dict[str, object]:
    """What a tree or a directory holds, told by the calls under test that the reading ones have proven."""
    found = {}
    todo = [root]
    while todo:
        here = todo.pop()
        for path in here.iterdir():
            status = path.lstat()
            what: object = stat.filemode(status.st_mode), status.st_nlink if path.is_file() else 0
            if path.is_symlink():
                what = str(path.readlink())
            elif path.is_dir():
                todo.append(path)
            else:
                what = what, path.read_bytes()
            found[text(path, root)] = what
    return found


@pytest.fixture
def pair(new_tree: NewTree, tmp_path: Path) -> tuple[TreePath, Path]:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    ours = new_tree().root
    furnish(ours)
    furnish(theirs)
    return ours, theirs


#: What later Pythons answer otherwise than 3.11, whose habits a TreePath has: since when, and the answer of 3.11.
CHANGED: dict[str, tuple[tuple[int, int], object]] = {
    "glob 'dangling'": ((3, 12), []),
    "glob 'a**b'": ((3, 13), ValueError),
}


def test_reading_is_as_pathlibs(pair: tuple[TreePath, Path]) -> None:
    ours, theirs = pair
    wrong = {}
    for name, operation in READING.items():
        got, expected = outcome(operation, ours), outcome(operation, theirs)
        since, before = CHANGED.get(name, ((9, 9), None))
        if sys.version_info >= since:
            expected = before
        if got != expected:
            wrong[name] = got, expected
    assert wrong == {}
    assert state(ours) == state(theirs)


@pytest.mark.parametrize("name", WRITING)
def test_writing_is_as_pathlibs(pair: tuple[TreePath, Path], name: str) -> None:
    ours, theirs = pair
    assert outcome(WRITING[name], ours) == outcome(WRITING[name], theirs)
    assert state(ours) == state(theirs)


@pytest.mark.parametrize("options", [{}, {"top_down": False}, {"follow_symlinks": True}])
def test_walk(pair: tuple[TreePath, Path], options: dict[str, bool]) -> None:
    ours, theirs = pair
    (ours / "loop").unlink()
    (theirs / "loop").unlink()
    if sys.version_info >= (3, 12):
        assert walked(ours, ours, **options) == walked(theirs, theirs, **options)
    found = list(ours.walk(**options))
    assert len(found) == (5 if not options.get("follow_symlinks") else 7)
    assert found[-1 if options.get("top_down") is False else 0][0] == ours


def test_walk_can_be_pruned_and_tells_errors(pair: tuple[TreePath, Path]) -> None:
    ours, _ = pair
    seen = []
    for path, directories, _ in ours.walk():
        seen.append(str(path))
        directories[:] = [name for name in directories if name == "dir"]
    assert seen == ["/", "/dir"]
    failures: list[OSError] = []
    assert list((ours / "nothing").walk()) == []
    assert list((ours / "nothing").walk(on_error=failures.append)) == []
    assert [error.errno for error in failures] == [errno.ENOENT]


def test_what_differs_from_pathlib_as_documented(pair: tuple[TreePath, Path]) -> None:
    ours, _ = pair
    # Relative targets are taken from the root.
    assert (ours / "dir/one.txt").rename("moved") == ours / "moved"
    (ours / "dir/linked").hardlink_to("moved")
    assert (ours / "dir/linked").samefile("moved")
    # A path of the tree as a link's target is held from the root.
    (ours / "dir/absolute").symlink_to(ours / "moved")
    assert (ours / "dir/absolute").readlink() == PurePosixPath("/moved")
    assert (ours / "dir/absolute").resolve() == ours / "moved"
    # A directory that cannot be listed says so at once.
    with pytest.raises(NotADirectoryError):
        (ours / "moved").iterdir()
    # Loops are ELOOP where it matters.
    with pytest.raises(OSError, match="symbolic links") as caught:
        (ours / "loop").resolve(strict=True)
    assert caught.value.errno == errno.ELOOP
    assert (ours / "loop").resolve() == ours / "loop"
    assert isinstance((ours / "dir").relative_to("/"), PurePosixPath)
    # Text is UTF-8 whatever the locale is.
    (ours / "text").write_text("ü")
    assert (ours / "text").read_bytes() == "ü".encode()
    with pytest.raises(OSError, match=r".") as caught:
        (ours / "link").lchmod(0o600)
    assert caught.value.errno == errno.EOPNOTSUPP


def test_further_methods(new_tree: NewTree) -> None:
    path = new_tree() / "file"
    path.write_text("content")
    path.truncate(3)
    assert path.read_text() == "con"
    path.utime(ns=(1, 2))
    assert (path.stat().st_atime_ns, path.stat().st_mtime_ns) == (1, 2)
    path.chown(-1, -1)
    path.setxattr("user.a", b"1")
    assert path.listxattr() == ["user.a"]
    assert path.getxattr("user.a") == b"1"
    path.removexattr("user.a")
    assert path.listxattr() == []
    (path.parent / "a/b/c").mkdir(parents=True)
    (path.parent / "a").rmtree()
    assert list(path.parent.iterdir()) == [path]


def test_a_closed_tree_says_so(new_memory_tree: NewTree) -> None:
    tree = new_memory_tree()
    path = tree / "file"
    tree.close()
    for use in (
        path.exists,
        path.is_dir,
        path.stat,
        path.read_text,
        lambda: list(path.walk()),
        path.resolve,
        path.touch,
    ):
        with pytest.raises(StoreClosedError):
            use()
