"""Copies told beforehand make the layers that copying makes, member by member, or are left to be copied."""

from __future__ import annotations

import io
import os
import socket
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlaykit import errors
from overlaykit.build.context import CopyOptions, Ignore, copy_entries, plan_copy, select
from overlaykit.changeset import compressed
from overlaykit.image import open_store
from overlaykit.store import begin_layer
from overlaykit.tree import HostTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from overlaykit.image import ImageStore
    from overlaykit.tree import Tree

pytestmark = pytest.mark.native

ME = os.geteuid(), os.getegid()
TIMES = (1_600_000_000_123_456_789, 1_600_000_000_000_000_000, 1_500_000_000_500_000_000)


@pytest.fixture(params=["overlayfs", "directory", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ImageStore]:
    path = None if request.param == "memory" else tmp_path / "store"
    with open_store(path, driver=request.param) as opened:
        yield opened


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "context").mkdir()
    return tmp_path / "context"


def _fill(tree: Tree, paths: dict[str, Any]) -> None:
    """Make directories (``None``), links (one-tuples) and files (a text and a mode), parents first, all with times."""
    for path, what in paths.items():
        if what is None:
            tree.mkdir(path)
            tree.chmod(path, 0o755)
        elif len(what) == 1:
            tree.symlink(what[0], path)
        else:
            tree.write_text(path, what[0])
            tree.chmod(path, what[1])
    for number, path in enumerate(reversed(paths)):
        mtime = TIMES[number % len(TIMES)]
        tree.utime(path, ns=(mtime, mtime), follow_symlinks=False)


def _members(archive: bytes, since: int) -> list[tuple[Any, ...]]:
    """Return all that an archive says, nothing of none; times of this test are all the same."""
    found: list[tuple[Any, ...]] = []
    if not archive:
        return found
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for one in tar:
            data = tar.extractfile(one).read() if one.isreg() else b""  # type: ignore[union-attr]
            pax = {key: value for key, value in one.pax_headers.items() if key != "mtime"}
            mtime = "now" if one.mtime >= since else one.pax_headers.get("mtime", one.mtime)
            found.append((one.name, one.type, oct(one.mode), one.uid, one.gid, mtime, one.linkname, data, pax))
    return found


@dataclass
class Both:
    """What is copied, both ways.

    :param below: the committed snapshot it goes over, ``None`` for none.
    """

    store: ImageStore
    context: Path
    below: str | None
    options: CopyOptions

    def _open(self) -> HostTree:
        return HostTree(os.open(self.context, os.O_RDONLY | os.O_DIRECTORY), readonly=True)

    def copied(self, *names: str) -> bytes:
        """Copy, and return the archive of what differs; nothing where nothing does."""
        out = io.BytesIO()
        with self._open() as source, begin_layer(self.store, self.below) as working:
            for group in select(source, names, ignore=Ignore(), exclude=Ignore()):
                copy_entries(source, [group], working.tree, self.options)
            if next(working.changes(), None) is not None:
                self.store.diff(working.key, out, compression="none")
        return out.getvalue()

    def told(self, *names: str, meanwhile: Callable[[], object] = lambda: None) -> bytes | None:
        """Return what the plan writes, ``None`` for no plan."""
        out = io.BytesIO()
        with self._open() as source, begin_layer(self.store, self.below) as working:
            entries = select(source, names, ignore=Ignore(), exclude=Ignore())
            with self.store.tree(working.key, readonly=True) as tree:
                plan = plan_copy(source, entries, tree, self.options, alone=self.below is None)
            if plan is None:
                return None
            meanwhile()
            if plan:
                with compressed(out, "none") as packed:
                    plan.write(source, packed)
        return out.getvalue()


def _below(store: ImageStore, paths: dict[str, Any] | None) -> str | None:
    if paths is None:
        return None
    with begin_layer(store, None) as working:
        _fill(working.tree, paths)
        return working.commit("below").key


def _put(context: Path, paths: dict[str, Any]) -> None:
    with HostTree(os.open(context, os.O_RDONLY | os.O_DIRECTORY)) as tree:
        _fill(tree, paths)


SOURCES: dict[str, Any] = {
    "a": None,
    "a/x": ("x", 0o644),
    "a/deep": None,
    "a/deep/y": ("y" * 3_000_000, 0o4755),
    "a/deep/empty": ("", 0o600),
    "a-b": ("between a and a/", 0o444),
    "a.c": ("to a",),
    "b": None,
    "b/x": ("another x", 0o644),
    "b/deep": None,
    "b/long" + "g" * 120: ("long", 0o644),
}


