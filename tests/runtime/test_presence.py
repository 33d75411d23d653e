"""Containers that a process runs itself, as other processes see them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import pytest
from testkit.boxes import busybox_layout, wait_gone

from overlaykit import errors
from overlaykit.runtime import DetachedContainer, RunOptions, Status, container_states, open_store, sweep

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from overlaykit.runtime import ContainerStore

pytestmark = pytest.mark.native


@pytest.fixture(scope="session")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return busybox_layout(tmp_path_factory.mktemp("presence") / "layout")


@pytest.fixture
def store(tmp_path: Path, layout: Path) -> Iterator[ContainerStore]:
    with open_store(tmp_path / "store", durability="none") as made:
        made.load(layout)
        yield made
        sweep(made)
        place = tmp_path / "store" / "containers"
        labelled = {info.labels["overlaykit.container.state"] for info in made.walk(kind="active")}
        assert set(os.listdir(place) if place.exists() else ()) <= labelled


@contextlib.contextmanager
def elsewhere(store: ContainerStore, body: str) -> Iterator[subprocess.Popen[str]]:
    """Run a script with ``store`` open in a process of its own: it has written ``up``, and others see the container."""
    script = "from overlaykit.runtime import *\nwith open_store({!r}, durability='none') as store:\n{}"
    text = script.format(os.fspath(store.path), textwrap.indent(textwrap.dedent(body), "    "))  # type: ignore[arg-type]
    with subprocess.Popen(
        [sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as one:
        assert one.stdout is not None
        try:
            assert one.stdout.readline() == "up\n"
            while not DetachedContainer(store, "web").status.running:  # what it runs may be faster than who tells of it
                time.sleep(0.01)
            yield one
        finally:
            if one.poll() is None:
                one.kill()


SLEEPER = """
with store.container("box:1", "web") as box:
    print(box.run(["sh", "-c", "echo up; {}"], runtime={!r}).returncode)
"""


def test_others_see_it_and_reach_it(store: ContainerStore, runtime: str) -> None:
    with elsewhere(store, SLEEPER.format("trap 'exit 7' TERM; while :; do sleep 0.05; done", runtime)) as process:
        box = DetachedContainer(store, "web")
        state = box.status
        assert (state.status, state.supervisor, state.auto_remove) == (Status.RUNNING, process.pid, True)
        assert os.path.exists(f"/proc/{state.pid}")
        assert state.started is not None
        assert state.command[:2] == ("sh", "-c")
        done = box.exec(["sh", "-c", "echo $ORIGIN; kill -0 1"], capture_output=True, text=True, check=True)
        assert done.stdout == "image\n"
        with pytest.raises(errors.RunError, match="nothing is kept of what 'web' writes"):
            list(box.logs())
        with pytest.raises(errors.RunError, match=f"those of process {process.pid}"):
            box.attach()
        with pytest.raises(errors.LayerInUseError, match="is running: stop it first"):
            box.remove()
        with pytest.raises(errors.LayerInUseError, match="running already"):
            box.start()
        assert box.stop() == 7
        assert process.communicate()[0] == "7\n"
    assert store.containers() == []


def test_a_signal_and_the_end(store: ContainerStore) -> None:
    with elsewhere(store, SLEEPER.format("trap 'exit 9' USR1; while :; do sleep 0.05; done", "own")):
        box = DetachedContainer(store, "web")
        with pytest.raises(subprocess.TimeoutExpired):
            box.wait(timeout=0)
        box.kill("USR1")
        assert box.wait() == 9


def test_removed_by_force(store: ContainerStore) -> None:
    with elsewhere(store, SLEEPER.format("sleep 1000", "own")) as process:
        DetachedContainer(store, "web").remove(force=True)
        assert store.containers() == []
        assert process.communicate()[0] == "137\n"


def test_nobody_is_left_running_by_a_kill(store: ContainerStore, runtime: str) -> None:
    body = """
    box = store.create_container("box:1", "web")
    box.run(["sh", "-c", "echo up; sleep 1000"], runtime={!r})
    """
    with elsewhere(store, body.format(runtime)) as process:
        state = DetachedContainer(store, "web").status
        assert state.running
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    wait_gone(state.pid)
    box = DetachedContainer(store, "web")
    assert (box.status.status, box.status.exit_code, box.status.pid) == (Status.EXITED, 137, 0)
    with pytest.raises(errors.RunError, match="is not running"):
        box.exec(["true"])
    assert box.wait() == 137
    box.start(RunOptions(args=("true",)))
    assert box.wait() == 0
    box.remove()


def test_what_ended_is_not_running_though_nobody_closed_it(store: ContainerStore) -> None:
    with store.create_container("box:1", "web") as box:
        process = box.start(RunOptions(args=("sh", "-c", "exit 4")))
        assert DetachedContainer(store, "web").wait() == 4
        assert DetachedContainer(store, "web").status.status is Status.EXITED
        assert process.wait() == 4
        process.close()
        assert box.run(["true"]).returncode == 0
        assert DetachedContainer(store, "web").status.exit_code == 0
    DetachedContainer(store, "web").remove()


def test_two_at_the_same_time(store: ContainerStore) -> None:
    sleeper = RunOptions(args=("sleep", "1000"))
    with store.container("box:1", "web") as box, box.start(sleeper) as first, box.start(sleeper) as second:
        outside = DetachedContainer(store, "web")
        assert outside.status.pid == first.pid
        outside.kill()
        assert first.wait() == 137
        first.close()
        assert outside.status.pid == second.pid
        outside.kill()
        assert second.wait() == 137
        second.close()
        assert outside.status.status is Status.EXITED
        assert [(info.name, state.exit_code) for info, state in container_states(store)] == [("web", 137)]
    assert store.containers() == []


def test_what_a_kept_one_writes_is_logged_and_goes_to_who_runs_it(store: ContainerStore, runtime: str) -> None:
    from overlaykit.runtime import DetachedOptions

    with store.create_container("box:1", "web") as box:
        options = RunOptions(args=("sh", "-c", "echo out; echo err >&2; read line; echo got $line; exit 5"))
        process, connection = box.start_logged(options, detached=DetachedOptions(interactive=True, runtime=runtime))
        with process, connection:
            connection.socket.send(b"0word\n")
            came = b""
            while (packet := connection.receive_bytes())[:1] in (b"1", b"2"):
                came += packet[1:]
            assert sorted(came.splitlines()) == [b"err", b"got word", b"out"]
            assert packet == b'{"exit_code": 5}'
            assert process.wait() == 5
    again = DetachedContainer(store, "web")
    assert sorted(entry.data for entry in again.logs()) == [b"err\n", b"got word\n", b"out\n"]
    again.start()  # as it was run: it waits for a word
    assert again.status.command == options.args
    again.remove(force=True)


def test_who_closes_it_need_not_have_read(store: ContainerStore) -> None:
    with store.create_container("box:1", "web") as box:
        process, connection = box.start_logged(RunOptions(args=("sh", "-c", "head -c 5000000 /dev/zero; sleep 1000")))
        with connection:
            process.close()
            assert process.returncode == 137
    DetachedContainer(store, "web").remove()


def test_nothing_is_lost_for_who_reads_slowly(store: ContainerStore) -> None:
    with store.create_container("box:1", "web") as box:
        options = RunOptions(args=("sh", "-c", "head -c 20000000 /dev/zero; echo end"))
        process, connection = box.start_logged(options)
        with process, connection:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.2)  # it waits for who reads
            count = 0
            while (packet := connection.receive_bytes())[:1] == b"1":
                count += len(packet) - 1
            assert count == 20000004
    DetachedContainer(store, "web").remove()
