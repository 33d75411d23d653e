"""The same stack of layers gives the same tree in every driver, with root and without, or the same error."""

from __future__ import annotations

import functools
import io
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from testkit.layer_model import Entry, Refused, archive, d, described, f, h, model, o, s, w
from testkit.parity import AS_ROOT, STACKS, Stack, look
from testkit.rich import run_as

from overlaykit import errors
from overlaykit.driver import Capability
from overlaykit.plugin import load_plugins
from overlaykit.store import Store, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = pytest.mark.native


def build(store: Store, stack: Stack, *, late: bool = False) -> dict[bytes, tuple[object, ...]] | str:
    """Apply a stack and look at it; the error's kind and words where a layer is refused.

    :param late: begin each layer as if the one below it were not there yet.
    """
    parent: str | None = None
    for layer in stack:
        data = archive(layer) or bytes(1024)
        refused = None
        try:
            below = parent if parent is None or not late else functools.partial(str, parent)
            parent = store.apply(io.BytesIO(data), below).snapshot.key
        except errors.OverlaykitError as error:
            refused = error
        if refused is not None:
            assert "\n" not in str(refused)
            assert list(store.walk(kind="active")) == []
            return f"{type(refused).__name__}: {refused}"
    assert parent is not None
    with store.tree(parent) as tree:
        return look(tree)


def expected(stack: Stack) -> dict[bytes, tuple[object, ...]] | str:
    try:
        return described(model(stack))
    except Refused:
        return "LayerFormatError"


def check(stacks: dict[str, Stack], driver: str, root: Path, *, late: bool = False) -> None:
    """Apply all stacks in one store and compare each with the model."""
    wrong = []
    canary = root / "beside"
    canary.mkdir()
    path = None if not load_plugins().get(driver).spec.needs_path else root / "store"
    with open_store(path, driver=driver, durability="none") as store:
        for name, stack in stacks.items():
            found, wanted = build(store, stack, late=late), expected(stack)
            if isinstance(wanted, str) and isinstance(found, str):
                found = found.partition(":")[0]
            if found != wanted:
                wrong.append(f"{name}: {_difference(wanted, found)}")
    assert not wrong, f"{len(wrong)} of {len(stacks)}:\n" + "\n".join(wrong)
    assert os.listdir(canary) == []
    assert sorted(os.listdir(root)) == sorted({"beside", *(["store"] if path else [])})


def _difference(wanted: object, found: object) -> str:
    if not isinstance(wanted, dict) or not isinstance(found, dict):
        return f"wanted {str(wanted)[:200]}, found {str(found)[:300]}"
    keys = sorted(wanted.keys() | found.keys())
    return "; ".join(
        f"{key!r:.60} wanted {str(wanted.get(key))[:160]} found {str(found.get(key))[:160]}"
        for key in keys
        if wanted.get(key) != found.get(key)
    )[:900]


def test_there_are_enough_stacks() -> None:
    assert len(STACKS) + len(AS_ROOT) >= 80


@pytest.mark.parametrize("user", ["own", "nobody"])
@pytest.mark.parametrize("driver", ["overlayfs", "directory", "memory"])
def test_matrix(reachable: Path, driver: str, user: str) -> None:
    run_as(user, reachable / "run", lambda root: check(STACKS, driver, root))


@pytest.mark.parametrize("driver", ["overlayfs", "directory", "memory"])
@pytest.mark.skipif(os.geteuid() != 0, reason="root sets the attributes of these")
def test_matrix_of_root(tmp_path: Path, driver: str) -> None:
    check(AS_ROOT, driver, tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="where owners are kept aside, layers wait for each other")
def test_matrix_before_the_parent_is_there(tmp_path: Path) -> None:
    check({**STACKS, **AS_ROOT}, "overlayfs", tmp_path, late=True)


@pytest.mark.parametrize("name", [name for name, stack in STACKS.items() if isinstance(expected(stack), str)])
def test_an_error_is_the_same_in_every_driver(tmp_path: Path, name: str) -> None:
    messages = set()
    for driver in ("overlayfs", "directory", "memory"):
        with open_store(None if driver == "memory" else tmp_path / driver, driver=driver, durability="none") as store:
            messages.add(str(build(store, STACKS[name])))
    assert len(messages) == 1


_PATHS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join)


@st.composite
def _layers(draw: st.DrawFn) -> list[Entry]:
    entries: list[Entry] = []
    for _ in range(draw(st.integers(0, 7))):
        path = draw(_PATHS)
        kind = draw(st.sampled_from("ffdddwwosh"))
        if kind == "f":
            entries.append(f(path, draw(st.sampled_from(["", "x", "yy"])), mode=draw(st.sampled_from([0o644, 0o600]))))
        elif kind == "d":
            entries.append(d(path, mode=draw(st.sampled_from([0o755, 0o700]))))
        elif kind == "w":
            entries.append(w(path))
        elif kind == "o":
            entries.append(o(path))
        elif kind == "s":
            entries.append(s(path, draw(st.sampled_from(["a", "b/c", "/a/b", "..", "nowhere"]))))
        else:
            entries.append(h(path, draw(_PATHS)))
    return entries


def _is_plain(stack: Sequence[list[Entry]]) -> bool:
    """Leave out whiteouts beside symbolic links of the same layer: which of them come first is not settled."""
    for layer in stack:
        links = {entry.path for entry in layer if entry.kind == "symlink"}
        hidden = {entry.path.replace(b".wh.", b"") for entry in layer if b".wh." in entry.path}
        if links and hidden:
            return False
    return True


@pytest.fixture(scope="module")
def stores() -> Iterator[list[Store]]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as directory:
        opened = [
            open_store(Path(directory) / driver if driver != "memory" else None, driver=driver, durability="none")
            for driver in ("overlayfs", "directory", "memory")
        ]
        try:
            yield opened
        finally:
            for store in opened:
                store.close()


@pytest.mark.leaks("the stores stay open for the module")
@pytest.mark.hypothesis
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(stack=st.lists(_layers(), min_size=1, max_size=4).filter(_is_plain))
def test_random_stacks(stores: list[Store], stack: Stack) -> None:
    wanted = expected(stack)
    for store in stores:
        found = build(store, stack)
        if isinstance(wanted, str) and isinstance(found, str):
            found = found.partition(":")[0]
        assert found == wanted, f"{store.driver_name}: {_difference(wanted, found)}"
        if Capability.REBASE in store.capabilities:
            late = build(store, stack, late=True)
            if isinstance(wanted, str) and isinstance(late, str):
                late = late.partition(":")[0]
            assert late == wanted, f"{store.driver_name}, before the parent is there: {_difference(wanted, late)}"
