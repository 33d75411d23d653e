"""Control groups without root: in the part of the tree that was given to a user, on the kernel's own tree.

Which controllers there are is the machine's business: where those of memory, processors and processes are in trees of
version 1, that of huge pages is the one that is free for this, and stands in for them.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testkit import syscalls
from testkit.boxes import busybox_layout
from testkit.loops import need_root, need_tool
from testkit.rich import load_all, run_in_child
from testkit.unprivileged import NOBODY

from overlaykit import errors
from overlaykit.runtime import Limits, _cgroup2, _delegated, open_store
from overlaykit.runtime._delegated import delegated_group, delegated_place, limits_missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.native

ROOTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
PAGE = "hugetlb.2MB.max"


def _remove(group: Path) -> None:
    for path, _, _ in os.walk(group, topdown=False):
        os.rmdir(path)


@pytest.fixture
def delegated() -> Iterator[Path]:
    """A group of the unprivileged user, with the controllers that can be handed on, as systemd makes it."""
    need_root()
    root = next((one for one in ROOTS if (one / "cgroup.controllers").exists()), None)
    if root is None:
        pytest.skip("no control groups of the second version here")
    control = root / "cgroup.subtree_control"
    before = control.read_text().split()
    made = root / f"overlaykit-test-{os.getpid()}"
    with contextlib.ExitStack() as undo:
        for one in ("hugetlb", "memory", "pids", "cpu"):
            if one in (root / "cgroup.controllers").read_text().split() and one not in before:
                control.write_text(f"+{one}")
                undo.callback(control.write_text, f"-{one}")
        made.mkdir()
        undo.callback(_remove, made)
        (made / "session").mkdir()
        for path in (made, made / "session"):
            for name in ("", "cgroup.procs", "cgroup.subtree_control"):
                os.chown(path / name, NOBODY, NOBODY)
        yield made


def _inside(group: Path, act: Callable[[], None]) -> None:
    """Call a function as the user, in a session below the group."""
    load_all()

    def begin() -> None:
        (group / "session" / "cgroup.procs").write_text("0")
        syscalls.drop_privileges(NOBODY, NOBODY)
        act()

    run_in_child(begin)


@pytest.fixture
def huge_pages(delegated: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The group, and the limit of processes is one of huge pages where only that controller can be had."""
    controllers = (delegated / "cgroup.controllers").read_text().split()
    if "pids" in controllers:
        return delegated
    if not (delegated / PAGE).exists():
        pytest.skip("no controller of the second version can be handed on here")

    def files(limits: Limits) -> dict[str, tuple[str, list[tuple[str, str]]]]:
        value = None if limits.pids is None else str(limits.pids * (2 << 20))
        return {} if value is None else {"hugetlb": ("processes", [(PAGE, value)])}

    for module in (_cgroup2, _delegated):
        monkeypatch.setattr(module, "limit_files", files)
    monkeypatch.setitem(_delegated._FIELDS, "hugetlb", "pids")
    return delegated


def test_the_highest_group_of_the_user_is_found(delegated: Path) -> None:
    def act() -> None:
        assert delegated_place() == str(delegated)
        with delegated_group("none", Limits()) as group:
            assert group.descriptors == []
        assert not (delegated / "overlaykit").exists()

    _inside(delegated, act)

    def outside() -> None:
        syscalls.drop_privileges(NOBODY, NOBODY)
        assert delegated_place() is None

    run_in_child(outside)


def test_a_limit_is_written_and_its_group_goes(huge_pages: Path) -> None:
    name = "pids.max" if (huge_pages / "pids.max").exists() else PAGE
    wanted = "3" if name == "pids.max" else str(3 * (2 << 20))

    def act() -> None:
        assert limits_missing(Limits(pids=3)) is None
        with delegated_group("one", Limits(pids=3)) as group:
            made = huge_pages / "overlaykit" / "one"
            assert (made / name).read_text().strip() == wanted
            child = os.fork()
            if child == 0:
                os.write(group.descriptors[0], b"0")
                os._exit(Path("/proc/self/cgroup").read_text().count(f"/{huge_pages.name}/overlaykit/one\n"))
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
        assert not made.exists()
        with pytest.raises(errors.RunError, match="the kernel refuses"):
            delegated_group("two", Limits(pids=-3))
        assert not (huge_pages / "overlaykit" / "two").exists()

    _inside(huge_pages, act)


def test_what_does_not_hold_is_said_once(delegated: Path) -> None:
    controllers = (delegated / "cgroup.controllers").read_text().split()

    def act() -> None:
        said = limits_missing(Limits(memory=64 << 20, cpus=1))
        if {"memory", "cpu"} <= set(controllers):
            assert said is None
            return
        assert said is not None
        assert "the limits of memory, processors do not hold" in said
        assert f"{delegated} has no controller memory, cpu: have root add it to Delegate=" in said
        with pytest.warns(RuntimeWarning) as told, delegated_group("one", Limits(memory=64 << 20, cpus=1)) as group:
            assert group.descriptors == []
        assert [str(one.message) for one in told] == [said]

    _inside(delegated, act)


@pytest.mark.parametrize("runtime", ["crun", "runc", "own"])
def test_a_container_runs_in_it(huge_pages: Path, reachable: Path, runtime: str) -> None:
    program = runtime if runtime == "own" else need_tool(runtime)
    layout = busybox_layout(reachable / "layout")
    place = reachable / "place"
    place.mkdir()
    os.chown(place, NOBODY, NOBODY)

    def act() -> None:
        tempfile.tempdir = str(place)
        with open_store(place / "store", durability="none") as store:
            store.load(layout)
            with store.container("box:1") as box:
                words = ["grep", "^0::", "/proc/self/cgroup"]
                done = box.run(words, limits=Limits(pids=50), capture_output=True, text=True, runtime=program)
                assert f"/{huge_pages.name}/overlaykit/" in done.stdout
        assert list((huge_pages / "overlaykit").glob("*/")) == []

    _inside(huge_pages, act)
