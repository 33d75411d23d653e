"""However a container of the own runner ends, nothing is left; it hears of signals, terminals and its caller's end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from testkit.busybox import Box, make_root, read, streams
from testkit.waits import PATIENCE, until

from overlaykit import errors
from overlaykit.runtime import Stdio
from overlaykit.runtime._own import OwnProcess, OwnRunner

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.native


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path / "root")


@pytest.fixture
def box(root: Path) -> Box:
    return Box(OwnRunner(), root)


def _below(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # or it is about to go
        return []


def _all_gone(processes: list[psutil.Process]) -> bool:
    return not any(_is_there(one) for one in processes)


def _is_there(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it went between the two questions
        return False


FOREST = "sleep 1000 & (sleep 1000 & setsid sleep 1000) & sleep 1000"


def test_closing_it_ends_everything(box: Box) -> None:
    with box.start("sh", "-c", FOREST) as process:
        until(lambda: len(_below(process.pid)) >= 4)
        inside = _below(process.pid)
    assert _all_gone(inside)
    assert process.returncode == 137
    process.close()


def test_a_kill_of_the_runner_ends_everything(box: Box) -> None:
    with box.start("sh", "-c", FOREST) as process:
        until(lambda: len(_below(process.pid)) >= 4)
        inside = _below(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(PATIENCE) == 137
        # Whoever waited for the runner has waited for the container.
        assert _all_gone(inside)


def test_a_kill_of_the_first_process_ends_everything(box: Box) -> None:
    with box.start("sh", "-c", FOREST) as process:
        assert isinstance(process, OwnProcess)
        until(lambda: len(_below(process.pid)) >= 4)
        inside = _below(process.pid)
        os.kill(process.first_pid, signal.SIGKILL)
        assert process.wait(PATIENCE) == 137
        assert _all_gone(inside)


CALLER = """
import os, sys, time
from pathlib import Path
from testkit.busybox import Box
from overlaykit.runtime import Stdio
from overlaykit.runtime._own import OwnRunner

box = Box(OwnRunner(), Path(sys.argv[1]))
process = box.start("sh", "-c", sys.argv[2])
print(process.pid, process.first_pid, flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("how", ["the caller", "the caller and the runner", "the caller's group"])
def test_a_kill_of_the_caller_ends_everything(root: Path, how: str) -> None:
    words = [sys.executable, "-c", CALLER, root, FOREST]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True) as caller:
        assert caller.stdout is not None
        runner, _ = map(int, caller.stdout.readline().split())
        until(lambda: len(_below(caller.pid)) >= 5)
        inside = _below(caller.pid)
        if how == "the caller's group":
            os.killpg(caller.pid, signal.SIGKILL)
        else:
            caller.kill()
        if how == "the caller and the runner":
            os.kill(runner, signal.SIGKILL)
    until(lambda: _all_gone(inside))


def test_nothing_is_mounted_or_left_on_this_machine(box: Box) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    with box.start("sleep", "1000") as process:
        assert isinstance(process, OwnProcess)
        assert Path("/proc/self/mountinfo").read_text() == before
        inside = Path(f"/proc/{process.first_pid}/mountinfo").read_text()
        # Below the root of its file system, wherever that is mounted.
        assert f"/{box.root.parent.name}/{box.root.name}" in inside or os.geteuid() == 0
    assert Path("/proc/self/mountinfo").read_text() == before


def test_signals_reach_the_program(box: Box) -> None:
    script = "trap 'echo term; exit 3' TERM; trap 'echo usr1' USR1; echo ready; while :; do sleep 0.05; done"
    with streams() as (stdio, out, _), box.start("sh", "-c", script, stdio=stdio) as process:
        until(lambda: read(out).endswith("ready\n"))
        process.signal(signal.SIGUSR1)
        until(lambda: read(out).endswith("usr1\n"))
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(PATIENCE) == 3
        assert read(out).endswith("term\n")
    process.signal(signal.SIGTERM)
    process.kill()


