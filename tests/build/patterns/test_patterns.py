"""Patterns as Docker and BuildKit have them."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from testkit.loops import need_root, need_tool

from overlaykit import errors
from overlaykit.build.patterns import PatternMatcher, check_glob, has_magic, match_glob, read_ignore_file

if TYPE_CHECKING:
    from pathlib import Path

GLOBS = [  # the first ones are those of Go's own table
    ("abc", "abc", True),
    ("*", "abc", True),
    ("*c", "abc", True),
    ("a*", "a", True),
    ("a*", "ab/c", False),
    ("a*/b", "abc/b", True),
    ("a*/b", "a/c/b", False),
    ("a*b*c*d*e*/f", "axbxcxdxe/f", True),
    ("a*b?c*x", "abxbbxdbxebxczzx", True),
    ("a*b?c*x", "abxbbxdbxebxczzy", False),
    ("ab[c]", "abc", True),
    ("ab[b-d]", "abc", True),
    ("ab[e-g]", "abc", False),
    ("ab[^c]", "abc", False),
    ("ab[^e-g]", "abc", True),
    (r"a\*b", "a*b", True),
    (r"a\*b", "ab", False),
    ("a?b", "a☺b", True),
    ("a[^a]b", "a☺b", True),
    ("a???b", "a☺b", False),
    ("[a-ζ]*", "α", True),
    ("*[a-ζ]", "A", False),
    ("a?b", "a/b", False),
    (r"[\]a]", "]", True),
    (r"[\-x]", "-", True),
    (r"[x\-]", "z", False),
    ("[!a]", "!", True),
    ("[!a]", "b", False),
    ("arr[[]0].txt", "arr[0].txt", True),
    ("[z-a]", "b", False),
    ("[^z-a]", "b", True),
    ("*x", "xxx", True),
    ("a\nb*", "a\nbc", True),
    ("[a&&b]", "&", True),
]


@pytest.mark.parametrize(("pattern", "name", "expected"), GLOBS)
def test_globs_match_as_go_has_it(pattern: str, name: str, expected: bool) -> None:
    assert match_glob(pattern, name) is expected


@pytest.mark.parametrize("pattern", ["[", "[^", "[^bc", "a[", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "a\\", "[\\"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(errors.BuildError, match=re.escape(repr(pattern))):
        check_glob(pattern)


@pytest.mark.parametrize(
    ("pattern", "expected"), [("a", False), ("a*", True), (r"a\*", False), (r"a\\*", True), ("[a]", True), ("?", True)]
)
def test_a_backslash_takes_the_meaning_away(pattern: str, expected: bool) -> None:
    assert has_magic(pattern) is expected


@given(st.text(alphabet="ab*?/.", max_size=8), st.text(alphabet="ab/.", max_size=8))
def test_plain_globs_match_as_those_of_python_within_a_name(pattern: str, name: str) -> None:
    if "/" not in pattern and "/" not in name:
        assert match_glob(pattern, name) is fnmatch.fnmatchcase(name, pattern)
    else:
        parts, names = pattern.split("/"), name.split("/")
        same = len(parts) == len(names) and all(map(fnmatch.fnmatchcase, names, parts))
        assert match_glob(pattern, name) is same


MATCHES = [  # the first ones are those of Docker's own table
    ("**", "file", True),
    ("**", "file/", True),
    ("**/", "file", True),
    ("**", "dir/file", True),
    ("**/**", "dir/file", True),
    ("dir/**", "dir/file", True),
    ("dir/**", "dir/dir2/file", True),
    ("dir/**", "dir", False),
    ("**/dir", "dir", True),
    ("**/dir", "dir/file", True),
    ("**/dir2/*", "dir/dir2/file", True),
    ("**/dir2/*", "dir/dir2/dir2/file", True),
    ("**file", "file", True),
    ("**file", "dir/file", True),
    ("**/file", "dir/dir/file", True),
    ("**/file*", "dir/dir/file.txt", True),
    ("**/file*txt", "dir/dir/file.txt", True),
    ("**/file*.txt*", "dir/dir/file.txt", True),
    ("**/**/*.txt", "dir/dir/file.txt", True),
    ("**/**/*.txt2", "dir/dir/file.txt", False),
    ("**/*.txt", "file.txt", True),
    ("a**/*.txt", "a/file.txt", True),
    ("a**/*.txt", "a/dir/dir/file.txt", True),
    ("a/*.txt", "a/file.txt", True),
    ("a/*.txt", "a/dir/file.txt", False),
    ("a/[b-d].txt", "a/c.txt", True),
    ("a/[b-d].txt", "a/x.txt", False),
    ("a\\*b", "a*b", True),
    ("a.*", "abc", False),
    ("a+b", "aab", False),
    ("(a)", "(a)", True),
    (".*", ".foo", True),
    (".*", "foo", False),
    ("abc.def", "abcdef", False),
    ("abc.def", "abcZdef", False),
    ("abc?def", "abcZdef", True),
    ("abc?def", "abcdef", False),
    ("a\\b*", "abc", True),
    ("foo", "foo/bar/baz", True),
    ("fo", "foo", False),
    ("*", "a/b/c", True),
    ("a^b*", "a^bc", False),  # the quirk of a matcher made of regular expressions
    ("a^b", "a^b", True),
    ("[a&&b]x", "&x", True),
    ("dir/", "dir/x", True),
    ("./a", "a", True),
    ("a//b/../c", "a/c", True),
]


@pytest.mark.parametrize(("pattern", "path", "expected"), MATCHES)
def test_a_pattern_leaves_out(pattern: str, path: str, expected: bool) -> None:
    assert PatternMatcher([pattern]).matches(path.rstrip("/")) is expected


LISTS = [
    (["*", "!keep"], "keep", False),
    (["*", "!keep"], "keep/below", False),
    (["*", "!keep", "keep/not"], "keep/not", True),
    (["!keep", "*"], "keep", True),
    (["docs", "!docs/README.md"], "docs/README.md", False),
    (["docs", "!docs/README.md"], "docs/x", True),
    (["*.md", "!README*.md", "README-secret.md"], "README-secret.md", True),
    (["*.md", "README-secret.md", "!README*.md"], "README-secret.md", False),
    (["**", "!**/*.go"], "a/b.go", False),
    (["a", "!a/b", "a/b/c"], "a/b/c/d", True),
    ([" a ", ""], "a", True),
    (["*/x", "!a"], "a/x", True),  # not asked for a, so nothing for what is in it
    (["a/*", "!a/b"], "a/b/c", False),
]


@pytest.mark.parametrize(("patterns", "path", "expected"), LISTS)
def test_the_last_pattern_that_matches_decides(patterns: list[str], path: str, expected: bool) -> None:
    assert PatternMatcher(patterns).matches(path) is expected


def test_the_top_itself_is_never_left_out() -> None:
    assert not PatternMatcher(["**", "."]).matches(".")


def test_an_exclamation_mark_alone_is_refused() -> None:
    with pytest.raises(errors.BuildError, match="! alone"):
        PatternMatcher(["a", "!"])


def test_lines_are_read_as_docker_does() -> None:
    text = "\ufeff# no\na \r\n #b\n\n! /c/ \n//d//e/../f\n/\n.\n\x0bg\n!\nh\u2028i"
    found = [(one.pattern, one.number) for one in read_ignore_file(text)]
    assert found == [
        ("a", 2),
        ("#b", 3),
        ("!c", 5),
        ("d/f", 6),
        ("/", 7),
        (".", 8),
        ("g", 9),
        ("!", 10),
        ("h\u2028i", 11),
    ]


def test_the_reason_is_the_pattern_that_decides() -> None:
    matcher = PatternMatcher(["a*", "!ab", "ab/c"], lines=[1, 3, 7])
    assert matcher.reason("ab/d") is None
    reason = matcher.reason("ab/c/e")
    assert reason is not None
    assert (reason.text, reason.line) == ("ab/c", 7)


NAMES = st.sampled_from(["a", "b", "ab", "a.b", "*", "**", "?", "a*", "[ab]"])
PATTERNS = st.builds(
    lambda keep, parts: keep + "/".join(parts), st.sampled_from(["", "!"]), st.lists(NAMES, min_size=1, max_size=3)
)
PATHS = st.lists(st.sampled_from(["a", "b", "ab", "a.b"]), min_size=1, max_size=4).map("/".join)


@given(st.lists(PATTERNS, max_size=5), PATHS)
@settings(max_examples=300)
def test_no_directory_is_passed_over_that_has_something_to_keep(patterns: list[str], path: str) -> None:
    matcher = PatternMatcher(patterns)
    if matcher.matches(path):
        return
    parts = path.split("/")
    for count in range(1, len(parts)):
        above = "/".join(parts[:count])
        assert not matcher.matches(above) or matcher.may_keep_below(above)


def test_directories_that_have_nothing_to_keep_are_known() -> None:
    matcher = PatternMatcher(["*", "!src/*.c", "!x*/y"])
    assert matcher.may_keep_below("src")
    assert matcher.may_keep_below("xyz")
    assert not matcher.may_keep_below("node_modules")
    assert not matcher.may_keep_below("xyz/z")
    assert PatternMatcher(["a", "!**/b"]).may_keep_below("anything")


IGNORE_FILES = [
    "*.log\n",
    "*\n!a\n",
    "**/*.txt\n!a/b/keep.txt\n",
    "a/b\n!a/b/keep.txt\n",
    "/a\n#*\n b/ \n",
    "?\n",
    "a/**\n",
    "**/b\n",
    "[ab]\n!a/x.log\n",
    "*/*\n!a/b\n",
]


@pytest.mark.parametrize("text", IGNORE_FILES)
def test_what_is_left_out_is_what_buildah_leaves_out(text: str, tmp_path: Path) -> None:
    need_root()
    need_tool("buildah")
    context = tmp_path / "context"
    for name in ("a/b/keep.txt", "a/b/x.txt", "a/x.log", "b/b/y", "c", "top.log", "top.txt"):
        file = context / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (context / ".dockerignore").write_text(text)
    (context / "Dockerfile").write_text("FROM scratch\nCOPY . /all/\n")
    matcher = PatternMatcher([one.pattern for one in read_ignore_file(text)])
    kept = {
        path.relative_to(context).as_posix()
        for path in context.rglob("*")
        if path.is_file() and not matcher.matches(path.relative_to(context).as_posix())
    }
    root, run = tmp_path / "root", tmp_path / "run"
    base = ["buildah", "--root", str(root), "--runroot", str(run), "--storage-driver", "vfs"]
    archive = tmp_path / "out.tar"
    build = [*base, "bud", "--isolation", "chroot", "-q", "-o", f"type=tar,dest={archive}", str(context)]
    subprocess.run(build, check=True, capture_output=True, timeout=60)
    with tarfile.open(archive) as tar:
        theirs = {one.name.removeprefix("all/") for one in tar if one.isfile()}
    assert kept == theirs
