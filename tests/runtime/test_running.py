"""What can be done with a container while it runs: files, changes, images, names, pauses."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
from testkit.boxes import busybox_layout, wait_gone
from testkit.loops import need_tool
from testkit.waits import until

from overlaykit import errors, linux
from overlaykit.runtime import (
    DetachedContainer,
    DetachedOptions,
    RunOptions,
    Status,
    container_states,
    open_store,
    run_detached,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from overlaykit.runtime import ContainerStore

pytestmark = pytest.mark.native

SCRIPT = """
mkdir /work; echo first > /work/file; rm -r /home; echo x > /work/n; echo up
while sleep 0.01; do echo x >> /work/n; done
"""


@pytest.fixture(scope="session")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return busybox_layout(tmp_path_factory.mktemp("running") / "layout")


@pytest.fixture(params=["overlayfs", "directory"])
def store(tmp_path: Path, layout: Path, request: pytest.FixtureRequest) -> Iterator[ContainerStore]:
    with open_store(tmp_path / "store", driver=request.param, durability="none") as made:
        made.load(layout)
        yield made
        for info, state in list(container_states(made)):
            DetachedContainer(made, info.name).remove(force=True)
            wait_gone(state.supervisor)


@pytest.fixture(params=["crun", "runc", "own"])
def runtime(request: pytest.FixtureRequest) -> str:
    return "own" if request.param == "own" else need_tool(request.param)


def begin(store: ContainerStore, runtime: str = "own", script: str = SCRIPT) -> DetachedContainer:
    options = DetachedOptions(runtime=runtime)
    box = run_detached(store, "box:1", "web", RunOptions(args=("sh", "-c", script)), detached=options)
    until(lambda: any(entry.data == b"up\n" for entry in box.logs()))
    return box


def inside(box: DetachedContainer, *words: str) -> str:
    return str(box.exec(words, capture_output=True, text=True, check=True).stdout)


def test_files_go_in_and_out(store: ContainerStore, tmp_path: Path) -> None:
    box = begin(store)
    (tmp_path / "new").write_text("from outside")
    container = store.open_container("web")
    container.copy_in(tmp_path / "new", "/work")
    assert inside(box, "cat", "/work/new") == "from outside"
    container.copy_out("/work/file", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "first\n"
    archive = io.BytesIO()
    container.copy_out("/work/file", archive)
    with tarfile.open(fileobj=io.BytesIO(archive.getvalue())) as opened:
        assert opened.getnames()[-1] == "file"
    container.copy_in(io.BytesIO(archive.getvalue()), "/")
    assert inside(box, "cat", "/file") == "first\n"
    with pytest.raises(errors.NotFoundError):
        container.copy_out("/none", tmp_path / "none")
    with pytest.raises(errors.LayerInUseError):
        store.tree("web")


def test_changes_are_what_it_did_and_not_its_mount_points(store: ContainerStore) -> None:
    box = begin(store)
    running = {(str(one.kind), one.path) for one in store.open_container("web").changes()}
    assert running == {
        ("modified", "."),
        ("deleted", "home"),
        ("added", "work"),
        ("added", "work/file"),
        ("added", "work/n"),
    }
    box.stop(0)
    assert {(str(one.kind), one.path) for one in store.open_container("web").changes()} == running


def test_a_root_that_only_mount_points_have_touched_is_unchanged(store: ContainerStore) -> None:
    begin(store, script="echo up; sleep 1000")
    assert list(store.open_container("web").changes()) == []


def test_an_image_of_a_running_one(store: ContainerStore, runtime: str) -> None:
    box = begin(store, runtime)
    store.open_container("web").commit("snap:1", message="while it runs")
    assert box.status.status is Status.RUNNING
    written = inside(box, "cat", "/work/n")
    until(lambda: inside(box, "cat", "/work/n") != written)  # it goes on
    with store.container("snap:1") as snap:
        assert snap.tree.read_text("work/file") == "first\n"
        assert not snap.tree.exists("home")
        assert not snap.tree.exists("proc")
        done = snap.run(["cat", "/work/file"], capture_output=True, text=True, runtime=runtime)
        assert done.stdout == "first\n"


def test_an_image_without_a_pause(store: ContainerStore) -> None:
    begin(store, script="echo kept > /file; echo up; sleep 1000")
    store.open_container("web").commit("snap:1", pause=False)
    with store.container("snap:1") as snap:
        assert snap.tree.read_text("file") == "kept\n"


def test_pause(store: ContainerStore, runtime: str) -> None:
    box = begin(store, runtime)
    if not linux.is_mount_admin():
        with pytest.raises(errors.UnsupportedError, match="cannot be paused"):
            box.pause()
        return
    box.pause()
    assert box.status.status is Status.PAUSED
    container = store.open_container("web")

    def written() -> str:
        with container.open_tree() as tree:
            return tree.read_text("work/n")

    before = written()
    with pytest.raises(errors.RunError, match="is paused already"):
        box.pause()
    with pytest.raises(errors.RunError, match="is paused: let it go on"):
        box.exec(["true"])
    container.commit("snap:1")
    assert box.status.status is Status.PAUSED  # as it was
    assert written() == before
    box.unpause()
    assert box.status.status is Status.RUNNING
    until(lambda: written() != before)
    with pytest.raises(errors.RunError, match="is not paused"):
        box.unpause()


@pytest.mark.skipif(not linux.is_mount_admin(), reason="no cgroup can be made without root")
def test_a_paused_one_can_be_stopped_and_killed(store: ContainerStore, runtime: str) -> None:
    box = begin(store, runtime, "trap 'exit 3' TERM; echo up; while :; do sleep 0.02; done")
    box.pause()
    assert box.stop() == 3
    box.start()
    box.pause()
    box.kill()
    assert box.wait() == 137


def test_its_processes(store: ContainerStore, runtime: str) -> None:
    box = begin(store, runtime, "sleep 1234 & echo up; wait")
    with box.start_exec(["sleep", "4321"]) as session:
        until(lambda: {"sleep 1234", "sleep 4321"} < {one.command for one in box.processes()})
        found = {one.command: one for one in box.processes()}
        assert {"sleep 1234", "sleep 4321"} < set(found)
        assert found["sleep 1234"].parent in [one.pid for one in found.values()]
        assert all(os.path.exists(f"/proc/{one.pid}") for one in found.values())
        session.kill()
    box.stop(0)
    with pytest.raises(errors.RunError, match="is not running"):
        box.processes()


def test_a_new_name(store: ContainerStore) -> None:
    box = begin(store, script="echo up; sleep 1000")
    store.create_container("box:1", "other")
    with pytest.raises(errors.ExistsError):
        box.rename("other")
    with pytest.raises(errors.InvalidNameError):
        box.rename("")
    box.rename("web2")
    assert [info.name for info in store.containers()] == ["web2", "other"]
    assert inside(box, "echo", "reached") == "reached\n"
    with pytest.raises(errors.NotFoundError):
        DetachedContainer(store, "web").rename("x")
    box.stop(0)
    box.start()
    assert box.status.running


def test_who_copies_is_waited_for(store: ContainerStore) -> None:
    """The mount of a container that ends is there until the last one that reads it is done."""
    box = begin(store, script="echo up; sleep 1000")
    with store.open_container("web").open_tree() as tree:
        box.kill()
        with pytest.raises(subprocess.TimeoutExpired):
            box.wait(0.2)
        assert tree.exists("etc/passwd")
    assert box.wait() == 137
    box.start()


def test_options_of_the_driver_are_those_that_it_was_made_with(tmp_path: Path, layout: Path) -> None:
    def volatile(box: DetachedContainer) -> bool:
        return any(
            " / overlay" in line and "volatile" in line for line in inside(box, "cat", "/proc/mounts").splitlines()
        )

    with open_store(tmp_path / "store", driver="overlayfs", options={"volatile": "yes"}, durability="commit") as store:
        store.load(layout)
        store.create_container("box:1", "made")
        run_detached(store, "box:1", "run", RunOptions(args=("true",))).wait()
    with open_store(tmp_path / "store", durability="commit") as store:
        store.create_container("box:1", "plain")
        for name, wanted in (("plain", False), ("made", True), ("run", True)):
            box = DetachedContainer(store, name)
            box.start(RunOptions(args=("sleep", "1000")))
            assert volatile(box) is wanted, name
            box.remove(force=True)


def test_attached_from_the_begin(store: ContainerStore) -> None:
    store.create_container("box:1", "web")
    box = DetachedContainer(store, "web")
    options = RunOptions(args=("sh", "-c", "echo one; read line; echo got $line; exit 6"))
    for detached in (DetachedOptions(interactive=True), None):
        connection = box.start_attached(options if detached else None, detached=detached)
        with connection:
            connection.socket.send(b"0word\n")
            came = []
            while (packet := connection.receive_bytes())[:1] == b"1":
                came.append(packet[1:])
            assert b"".join(came) == b"one\ngot word\n"
            assert packet == b'{"exit_code": 6}'