def test_a_time_limit(box: Box) -> None:
    with box.start("sleep", "1000") as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)
        assert process.returncode is None


def test_a_failed_start_leaves_nothing(box: Box) -> None:
    before = {one.pid for one in psutil.Process().children(recursive=True)}
    for _ in range(5):
        with pytest.raises(errors.RunError):
            box.start("nothing")
    assert {one.pid for one in psutil.Process().children(recursive=True)} == before


def test_many_at_once(box: Box) -> None:
    failures: list[object] = []

    def work(number: int) -> None:
        for turn in range(5):
            seen = box.sh(f"echo {number} {turn}; exit {turn}")
            if (seen.out, seen.code) != (f"{number} {turn}\n", turn):
                failures.append(seen)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_it_outlives_the_thread_that_started_it(box: Box) -> None:
    started: list[OwnProcess] = []

    def start() -> None:
        process = box.start("sh", "-c", "sleep 0.3; exit 6")
        assert isinstance(process, OwnProcess)
        started.append(process)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    with started[0] as process:
        assert process.wait(PATIENCE) == 6


def test_an_exec_ends_with_its_container(box: Box) -> None:
    from overlaykit.runtime import ProcessSpec

    with box.start("sleep", "1000") as first:
        second = first.exec(ProcessSpec(("sleep", "1000"), {"PATH": "/bin"}), Stdio(-1, -1, -1))
        third = first.exec(ProcessSpec(("sleep", "1000"), {"PATH": "/bin"}), Stdio(-1, -1, -1))
        with second, third:
            second.kill()
            assert second.wait(PATIENCE) == 137
            assert first.returncode is None
            first.kill()
            assert third.wait(PATIENCE) == 137


def test_orphans_are_collected_by_an_init(box: Box) -> None:
    """Where the bundle asks for one, a small process 1 collects orphans, passes signals on and ends as the program."""
    box.config = {"annotations": {"org.overlaykit.init": "true"}}
    script = (
        "(sleep 0.05 & ) ; sleep 0.3; while ps -o stat | grep -q Z; do sleep 0.05; done;"
        "echo $$; trap 'exit 4' TERM; echo ready; while :; do sleep 0.05; done"
    )
    with streams() as (stdio, out, _), box.start("sh", "-c", script, stdio=stdio) as process:
        until(lambda: read(out).endswith("ready\n"))
        assert read(out).splitlines()[-2] == "2"
        process.signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 4


def test_killed_at_any_moment_of_its_beginning_it_leaves_nothing(box: Box) -> None:
    # Whatever serves the tests of the whole run, such as a browser, is none of this one's business.
    others = set(psutil.Process().children(recursive=True))

    def left() -> set[psutil.Process]:
        return set(psutil.Process().children(recursive=True)) - others

    def kill_runners() -> None:
        for child in set(psutil.Process().children()) - others:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()

    luck = random.Random(7)
    for _ in range(60):
        killer = threading.Timer(luck.uniform(0.0005, 0.008), kill_runners)
        killer.start()
        try:
            with box.start("sleep", "1000") as process:
                killer.join()
                kill_runners()
                assert process.wait(PATIENCE) == 137
        except errors.RunError as error:
            if "without a word" not in str(error):
                raise
        killer.join()
        until(lambda: not left())


class Screen:
    """A terminal of the test's, and what is shown on it."""

    def __init__(self, rows: int, columns: int) -> None:
        self.master, self.slave = os.openpty()
        self.resize(rows, columns)
        self.shown = ""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def shows(self, text: str) -> bool:
        end = time.monotonic() + PATIENCE
        while text not in self.shown:
            if not select.select([self.master], [], [], max(0.0, end - time.monotonic()))[0]:
                return False
            self.shown += os.read(self.master, 65536).decode()
        return True


