"""overlaykit run: streams, exit codes and signals pass through, and nothing stays."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from testkit.boxes import busybox_layout, processes_with, wait_gone
from testkit.loops import need_root, need_tool
from testkit.waits import PATIENCE

from overlaykit.cli._exit import UsageError
from overlaykit.cli._run_options import size_in_bytes

if TYPE_CHECKING:
    from .conftest import Cli

pytestmark = pytest.mark.native


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = {"Cmd": ["sh", "-c", "echo by image"], "Volumes": {"/data": {}}}
    return busybox_layout(tmp_path_factory.mktemp("run") / "layout", config)


@pytest.fixture
def box(cli: Cli, layout: Path) -> Cli:
    need_tool("crun")
    cli.run("load", str(layout))
    return cli


def start(cli: Cli, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "overlaykit", "run", *words],
        env=cli.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def arguments(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""  # it has ended


def test_streams_and_exit_codes(box: Cli) -> None:
    assert box.run("run", "--rm", "box:1").stdout == "by image\n"
    ran = box.run("run", "--rm", "-i", "box:1", "sh", "-c", "cat; echo err >&2; exit 42", input="in", expect=42)
    assert (ran.stdout, ran.stderr) == ("in", "err\n")
    assert box.run("run", "--rm", "box:1", "cat", input="in").stdout == ""  # without -i there is none
    # What follows the image is the program's, whatever it looks like.
    words = ["--json", "-e", "--", "--rm", "--store"]
    assert box.run("run", "--rm", "box:1", "echo", *words).stdout == " ".join(words) + "\n"
    assert box.lines("ps") == ["NAME  IMAGE  STATUS  COMMAND  SIZE  CREATED"]


def test_a_stream_that_is_closed_is_no_file_of_the_store(box: Cli) -> None:
    """The next file that is opened would get its number, and what the program writes."""
    script = "for one in 0 1; do test -c /proc/self/fd/$one || echo $one >&2; done; echo lost; exit 7"
    words = shlex.join([sys.executable, "-P", "-m", "overlaykit", "run", "--rm", "-i", "box:1", "sh", "-c", script])
    ran = subprocess.run(["sh", "-c", f"{words} <&- >&-"], env=box.environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (7, "")
    assert box.run("run", "--rm", "box:1", "echo", "whole").stdout == "whole\n"


def test_what_cannot_be_run(box: Cli) -> None:
    assert "no program 'nope'" in box.error("run", "--rm", "box:1", "nope", code=127)
    assert "not executable" in box.error("run", "--rm", "box:1", "/etc/passwd", code=126)
    assert "no image" in box.error("run", "--rm", "--pull", "never", "none:1", code=125)
    assert "no user" in box.error("run", "--rm", "-u", "nemo", "box:1", code=125)
    assert "no runtime" in box.error("run", "--rm", "--runtime", "nope", "box:1", code=125)
    assert box.lines("ps") == ["NAME  IMAGE  STATUS  COMMAND  SIZE  CREATED"]
    for words, said in (
        (["-v", "name:/x"], "names a volume"),
        (["-v", "/x"], "SOURCE:/TARGET"),
        (["-v", "/:/x:rx"], "no 'rx'"),
        (["-v", "/:/"], "not the root"),
        (["--tmpfs", "x"], "absolute"),
        (["-m", "much"], "no size"),
        (["--cpus", "0"], "processors"),
        (["-e", "=x"], "NAME=VALUE"),
        (["-l", "=x"], "NAME=VALUE"),
        (["--security-opt", "apparmor=x"], "seccomp"),
        (["--network", "bridge"], "invalid choice"),
    ):
        assert said in box.error("run", *words, "box:1", code=2)
    assert "IMAGE" in box.error("run", "--rm", code=2)


def test_options(box: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("shared\n")
    (tmp_path / "env").write_text("# comment\nA=file\nB=file\n\nPASSED\n")
    box.environment["PASSED"] = "on"
    script = (
        "echo $A $B $PASSED $ORIGIN; pwd; hostname; cat /shared/file; df /t | tail -1 | awk '{print $2}'; touch /x; "
        "ls -d /data"
    )
    words = [
        *("--rm", "--env-file", str(tmp_path / "env"), "-e", "B=option", "-w", "/made/here", "--hostname", "inner"),
        *("-v", f"{tmp_path}:/shared:ro", "--tmpfs", "/t:size=1m,mode=700", "--network", "none", "--read-only"),
        *("--entrypoint", "sh", "box:1", "-c", script),
    ]
    ran = box.run("run", *words, expect=0)
    assert ran.stdout.splitlines() == ["file option on image", "/made/here", "inner", "shared", "1024", "/data"]
    assert "Read-only" in ran.stderr


def test_containers_stay_without_rm(box: Cli) -> None:
    box.run("run", "--name", "kept", "-l", "role=test", "box:1", "sh", "-c", "echo new > /file", expect=0)
    assert "A file" in box.lines("diff", "kept")
    assert box.lines("cat", "kept", "file") == ["new"]
    assert "role=test" in " ".join(box.lines("snapshots"))
    assert "kept" in box.error("run", "--name", "kept", "box:1", code=125)
    box.run("rm", "kept")


def test_limits(box: Cli) -> None:
    need_root()
    words = ["--pids-limit", "5", "--memory", "64m", "--cpus", "0.9", "box:1"]
    ran = box.run("run", "--rm", *words, "sh", "-c", "for i in 1 2 3 4 5 6 7; do sleep 100 & done", expect=2)
    assert "fork" in ran.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_it(box: Cli, number: int, code: int) -> None:
    long = f"77777.{os.getpid()}"
    with start(box, "--rm", "box:1", "sleep", long) as process:
        # A shell that starts it may forget a signal that comes meanwhile.
        while not any(arguments(pid) == f"sleep\0{long}\0" for pid in processes_with(f"sleep\0{long}")):
            assert process.poll() is None
        process.send_signal(number)
        assert process.wait(PATIENCE) == code
    assert box.lines("ps") == ["NAME  IMAGE  STATUS  COMMAND  SIZE  CREATED"]


def test_a_signal_that_is_caught_is_the_programs(box: Cli) -> None:
    script = "trap 'echo caught; exit 3' INT; echo begun; while :; do sleep 0.05; done"
    with start(box, "--rm", "box:1", "sh", "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 3
        assert process.stdout.read() == b"caught\n"


def test_a_second_ctrl_c_kills(box: Cli) -> None:
    script = "trap 'echo not yet' INT; echo begun; while :; do sleep 0.05; done"
    with start(box, "--rm", "box:1", "sh", "-c", script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == b"not yet\n"
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 137


def test_kill_leaves_nothing(box: Cli) -> None:
    mark = f"MARK=m{os.urandom(6).hex()}"
    with start(
        box, "--rm", "-e", mark, "box:1", "sh", "-c", "(setsid sleep 77777 &); echo begun; sleep 77777"
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        inside = processes_with(mark)
        assert len(inside) >= 3
        process.kill()
    for pid in inside:
        wait_gone(pid)
    assert processes_with(mark) == []
    assert box.lines("ps") == ["NAME  IMAGE  STATUS  COMMAND  SIZE  CREATED"]
    assert os.listdir(box.store / "run") == []


def test_a_closed_reader_is_the_programs_business(box: Cli) -> None:
    with start(box, "--rm", "box:1", "yes") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE) in (1, 141)


def test_seccomp_profile_from_a_file(box: Cli, tmp_path: Path) -> None:
    rules = [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]
    (tmp_path / "profile").write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}))
    option = f"seccomp={tmp_path / 'profile'}"
    assert "No space" in box.run("run", "--rm", "--security-opt", option, "box:1", "mkdir", "/x", expect=1).stderr
    (tmp_path / "profile").write_text("no profile")
    assert "seccomp profile" in box.error("run", "--rm", "--security-opt", option, "box:1", code=125)


def test_sizes() -> None:
    for text, wanted in (
        ("512", 512),
        ("1k", 1024),
        ("2M", 2 << 20),
        ("1.5g", 3 << 29),
        ("3MB", 3 << 20),
        ("1KiB", 1024),
        ("7b", 7),
    ):
        assert size_in_bytes(text, "-m") == wanted
    for text in ("", "m", "-1", "0", "1x", "1e999g"):
        with pytest.raises(UsageError):
            size_in_bytes(text, "-m")