@pytest.mark.parametrize(
    ("below", "names", "target", "directory"),
    [
        pytest.param(None, ["."], "/", True, id="onto nothing"),
        pytest.param(None, ["a"], "/new/place", False, id="a directory onto nothing"),
        pytest.param({}, ["a-b"], "/renamed", False, id="a file by another name"),
        pytest.param({"there": None}, ["a-b"], "/there", False, id="a file into a directory"),
        pytest.param({"there": None}, ["."], "/there", True, id="into an empty directory"),
        pytest.param({"there": None, "there/x": ("x", 0o644)}, ["a"], "/there/", True, id="over the same file"),
        pytest.param({"there": None, "there/x": ("z", 0o644)}, ["a"], "/there/", True, id="over another file"),
        pytest.param({"there": None, "there/deep": None}, ["a"], "/there/", True, id="directories merge"),
        pytest.param({}, ["a", "b"], "/both/", True, id="two directories"),
        pytest.param({"up": None, "up/there": None}, ["a", "a-b"], "/up/there/", True, id="below what is there"),
        pytest.param({"other": ("", 0o644)}, ["a/x", "a-b"], "/", True, id="files into the root"),
    ],
)
@pytest.mark.parametrize("mode", ["", "g=u"])
def test_the_layer_is_the_one_that_copying_makes(
    store: ImageStore,
    context: Path,
    below: dict[str, Any] | None,
    names: list[str],
    target: str,
    directory: bool,
    mode: str,
) -> None:
    sources = {path: what for path, what in SOURCES.items() if len(names) == 1 or path != "b/x"}
    _put(context, sources)
    both = Both(store, context, _below(store, below), CopyOptions(target, directory, ME, ME, mode))
    since = int(time.time()) - 1
    told = both.told(*names)
    assert told is not None
    assert _members(told, since) == _members(both.copied(*names), since)


def _special(context: Path) -> None:
    os.mkfifo(context / "a/fifo")


def _linked(context: Path) -> None:
    os.link(context / "a/x", context / "a/x2")


def _whiteout(context: Path) -> None:
    (context / "a/.wh.x").touch()


def _attribute(context: Path) -> None:
    os.setxattr(context / "a/x", "user.kept", b"yes")


@pytest.mark.parametrize("change", [_special, _linked, _whiteout, _attribute])
def test_what_is_not_plain_is_copied(store: ImageStore, context: Path, change: Callable[[Path], None]) -> None:
    _put(context, {"a": None, "a/x": ("x", 0o644)})
    change(context)
    assert Both(store, context, None, CopyOptions("/", True, ME)).told(".") is None


@pytest.mark.parametrize(
    "below",
    [
        pytest.param({"real": None, "there": ("real",)}, id="a link on the way"),
        pytest.param({"there": ("", 0o644)}, id="a file where a directory goes"),
        pytest.param({"there": None, "there/x": None}, id="a directory where a file goes"),
        pytest.param({"there": None, "there/x": ("y",)}, id="a link where a file goes"),
    ],
)
def test_what_is_in_the_way_is_copied(store: ImageStore, context: Path, below: dict[str, Any]) -> None:
    _put(context, {"x": ("x", 0o644)})
    assert Both(store, context, _below(store, below), CopyOptions("/there", True, ME)).told(".") is None


def test_sockets_are_left_out(store: ImageStore, context: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _put(context, {"a": ("a", 0o644)})
    monkeypatch.chdir(context)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
    both = Both(store, context, None, CopyOptions("/", True, ME))
    since = int(time.time()) - 1
    told = both.told(".")
    assert told is not None
    assert _members(told, since) == _members(both.copied("."), since)


@pytest.mark.parametrize("how", ["longer", "shorter", "replaced", "gone", "a directory", "a fifo"])
def test_a_file_that_changed_is_an_error(store: ImageStore, context: Path, how: str) -> None:
    _put(context, {"a": None, "a/x": ("x" * 100, 0o644)})
    file = context / "a/x"

    def change() -> None:
        if how in ("longer", "shorter"):
            os.truncate(file, 200 if how == "longer" else 1)
            return
        file.unlink()
        if how == "replaced":
            file.write_text("y" * 100)
        elif how == "a directory":
            file.mkdir()
        elif how == "a fifo":
            os.mkfifo(file)

    both = Both(store, context, None, CopyOptions("/", True, ME))
    with pytest.raises(errors.BuildError, match="'a/x' changed while it was copied"):
        both.told("a", meanwhile=change)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_an_error(store: ImageStore, context: Path) -> None:
    _put(context, {"x": ("x", 0o000)})
    with pytest.raises(errors.BuildError, match="'x' may not be read"):
        Both(store, context, None, CopyOptions("/", True, ME)).told(".")


NAMES = st.sampled_from(["a", "b", "a-b", "a.c"])
WHAT = st.one_of(
    st.tuples(st.sampled_from(["", "x", "y"]), st.sampled_from([0o644, 0o755])),
    st.none(),
    st.none(),
    st.tuples(NAMES),
)


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {}
    directories = [""]
    for _ in range(draw(st.integers(0, 8))):
        above = draw(st.sampled_from(directories))
        path = f"{above}/{draw(NAMES)}".lstrip("/")
        if path not in found:
            found[path] = draw(WHAT)
            if found[path] is None:
                directories.append(path)
    return found


@given(
    trees(), st.none() | trees(), st.lists(NAMES, min_size=1, max_size=3), st.sampled_from(["/", "/a", "/a/b", "/new"])
)
def test_any_copy_makes_the_layer_that_copying_makes(
    sources: dict[str, Any], below: dict[str, Any] | None, names: Sequence[str], target: str
) -> None:
    with tempfile.TemporaryDirectory() as place, open_store(None, driver="memory") as store:
        context = Path(place)
        _put(context, sources)
        wanted = [name for name in names if name in sources and sources[name] != (name,)] or ["."]
        both = Both(store, context, _below(store, below), CopyOptions(target, True, ME, ME))
        since = int(time.time()) - 1
        try:
            told = both.told(*wanted)
        except errors.BuildError as error:
            with pytest.raises(errors.BuildError, match=str(error)[:20]):
                both.copied(*wanted)
            return
        if told is not None:
            assert _members(told, since) == _members(both.copied(*wanted), since)
