"""Containers that run in the background or on a terminal, as users meet them."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testkit.boxes import busybox_layout, connections, processes_with, wait_gone
from testkit.loops import need_tool
from testkit.terminals import Terminal, on_terminal
from testkit.waits import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.conftest import Cli

pytestmark = pytest.mark.native

FOREVER = "while :; do sleep 1000; done"


@pytest.fixture(scope="session")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return busybox_layout(tmp_path_factory.mktemp("containers") / "layout")


@pytest.fixture
def boxes(cli: Cli, layout: Path) -> Iterator[Cli]:
    cli.environment["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
    cli.run("load", str(layout), "--quiet")
    yield cli
    for one in cli.json("ps")["containers"]:
        cli.run("rm", "-f", one["name"])
        wait_gone(one["state"]["supervisor"])
    assert processes_with(f"{cli.store}/run") == []
    for name in ("containers", "run"):
        place = cli.store / name
        assert not place.exists() or os.listdir(place) == []


def words(cli: Cli, *rest: str) -> list[str]:
    return [sys.executable, "-P", "-m", "overlaykit", *rest]


@contextlib.contextmanager
def terminal(cli: Cli, *rest: str, **options: object) -> Iterator[Terminal]:
    with on_terminal(words(cli, *rest), cli.environment, **options) as made:  # type: ignore[arg-type]
        yield made


def seen(text: str) -> Callable[[list[str]], bool]:
    return lambda lines: any(text in line for line in lines)


def state(cli: Cli, name: str) -> dict[str, object]:
    found: dict[str, object] = cli.json("inspect", name)["state"]
    return found


def test_the_life_of_a_detached_container(boxes: Cli) -> None:
    script = "trap 'echo bye; exit 3' TERM; echo hello; echo oops >&2; while :; do sleep 0.05; done"
    assert boxes.lines("run", "-d", "--name", "web", "box:1", "sh", "-c", script) == ["web"]
    head, row = boxes.lines("ps")
    assert head.split()[:4] == ["NAME", "IMAGE", "STATUS", "COMMAND"]
    assert row.split()[:3] == ["web", "box:1", "Up"]
    [one] = boxes.json("ps", "--running")["containers"]
    assert one["state"]["status"] == "running"
    assert one["state"]["command"] == ["sh", "-c", script]
    assert boxes.lines("exec", "web", "sh", "-c", "echo $0 -x", "-y") == ["-y -x"]
    assert boxes.run("exec", "web", "sh", "-c", "exit 9", expect=9).stderr == ""
    error = boxes.error("rm", "web", code=5)
    assert "is running: stop it first" in error
    assert boxes.lines("stop", "web") == ["web"]
    ran = boxes.run("logs", "web")
    assert (ran.stdout, ran.stderr) == ("hello\nbye\n", "oops\n")
    assert "Exited (3)" in boxes.lines("ps", "-a")[1]
    assert boxes.lines("wait", "web") == ["3"]
    assert len(boxes.lines("ps", "-r")) == 1
    assert boxes.lines("start", "web") == ["web"]
    assert boxes.lines("kill", "web") == ["web"]
    assert boxes.lines("wait", "web") == ["137"]
    assert boxes.lines("rm", "web") == ["web"]
    assert boxes.json("ps") == {"containers": []}


def test_the_daemonless_caller_may_go(boxes: Cli) -> None:
    # What a pipe is read to its end for: nothing of the container may hold it open.
    boxes.run("run", "-d", "--name", "web", "box:1", "sleep", "1000", timeout=PATIENCE)
    assert state(boxes, "web")["status"] == "running"


def test_names_that_are_taken(boxes: Cli) -> None:
    boxes.run("run", "-d", "--name", "web", "box:1", "sleep", "1000")
    assert "web" in boxes.error("run", "-d", "--name", "web", "box:1", "true", code=125)
    assert state(boxes, "web")["status"] == "running"
    boxes.run("run", "-d", "--name", "other", "box:1", "sleep", "1000")
    assert [one["name"] for one in boxes.json("ps")["containers"]] == ["web", "other"]


def test_what_is_not_running_and_what_is_not_there(boxes: Cli) -> None:
    boxes.run("create", "box:1", "still")
    assert "is not running" in boxes.error("kill", "still", code=1)
    assert "is not running" in boxes.error("exec", "still", "true", code=125)
    assert "was never run" in boxes.error("wait", "still", code=1)
    assert boxes.run("logs", "still").stdout == ""
    for command in (("stop",), ("kill",), ("wait",), ("logs",), ("start",), ("rm", "-f"), ("attach",), ("restart",)):
        assert "there is no container 'nope'" in boxes.error(*command, "nope", code=3)
    assert boxes.error_json("wait", "nope", code=3)["kind"] == "NotFoundError"
    boxes.run("rm", "still")


def test_words_that_cannot_be_understood(boxes: Cli) -> None:
    assert "nothing is said of what to run" in boxes.error("exec", "web", code=2)
    assert "no signal 'NOPE'" in boxes.error("kill", "-s", "NOPE", "web", code=2)
    assert "is no number of lines" in boxes.error("logs", "--tail", "x", "web", code=2)
    assert "--since" in boxes.error("logs", "--since", "yesterday", "web", code=2)
    assert "is no key" in boxes.error("attach", "--detach-keys", "ctrl-", "web", code=2)
    assert "--follow has none" in boxes.run("logs", "-f", "web", "--json", expect=2).stderr
    assert "max-size" in boxes.error("run", "-d", "--log-opt", "colour=red", "box:1", code=2)


def test_run_rm_in_the_background(boxes: Cli, tmp_path: Path) -> None:
    script = "until [ -e /gate/open ]; do sleep 0.1; done; exit 4"
    gate = tmp_path / "gate"
    gate.mkdir()
    [name] = boxes.lines("run", "-d", "--rm", "-v", f"{gate}:/gate", "box:1", "sh", "-c", script)
    words = [sys.executable, "-P", "-m", "overlaykit", "wait", name]
    with subprocess.Popen(words, env=boxes.environment, stdout=subprocess.PIPE, text=True) as waiter:
        # Once it has ended and is removed, nobody can be told how.
        while not connections(waiter.pid):
            assert waiter.poll() is None
            time.sleep(0.01)
        (gate / "open").touch()
        assert waiter.communicate()[0] == "4\n"
    assert boxes.json("ps") == {"containers": []}
    assert os.listdir(boxes.store / "containers") == []


def test_a_program_that_is_not_there(boxes: Cli) -> None:
    assert "nothere" in boxes.error("run", "-d", "--name", "web", "box:1", "nothere", code=127)
    boxes.run("run", "-d", "--name", "web", "box:1", "sleep", "1000")
    assert boxes.run("exec", "web", "nothere", expect=127).stdout == ""


def test_exec_says_where_and_as_whom(boxes: Cli) -> None:
    boxes.run("run", "-d", "--name", "web", "-e", "A=1", "-w", "/tmp", "box:1", "sleep", "1000")
    assert boxes.lines("exec", "-e", "B=2", "-w", "/etc", "web", "sh", "-c", "echo $A $B $PWD") == ["1 2 /etc"]
    assert boxes.lines("exec", "web", "pwd") == ["/tmp"]
    assert boxes.run("exec", "-i", "web", "cat", input="typed").stdout == "typed"
    assert boxes.run("exec", "web", "cat", input="typed").stdout == ""
    if os.geteuid() == 0:
        assert boxes.lines("exec", "-u", "ada", "web", "id", "-un") == ["ada"]
    boxes.run("exec", "-d", "web", "sh", "-c", "echo done > /tmp/done")
    until(lambda: boxes.run("exec", "web", "sh", "-c", "cat /tmp/done 2>/dev/null; true").stdout == "done\n")


def test_a_killed_exec_leaves_nothing(boxes: Cli) -> None:
    boxes.run("run", "-d", "--name", "web", "box:1", "sleep", "1000")
    process = subprocess.Popen(
        words(boxes, "exec", "web", "sh", "-c", "echo up; sleep 1001"), env=boxes.environment, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.kill()
    until(lambda: "1001" not in boxes.run("exec", "web", "ps").stdout)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_exec_gets_signals(boxes: Cli, number: int, code: int) -> None:
    boxes.run("run", "-d", "--name", "web", "box:1", "sleep", "1000")
    script = "echo up; exec sleep 1000"
    process = subprocess.Popen(
        words(boxes, "exec", "web", "sh", "-c", script), env=boxes.environment, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(number)
        assert process.wait(PATIENCE) == code


def test_logs_with_times_and_from_then_on(boxes: Cli) -> None:
    boxes.run("run", "-d", "--name", "web", "box:1", "seq", "5")
    boxes.run("wait", "web")
    assert boxes.lines("logs", "--tail", "2", "web") == ["4", "5"]
    stamped = boxes.lines("logs", "-t", "web")
    assert [line.split()[1] for line in stamped] == ["1", "2", "3", "4", "5"]
    moment = stamped[0].split()[0]
    assert moment.endswith("Z")
    assert boxes.lines("logs", "--until", moment[:19], "web") == []
    assert boxes.lines("logs", "--since", "10m", "web") == ["1", "2", "3", "4", "5"]
    entries = boxes.json("logs", "web")["entries"]
    assert [one["text"] for one in entries] == ["1\n", "2\n", "3\n", "4\n", "5\n"]


def test_logs_follow_and_end_with_the_container(boxes: Cli) -> None:
    boxes.run("run", "-d", "--name", "web", "box:1", "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.2; done")
    assert boxes.lines("logs", "-f", "web") == ["1", "2", "3"]


def test_ctrl_c_leaves_logs_and_not_the_container(boxes: Cli) -> None:
    boxes.run("run", "-d", "--name", "web", "box:1", "sh", "-c", f"echo up; {FOREVER}")
    with terminal(boxes, "logs", "-f", "web") as screen:
        screen.wait_for(seen("up"))
        screen.press(b"\x03")
        assert screen.end() == 130
    assert state(boxes, "web")["status"] == "running"


def test_stop_kills_in_time(boxes: Cli) -> None:
    boxes.run("run", "-d", "--name", "web", "box:1", "sh", "-c", f"trap '' TERM; echo up; {FOREVER}")
    until(lambda: boxes.lines("logs", "web") == ["up"])
    boxes.run("stop", "-t", "0.5", "web", timeout=PATIENCE)
    assert state(boxes, "web")["exit_code"] == 137


def test_the_supervisor_killed(boxes: Cli) -> None:
    boxes.run("run", "-d", "--name", "web", "box:1", "sleep", "1000")
    boxes.run("run", "-d", "--rm", "--name", "gone", "box:1", "sleep", "1000")
    states = [state(boxes, name) for name in ("web", "gone")]
    for one in states:
        os.kill(int(str(one["supervisor"])), signal.SIGKILL)
    for one in states:
        wait_gone(int(str(one["pid"])))
        wait_gone(int(str(one["supervisor"])))
    [left] = boxes.json("ps")["containers"]
    assert left["name"] == "web"
    assert (left["state"]["status"], left["state"]["exit_code"]) == ("exited", 137)
    boxes.run("start", "web")
    assert state(boxes, "web")["status"] == "running"


def test_ps_is_fast(boxes: Cli) -> None:
    for number in range(3):
        boxes.run("run", "-d", "--name", f"web{number}", "box:1", "sleep", "1000")
    # Once is enough: what else the machine does meanwhile is in the figures.
    assert any(_seconds(boxes, "ps") < 3 * max(_seconds(boxes, "ps", "--no-usage"), 0.1) for _ in range(20))


def _seconds(cli: Cli, *rest: str) -> float:
    began = time.monotonic()
    cli.run(*rest)
    return time.monotonic() - began


# -- on a terminal -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["crun", "runc", "own"])
def runtime(request: pytest.FixtureRequest) -> str:
    return "own" if request.param == "own" else need_tool(request.param)


def test_a_shell_on_a_terminal(boxes: Cli, runtime: str) -> None:
    with terminal(boxes, "run", "--rm", "-it", "--runtime", runtime, "box:1", columns=100, lines=30) as screen:
        before = screen.settings
        screen.wait_for(seen("#"))
        screen.press(b"test -t 0 && tty; stty size\r")
        screen.wait_for(seen("30 100"))
        screen.wait_for(seen("/dev/pts/0"))
        assert screen.settings != before
        screen.resize(20, 70)
        screen.press(b"clear; stty size\r")
        screen.wait_for(seen("20 70"))
        # Ctrl-C is the shell's, and Ctrl-D its end.
        long = f"1000{os.getpid()}"
        screen.press(f"echo st''arted; sleep {long}\r".encode())
        screen.wait_for(seen("started"))
        # Before the program is in the terminal's foreground, the shell takes the signal for itself, and then waits.
        while not processes_with(f"sleep\0{long}"):
            time.sleep(0.01)
        screen.press(b"\x03")
        screen.press(b"echo code $?\r")
        screen.wait_for(seen("code 130"))
        screen.press(b"exit 42\r")
        assert screen.end() == 42
        assert screen.settings == before


def test_ctrl_d_ends_a_shell(boxes: Cli) -> None:
    with terminal(boxes, "run", "--rm", "-it", "box:1") as screen:
        screen.wait_for(seen("#"))
        screen.press(b"\x04")
        assert screen.end() == 0


def test_an_editor_on_a_terminal(boxes: Cli) -> None:
    boxes.run("run", "-d", "--name", "web", "box:1", "sleep", "1000")
    with terminal(boxes, "exec", "-it", "-e", "TERM=linux", "web", "vi", "/tmp/text", columns=80, lines=24) as screen:
        screen.wait_for(seen("~"))
        screen.press(b"ihello from vi\x1b")
        screen.wait_for(seen("hello from vi"))
        screen.press(b":wq\r")
        assert screen.end() == 0
    assert boxes.lines("exec", "web", "cat", "/tmp/text") == ["hello from vi"]


def test_exec_on_a_terminal_is_resized(boxes: Cli, runtime: str) -> None:
    boxes.run("run", "-d", "--runtime", runtime, "--name", "web", "box:1", "sleep", "1000")
    with terminal(boxes, "exec", "-it", "web", "sh", columns=90, lines=25) as screen:
        before = screen.settings
        screen.wait_for(seen("#"))
        screen.press(b"stty size\r")
        screen.wait_for(seen("25 90"))
        screen.resize(21, 71)
        screen.press(b"clear; stty size\r")
        screen.wait_for(seen("21 71"))
        screen.press(b"exit 6\r")
        assert screen.end() == 6
        assert screen.settings == before


def test_the_terminal_is_set_back_when_the_command_is_ended(boxes: Cli) -> None:
    with terminal(boxes, "run", "--rm", "--name", "web", "-it", "box:1") as screen:
        before = screen.settings
        screen.wait_for(seen("#"))
        screen.press(b"trap 'exit 5' TERM; echo re''ady\r")
        screen.wait_for(seen("ready"))
        [child] = _children(screen.process.pid)
        os.kill(child, signal.SIGTERM)
        screen.press(b"\r")
        assert screen.end() == 5
        assert screen.settings == before


def test_input_that_is_no_terminal_has_an_end(boxes: Cli) -> None:
    line = shlex.join(words(boxes, "run", "--rm", "-it", "box:1", "sh", "-c", "read a; echo got $a; cat; echo over"))
    with on_terminal(["/bin/sh", "-c", f"echo typed | {line}"], boxes.environment) as screen:
        screen.wait_for(seen("got typed"))
        screen.wait_for(seen("over"))
        assert screen.end() == 0


def test_a_killed_command_takes_its_container_along(boxes: Cli) -> None:
    with terminal(boxes, "run", "--rm", "-it", "box:1") as screen:
        screen.wait_for(seen("#"))
        [child] = _children(screen.process.pid)
        os.kill(child, signal.SIGKILL)
        screen.end()
    assert boxes.json("ps") == {"containers": []}


def test_attach_and_leave(boxes: Cli) -> None:
    boxes.run("run", "-d", "-it", "--name", "web", "box:1")
    with terminal(boxes, "attach", "web", columns=77, lines=22) as screen:
        before = screen.settings
        screen.press(b"stty size\r")
        screen.wait_for(seen("22 77"))
        screen.press(b"A=kept\r\x10")
        screen.press(b"\x11")
        assert screen.end() == 0
        assert screen.settings == before
    assert state(boxes, "web")["status"] == "running"
    with terminal(boxes, "attach", "web") as screen:
        # What was held back, as it might have been the first of the keys.
        screen.press(b"\x10echo $A\r")
        screen.wait_for(seen("kept"))
        screen.press(b"exit 8\r")
        assert screen.end() == 8
    assert "kept" in boxes.run("logs", "web").stdout


def test_attach_without_a_terminal(boxes: Cli) -> None:
    boxes.run("run", "-d", "-i", "--name", "web", "box:1", "sh", "-c", "cat; echo end >&2; exit 7")
    data = "".join(f"line {number}\n" for number in range(50_000))
    ran = boxes.run("attach", "web", input=data, expect=7)
    assert ran.stdout == data
    assert ran.stderr == "end\n"


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_json_of_what_is_done(boxes: Cli) -> None:
    ran = boxes.run("run", "--json", "-d", "--name", "web", "box:1", "sleep", "1000")
    assert json.loads(ran.stdout) == {"name": "web"}
    assert boxes.json("stop", "-t", "0", "web") == {"stopped": ["web"]}
    assert boxes.json("start", "web") == {"started": ["web"]}
    assert boxes.json("restart", "-t", "0", "web") == {"restarted": ["web"]}
    assert boxes.json("kill", "web") == {"signalled": ["web"]}
    assert boxes.json("wait", "web") == {"exit_codes": {"web": 137}}
    assert json.loads(boxes.run("rm", "-f", "web", "--json").stdout) == {"removed": ["web"]}


def test_one_in_the_foreground_is_seen_and_leaves_its_output(boxes: Cli) -> None:
    script = "echo hello; echo oops >&2; cat; exit 4"
    ran = boxes.run("run", "-i", "--name", "kept", "box:1", "sh", "-c", script, input="typed\n", expect=4)
    assert (ran.stdout, ran.stderr) == ("hello\ntyped\n", "oops\n")
    logs = boxes.run("logs", "kept")
    assert (logs.stdout, logs.stderr) == (ran.stdout, ran.stderr)
    assert boxes.run("start", "-a", "-i", "kept", input="again\n", expect=4).stdout == "hello\nagain\n"
    assert boxes.json("inspect", "kept")["State"]["ExitCode"] == 4


@pytest.mark.parametrize("how", [["--rm"], []])
def test_one_in_the_foreground_is_reached(boxes: Cli, how: list[str]) -> None:
    with subprocess.Popen(
        words(
            boxes,
            "run",
            *how,
            "--name",
            "fore",
            "box:1",
            "sh",
            "-c",
            "trap 'exit 8' TERM; while sleep 0.02; do :; done",
        ),
        env=boxes.environment,
        stdin=subprocess.DEVNULL,
    ) as process:
        until(lambda: [one["name"] for one in boxes.json("ps", "-f", "status=running")["containers"]] == ["fore"])
        assert state(boxes, "fore")["supervisor"] == process.pid
        assert boxes.lines("exec", "fore", "echo", "reached") == ["reached"]
        assert "sleep 0.02" in boxes.run("top", "fore").stdout
        waiting = subprocess.Popen(
            words(boxes, "wait", "fore"), env=boxes.environment, stdout=subprocess.PIPE, text=True
        )
        boxes.run("stop", "fore")
        assert process.wait() == 8
        assert waiting.communicate()[0] in ("8\n", "")  # it may come too late for one that is gone
    assert [one["state"]["exit_code"] for one in boxes.json("ps")["containers"]] == ([] if how else [8])


def test_a_name_a_pause_and_an_image(boxes: Cli, tmp_path: Path) -> None:
    boxes.run("run", "-d", "--name", "web", "box:1", "sh", "-c", "echo text > /file; sleep 1000")
    until(lambda: "A file" in boxes.lines("diff", "web"))
    boxes.run("cp", "web:/file", str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "text\n"
    assert boxes.run("rename", "web", "site").stdout == ""
    boxes.run("cp", str(tmp_path / "file"), "site:/copy")
    boxes.run("commit", "site", "site:1")
    assert boxes.run("run", "--rm", "site:1", "cat", "/copy").stdout == "text\n"
    if os.geteuid() == 0:
        assert boxes.lines("pause", "site") == ["site"]
        assert "(Paused)" in boxes.lines("ps")[1]
        assert boxes.json("inspect", "site")["State"]["Paused"] is True
        assert [one["name"] for one in boxes.json("ps", "-f", "status=paused")["containers"]] == ["site"]
        assert "is paused" in boxes.error("exec", "site", "true", code=125)
        assert boxes.lines("unpause", "site") == ["site"]
    assert "there is status=" in boxes.error("ps", "-f", "color=red", code=2)
    assert "one container alone" in boxes.error("start", "-a", "site", "web", code=2)
