"""Containers that nobody waits for: started, asked, stopped, and what is left of them when somebody is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest
from testkit.boxes import busybox_layout, connections, processes_with, wait_gone
from testkit.loops import need_tool
from testkit.waits import PATIENCE, until

from overlaykit import errors
from overlaykit.runtime import (
    DetachedContainer,
    DetachedOptions,
    LogLimits,
    RunOptions,
    Status,
    Stdio,
    container_states,
    open_store,
    run_detached,
    sweep,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from overlaykit.runtime import ContainerStore

pytestmark = pytest.mark.native


@pytest.fixture(scope="session")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return busybox_layout(tmp_path_factory.mktemp("detached") / "layout")


@pytest.fixture(params=["overlayfs", "directory"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(tmp_path: Path, layout: Path) -> Iterator[ContainerStore]:
    with opened(tmp_path, layout, "auto") as made:
        yield made


@contextlib.contextmanager
def opened(tmp_path: Path, layout: Path, driver: str) -> Iterator[ContainerStore]:
    with open_store(tmp_path / "store", driver=driver, durability="none") as made:
        made.load(layout)
        try:
            yield made
        finally:
            for info, state in list(container_states(made)):
                DetachedContainer(made, info.name).remove(force=True)
                wait_gone(state.supervisor)
        assert sweep(made) == []
        for name in ("containers", "run"):
            assert not (tmp_path / "store" / name).exists() or os.listdir(tmp_path / "store" / name) == []


def shell(script: str, **more: object) -> RunOptions:
    return RunOptions(args=("sh", "-c", script), **more)  # type: ignore[arg-type]


def written(box: DetachedContainer) -> bytes:
    return b"".join(entry.data for entry in box.logs(follow=True))


def test_it_runs_on_any_driver_with_any_runtime(tmp_path: Path, layout: Path, driver: str, runtime: str) -> None:
    with opened(tmp_path, layout, driver) as store:
        options = DetachedOptions(runtime=runtime)
        box = run_detached(store, "box:1", "web", shell("echo out; echo err >&2; cat; exit 7"), detached=options)
        assert box.wait() == 7
        assert sorted((entry.stream, entry.data) for entry in box.logs()) == [
            ("stderr", b"err\n"),
            ("stdout", b"out\n"),
        ]
        state = box.status
        assert (state.status, state.exit_code, state.pid, state.supervisor) == (Status.EXITED, 7, 0, 0)
        assert state.command == ("sh", "-c", "echo out; echo err >&2; cat; exit 7")
        assert state.started is not None
        assert state.finished is not None
        assert state.started <= state.finished


def test_what_it_wrote_is_in_its_tree_and_it_starts_again(store: ContainerStore) -> None:
    box = run_detached(store, "box:1", "web", shell("date +%N >> /times; wc -l < /times"))
    box.wait()
    box.start()
    assert box.wait() == 0
    assert written(box) == b"1\n2\n"
    with store.open_container("web").tree as tree:
        assert len(tree.read_text("times").splitlines()) == 2


def test_a_running_one_is_in_use(store: ContainerStore) -> None:
    box = run_detached(store, "box:1", "web", shell("sleep 1000"))
    state = box.status
    assert state.running
    assert os.path.exists(f"/proc/{state.pid}")
    assert [(info.name, state.status) for info, state in container_states(store)] == [("web", Status.RUNNING)]
    with pytest.raises(errors.LayerInUseError, match="is running: stop it first"):
        box.remove()
    with pytest.raises(errors.LayerInUseError):
        store.remove_container("web")
    with pytest.raises(errors.LayerInUseError, match="running already"):
        box.start()
    store.prune()
    assert box.status.running
    with pytest.raises(errors.ExistsError):
        run_detached(store, "box:1", "web", shell("true"))
    assert box.status.running
    box.remove(force=True)
    wait_gone(state.pid)
    assert store.containers() == []


def test_stop_asks_first(store: ContainerStore) -> None:
    box = run_detached(
        store, "box:1", "web", shell("trap 'echo asked; exit 3' TERM; echo up; while :; do sleep 0.05; done")
    )
    wait_for_line(box, b"up\n")
    assert box.stop() == 3
    assert written(box).endswith(b"asked\n")


def test_stop_kills_what_ignores_it(store: ContainerStore) -> None:
    box = run_detached(store, "box:1", "web", shell("trap '' TERM; echo up; while :; do sleep 1000; done"))
    wait_for_line(box, b"up\n")
    began = time.monotonic()
    assert box.stop(0.3) == 137
    assert time.monotonic() - began >= 0.3
    assert box.status.exit_code == 137
    assert box.stop() == 137


@pytest.mark.parametrize(("image_signal", "expected"), [("SIGUSR1", 4), ("10", 4), ("no such thing", 5)])
def test_stop_sends_what_the_image_says(tmp_path: Path, image_signal: str, expected: int) -> None:
    layout = busybox_layout(tmp_path / "layout", {"StopSignal": image_signal})
    with opened(tmp_path, layout, "auto") as store:
        script = "trap 'exit 4' USR1; trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done"
        box = run_detached(store, "box:1", "web", shell(script))
        wait_for_line(box, b"up\n")
        assert box.stop() == expected


def test_signals_reach_the_first_process(store: ContainerStore) -> None:
    box = run_detached(
        store, "box:1", "web", shell("trap 'echo hup' HUP; trap 'exit 9' USR2; echo up; while :; do sleep 0.05; done")
    )
    wait_for_line(box, b"up\n")
    box.kill("HUP")
    wait_for_line(box, b"hup\n")
    box.kill("SIGUSR2")
    assert box.wait() == 9
    with pytest.raises(errors.RunError, match="is not running"):
        box.kill()
    with pytest.raises(ValueError, match="no signal 'NOPE'"):
        box.kill("NOPE")


def test_what_ends_by_a_signal_ends_with_128_and_its_number(store: ContainerStore) -> None:
    box = run_detached(store, "box:1", "web", shell("kill -ABRT $$; sleep 5"))
    # The first process of a process namespace gets no signal that it sends itself.
    box.kill("KILL")
    assert box.wait() == 137


def test_wait_has_a_limit(store: ContainerStore) -> None:
    box = run_detached(store, "box:1", "web", shell("sleep 1000"))
    with pytest.raises(subprocess.TimeoutExpired):
        box.wait(0.05)
    waited: list[int] = []
    threads = [threading.Thread(target=lambda: waited.append(box.wait())) for _ in range(5)]
    for thread in threads:
        thread.start()
    box.kill()
    for thread in threads:
        thread.join(PATIENCE)
    assert waited == [137] * 5


def test_one_that_is_to_be_removed_is_gone_at_its_end(store: ContainerStore) -> None:
    script = "trap 'exit 6' TERM; echo up; while :; do sleep 0.05; done"
    box = run_detached(store, "box:1", "web", shell(script), auto_remove=True)
    assert box.status.auto_remove
    wait_for_line(box, b"up\n")
    before = connections(os.getpid())
    waited: list[int] = []
    waiter = threading.Thread(target=lambda: waited.append(box.wait()))
    waiter.start()
    # Once it has ended and is removed, nobody can be told how.
    until(lambda: connections(os.getpid()) > before)
    box.kill("TERM")
    waiter.join(PATIENCE)
    assert waited == [6]
    assert store.containers() == []
    assert os.listdir(store.path / "containers") == []
    run_detached(store, "box:1", "web", shell("true"))


def test_what_cannot_start_leaves_nothing(store: ContainerStore) -> None:
    for auto_remove in (False, True):
        with pytest.raises(errors.RunError, match="nobody-of-this-name"):
            run_detached(store, "box:1", "web", shell("true", user="nobody-of-this-name"), auto_remove=auto_remove)
        assert store.containers() == []
        assert os.listdir(store.path / "containers") == []
    with pytest.raises(errors.NotFoundError, match="no-such-image"):
        run_detached(store, "no-such-image", "web")
    with pytest.raises(errors.RuntimeNotFoundError, match="no-such-runtime"):
        run_detached(store, "box:1", "web", shell("true"), detached=DetachedOptions(runtime="no-such-runtime"))
    assert store.containers() == []


def test_a_program_that_is_not_there(store: ContainerStore) -> None:
    with pytest.raises(errors.RunError, match="/no/such/program") as raised:
        run_detached(store, "box:1", "web", RunOptions(args=("/no/such/program",)))
    assert raised.value.exit_code == 127
    assert store.containers() == []


def test_the_supervisor_killed_takes_the_container_along(store: ContainerStore) -> None:
    box = run_detached(store, "box:1", "web", shell("echo up; sleep 1000"))
    wait_for_line(box, b"up\n")
    state = box.status
    waited: list[int] = []
    waiter = threading.Thread(target=lambda: waited.append(box.wait()))
    waiter.start()
    os.kill(state.supervisor, signal.SIGKILL)
    wait_gone(state.pid)
    waiter.join(PATIENCE)
    assert waited == [137]
    after = box.status
    assert (after.status, after.exit_code) == (Status.EXITED, 137)
    assert "supervisor was killed" in after.error
    assert written(box) == b"up\n"
    box.start()
    assert box.status.running


def test_the_supervisor_killed_of_one_that_is_to_be_removed(store: ContainerStore) -> None:
    box = run_detached(store, "box:1", "web", shell("sleep 1000"), auto_remove=True)
    state = box.status
    os.kill(state.supervisor, signal.SIGKILL)
    wait_gone(state.pid)
    wait_gone(state.supervisor)
    with open_store(store.path) as again:
        assert again.containers() == []
        assert len(sweep(again)) == 1


def test_the_containers_process_killed_from_outside(store: ContainerStore) -> None:
    box = run_detached(store, "box:1", "web", shell("sleep 1000"))
    os.kill(box.status.pid, signal.SIGKILL)
    assert box.wait() == 137
    assert not box.status.running


def test_the_supervisor_stops_the_container_when_it_is_asked_to(store: ContainerStore) -> None:
    box = run_detached(store, "box:1", "web", shell("trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done"))
    wait_for_line(box, b"up\n")
    os.kill(box.status.supervisor, signal.SIGTERM)
    assert box.wait() == 3


def test_nothing_of_the_callers_is_inherited(store: ContainerStore, tmp_path: Path) -> None:
    with open(tmp_path / "secret", "w") as file:
        os.set_inheritable(file.fileno(), True)
        box = run_detached(store, "box:1", "web", shell("ls -l /proc/self/fd; sleep 1000"))
        state = box.status
    # PID 1's own, seen from outside.
    for pid in (state.pid, state.supervisor):
        open_files = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
        assert not [one for one in open_files if "secret" in one]
        assert not [one for one in open_files if "/dev/pts" in one or "/dev/tty" in one]
    assert os.getsid(state.supervisor) != os.getsid(0)
    with open(f"/proc/{state.supervisor}/stat", "rb") as stat:
        parent, _, session, terminal = (int(one) for one in stat.read().rpartition(b")")[2].split()[1:5])
    assert parent != os.getpid()
    assert session != os.getsid(0)
    assert terminal == 0
    box.remove(force=True)


def test_exec_runs_in_the_container(store: ContainerStore) -> None:
    box = run_detached(
        store, "box:1", "web", shell("echo mark > /here; echo up; sleep 1000", env={"A": "1"}, cwd="/tmp")
    )
    wait_for_line(box, b"up\n")
    done = box.exec(["sh", "-c", "cat /here; pwd; echo $A $B $ORIGIN"], env={"B": "2"}, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "mark\n/tmp\n1 2 image\n", "")
    done = box.exec(["sh", "-c", "pwd; cat; echo oops >&2; exit 5"], cwd="/etc", input="typed", capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (5, b"/etc\ntyped", b"oops\n")
    with pytest.raises(subprocess.CalledProcessError):
        box.exec(["false"], check=True)
    with pytest.raises(errors.RunError) as raised:
        box.exec(["/no/such/program"])
    assert raised.value.exit_code == 127
    assert box.status.running


@pytest.mark.parametrize("name", ["crun", "runc", "own"])
def test_exec_with_signals_and_limits(store: ContainerStore, name: str) -> None:
    options = DetachedOptions(runtime=name if name == "own" else need_tool(name))
    box = run_detached(store, "box:1", "web", shell("sleep 1000"), detached=options)
    with pytest.raises(subprocess.TimeoutExpired):
        box.exec(["sleep", "1001"], timeout=0.3)
    # It is gone, and not only forgotten.
    until(lambda: "1001" not in box.exec(["ps"], capture_output=True, text=True).stdout)
    words = ["sh", "-c", "trap 'exit 8' USR1; echo up; while :; do sleep 0.05; done"]
    output, end = os.pipe()
    with open(output, "rb") as said, box.start_exec(words, stdio=Stdio(-1, end, 2)) as session:
        os.close(end)
        assert said.readline() == b"up\n"
        session.signal(signal.SIGUSR1)
        assert session.wait(PATIENCE) == 8


def test_an_exec_ends_while_who_asked_for_it_goes(store: ContainerStore) -> None:
    """Both come to the supervisor at once: the first one closes what the second one is about."""
    box = run_detached(store, "box:1", "web", shell("sleep 1000"), detached=DetachedOptions(runtime="own"))
    for _ in range(5):
        mark = f"10{time.monotonic_ns()}"
        session = box.start_exec(["sleep", mark], stdio=Stdio(-1, -1, -1))
        os.kill(box.status.supervisor, signal.SIGSTOP)
        try:
            for pid in processes_with(mark):
                os.kill(pid, signal.SIGKILL)
                # What waits for it has ended too, and waits for the supervisor.
            session._connection.close()
        finally:
            os.kill(box.status.supervisor, signal.SIGCONT)
        assert box.exec(["true"]).returncode == 0


def test_exec_as_another_user(store: ContainerStore) -> None:
    if os.geteuid() != 0:
        pytest.skip("without root there is one user in a container")
    box = run_detached(store, "box:1", "web", shell("sleep 1000"))
    done = box.exec(["id"], user="ada", capture_output=True, text=True)
    assert done.stdout.startswith("uid=1000(ada) gid=1000(ada)")
    assert "crew" in done.stdout


def test_a_detached_exec_outlives_who_started_it(store: ContainerStore) -> None:
    box = run_detached(store, "box:1", "web", shell("sleep 1000"))
    with box.start_exec(["sh", "-c", "sleep 0.3; echo done > /done"], detached=True):
        pass
    until(lambda: box.exec(["cat", "/done"], capture_output=True).stdout == b"done\n")


def test_a_large_request(store: ContainerStore) -> None:
    box = run_detached(store, "box:1", "web", shell("sleep 1000"))
    done = box.exec(["sh", "-c", "echo ${#LONG}"], env={"LONG": "x" * 100_000}, capture_output=True)
    assert done.stdout == b"100000\n"


def test_logs_follow_until_the_end(store: ContainerStore) -> None:
    box = run_detached(store, "box:1", "web", shell("for i in 1 2 3 4 5; do echo $i; sleep 0.05; done"))
    assert [entry.data for entry in box.logs(follow=True)] == [b"1\n", b"2\n", b"3\n", b"4\n", b"5\n"]
    assert [entry.data for entry in box.logs(tail=2)] == [b"4\n", b"5\n"]


def test_a_thousand_lines_a_second_come_at_once(store: ContainerStore) -> None:
    script = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; [ $((i % 100)) = 0 ] && sleep 0.05; done"
    box = run_detached(store, "box:1", "web", shell(script))
    late = []
    found = []
    for entry in box.logs(follow=True):
        found.append(entry.data)
        late.append(time.time_ns() - entry.time)
    assert found == [f"line {number}\n".encode() for number in range(1, 3001)]
    # Mostly within milliseconds, but the machine may have a lot else to do.
    assert sorted(late)[len(late) // 2] < 1_000_000_000


def test_a_log_is_bounded(store: ContainerStore) -> None:
    options = DetachedOptions(log=LogLimits(size=50_000, files=2))
    box = run_detached(store, "box:1", "web", shell("seq 100000; echo last"), detached=options)
    assert box.wait() == 0
    assert written(box).endswith(b"100000\nlast\n")
    assert len(written(box)) < 100_000


def test_a_client_that_does_not_read_stops_nothing(store: ContainerStore) -> None:
    box = run_detached(store, "box:1", "web", shell("seq 2000000 | tail -c 12000000; echo end > /end; sleep 1000"))
    connection, terminal, _ = box.attach()
    assert not terminal
    with connection:
        until(lambda: box.exec(["cat", "/end"], capture_output=True).stdout == b"end\n")


def test_nonsense_from_a_client_harms_nobody(store: ContainerStore) -> None:
    box = run_detached(store, "box:1", "web", shell("sleep 1000"))
    for packet in (b"\xff", b"[]", b"{}", b'{"op": "fly"}', b'{"op": "signal", "number": "x"}', b"x" * 70_000):
        with box._connect() as connection:
            connection.socket.send(packet)
            with pytest.raises(errors.RunError):
                connection.receive()
    with box._connect():
        pass
    assert box.status.running
    assert box.exec(["true"]).returncode == 0


def test_two_start_one_at_the_same_time(store: ContainerStore) -> None:
    box = run_detached(store, "box:1", "web", shell("sleep 1000"))
    box.stop(0)
    failures: list[OSError] = []

    def begin() -> None:
        try:
            DetachedContainer(store, "web").start()
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=begin) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(failures) == 2
    assert all(isinstance(one, errors.LayerInUseError) for one in failures)
    assert box.status.running


def test_two_at_once_do_not_see_each_other(store: ContainerStore) -> None:
    boxes = [run_detached(store, "box:1", name, shell(f"echo {name} > /who; sleep 1000")) for name in ("one", "two")]
    for box in boxes:
        until(lambda box=box: box.exec(["cat", "/who"], capture_output=True).stdout)  # type: ignore[misc]
        assert box.exec(["cat", "/who"], capture_output=True, text=True).stdout == f"{box.name}\n"
    boxes[0].remove(force=True)
    assert boxes[1].status.running


def test_its_own_options_are_remembered(store: ContainerStore) -> None:
    box = run_detached(store, "box:1", "web", shell("echo $A; pwd", env={"A": "1"}, cwd="/tmp"))
    box.wait()
    box.restart()
    box.wait()
    assert written(box) == b"1\n/tmp\n1\n/tmp\n"
    box.start(shell("echo other"))
    box.wait()
    assert written(box).endswith(b"other\n")


def test_one_that_never_ran(store: ContainerStore) -> None:
    store.create_container("box:1", "still")
    box = DetachedContainer(store, "still")
    assert box.status.status is Status.CREATED
    assert list(box.logs(follow=True)) == []
    for call in (box.wait, box.stop, lambda: box.exec(["true"])):
        with pytest.raises(errors.RunError):
            call()
    box.start(shell("exit 2"))
    assert box.wait() == 2
    with pytest.raises(errors.NotFoundError):
        _ = DetachedContainer(store, "no-such-container").status


def test_a_terminal_without_anybody_at_it(store: ContainerStore) -> None:
    box = run_detached(store, "box:1", "web", shell("test -t 0 && test -t 1 && echo yes; stty size", terminal=True))
    assert box.wait() == 0
    assert written(box).replace(b"\r\n", b"\n") == b"yes\n24 80\n"


def test_input_waits_for_who_attaches(store: ContainerStore) -> None:
    box = run_detached(
        store, "box:1", "web", shell("read a; echo got $a; cat"), detached=DetachedOptions(interactive=True)
    )
    connection, _, takes_input = box.attach()
    assert takes_input
    with connection:
        connection.socket.send(b"0hello\nrest")
        connection.socket.send(b"e")
        assert box.wait() == 0
    assert written(box) == b"got hello\nrest"


def test_a_store_whose_path_is_long(tmp_path: Path, layout: Path) -> None:
    place = tmp_path / ("deep" * 30) / ("er" * 40)
    place.mkdir(parents=True)
    with opened(place, layout, "auto") as store:
        box = run_detached(store, "box:1", "web", shell("sleep 1000"))
        assert box.exec(["true"]).returncode == 0


def test_a_store_in_memory_cannot(layout: Path) -> None:
    with open_store(driver="memory") as store:
        store.load(layout)
        with pytest.raises(errors.CapabilityError, match="a store in memory"):
            run_detached(store, "box:1", "web")


def wait_for_line(box: DetachedContainer, line: bytes) -> None:
    """Wait until it has written a line; its log says when, without asking again and again."""
    for entry in box.logs(follow=True):
        if entry.data == line:
            return
    raise AssertionError(f"it ended without writing {line!r}")


def test_signals_are_as_programs_expect_them(store: ContainerStore) -> None:
    box = run_detached(store, "box:1", "web", shell("grep SigIgn /proc/self/status; sleep 1000"))
    wait_for_line(box, b"SigIgn:\t0000000000000000\n")
    done = box.exec(["grep", "SigIgn", "/proc/self/status"], capture_output=True)
    assert done.stdout == b"SigIgn:\t0000000000000000\n"


def test_nothing_is_left_of_a_run(store: ContainerStore, tmp_path: Path) -> None:
    box = run_detached(store, "box:1", tmp_path.name, shell("sleep 1000"))
    state = box.status
    assert {state.supervisor, state.pid} <= {*processes_with(tmp_path.name)}
    box.remove(force=True)
    wait_gone(state.supervisor)
    assert processes_with(f"{tmp_path}/store") == []