@pytest.fixture
def screen() -> Iterator[Screen]:
    screen = Screen(33, 99)
    yield screen
    os.close(screen.master)
    os.close(screen.slave)


def test_a_terminal(box: Box, screen: Screen) -> None:
    box.process = {"terminal": True}
    before = termios.tcgetattr(screen.slave)
    stdio = Stdio(screen.slave, screen.slave, screen.slave)
    with box.start("sh", stdio=stdio) as process:
        screen.type("tty; stty size; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all-$((1+1))\r")
        assert screen.shows("/dev/pts/0")
        assert screen.shows("33 99")
        assert screen.shows("all-2")
        screen.type("test /dev/console -ef /dev/pts/0 && echo console-$((1+2)); echo direct-$((1+3)) > /dev/tty\r")
        assert screen.shows("console-3")
        assert screen.shows("direct-4")
        screen.resize(11, 22)
        process.signal(signal.SIGWINCH)
        screen.type("stty size\r")
        assert screen.shows("11 22")
        screen.type("sleep 1000\r")
        # What is typed while the shell still reads goes with Ctrl-C.
        until(lambda: any(_words(one) == ["sleep", "1000"] for one in _below(process.pid)))
        screen.type("\x03")
        screen.type("echo after-$?\r")
        assert screen.shows("after-130")
        screen.type("exit 7\r")
        assert process.wait(PATIENCE) == 7
    assert termios.tcgetattr(screen.slave) == before


def test_all_that_a_terminal_shows_arrives(box: Box, screen: Screen) -> None:
    """Also what is written right before the end, and more than the terminal holds."""
    box.process = {"terminal": True}
    with box.start("seq", "1", "3000", stdio=Stdio(screen.slave, screen.slave, screen.slave)) as process:
        assert screen.shows("\n3000\r\n")
        assert process.wait(PATIENCE) == 0
    numbers = [int(word) for word in screen.shown.split()]
    assert numbers == list(range(1, 3001))


def test_a_lot_that_is_typed_arrives(box: Box, screen: Screen) -> None:
    box.process = {"terminal": True}
    stdio = Stdio(screen.slave, screen.slave, screen.slave)
    text = "x" * 2000
    with box.start("sh", "-c", "stty -echo; echo go-$((1+1)); while read line; do echo ${#line}; done", stdio=stdio):
        assert screen.shows("go-2")
        for _ in range(20):
            screen.type(text + "\n")
        assert screen.shows("2000\r\n" * 20)


def test_a_terminal_for_an_exec(box: Box, screen: Screen) -> None:
    from overlaykit.runtime import ProcessSpec

    process = ProcessSpec(("sh", "-c", "tty; stty size; exit 5"), {"PATH": "/bin"}, terminal=True)
    stdio = Stdio(screen.slave, screen.slave, screen.slave)
    with box.start("sleep", "100") as first, first.exec(process, stdio) as second:
        assert second.wait(PATIENCE) == 5
        assert screen.shows("/dev/pts/0")
        assert screen.shows("33 99")


@pytest.mark.parametrize("ends", [False, True])
def test_a_terminal_that_nobody_reads_stops_nothing(box: Box, screen: Screen, ends: bool) -> None:
    box.process = {"terminal": True}
    command = ("seq", "1", "100000") if ends else ("yes",)
    with box.start(*command, stdio=Stdio(screen.slave, screen.slave, screen.slave)) as process:
        time.sleep(0.3)
        if ends:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.1)
        process.kill()
        assert process.wait(PATIENCE) == 137


def test_what_a_slow_reader_takes_late_arrives_too(box: Box, screen: Screen) -> None:
    box.process = {"terminal": True}
    with box.start("seq", "1", "20000", stdio=Stdio(screen.slave, screen.slave, screen.slave)) as process:
        time.sleep(0.3)
        assert screen.shows("\n20000\r\n")
        assert process.wait(PATIENCE) == 0
    assert [int(word) for word in screen.shown.split()] == list(range(1, 20001))
