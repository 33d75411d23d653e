from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from testkit import unprivileged
from testkit.loops import need_root

REPORT = """
import ctypes, json, os, sys, tempfile
libc = ctypes.CDLL(None)
status = dict(line.rstrip().split(":\\t", 1) for line in open("/proc/self/status") if line.startswith("Cap"))
open(os.path.join(os.environ["HOME"], "written"), "w").close()
print(json.dumps({
    "ids": os.getresuid() + os.getresgid(),
    "groups": os.getgroups(),
    "capabilities": sorted(set(status.values())),
    "no_new_privs": libc.prctl(39, 0, 0, 0, 0),
    "temporary": tempfile.gettempdir(),
    "home": os.environ["HOME"],
    "xdg": [name for name in os.environ if name.startswith("XDG_")],
    "cwd": os.getcwd(),
}))
"""


def report(*need: Path, cwd: Path | None = None, **environment: str) -> dict[str, object]:
    words = unprivileged.command(sys.executable, "-P", "-c", REPORT, need=need)
    done = subprocess.run(words, check=True, capture_output=True, cwd=cwd, env={**os.environ, **environment}, text=True)
    assert done.stderr == ""
    result = json.loads(done.stdout)
    assert isinstance(result, dict)
    return result


def test_no_privilege_is_left() -> None:
    need_root()
    found = report(XDG_RUNTIME_DIR="/run/user/0")
    assert found["ids"] == [65534] * 6
    assert found["groups"] == []
    assert found["capabilities"] == ["0000000000000000"]
    assert found["no_new_privs"] == 1
    assert found["xdg"] == []


def test_home_and_temporary_files_are_its_own_and_go_afterwards() -> None:
    need_root()
    found = report()
    assert found["temporary"] != found["home"]
    assert not Path(str(found["temporary"])).parent.exists()
    assert not Path(str(found["home"])).exists()


def test_the_exit_code_is_the_commands() -> None:
    assert subprocess.run(unprivileged.command("sh", "-c", "exit 7"), check=False).returncode == 7


def test_death_by_a_signal_is_told_as_a_shell_tells_it() -> None:
    need_root()
    words = unprivileged.command("sh", "-c", "kill -TERM $$")
    assert subprocess.run(words, check=False).returncode == 128 + signal.SIGTERM


def test_a_missing_command_is_an_error() -> None:
    need_root()
    done = subprocess.run(unprivileged.command("/no/such/program"), check=False, capture_output=True, text=True)
    assert done.returncode == 126
    assert "/no/such/program" in done.stderr


@pytest.mark.parametrize("mode", [0o700, 0o711])
@pytest.mark.parametrize("closed_itself", [False, True])
def test_what_lies_below_a_closed_directory_is_reached(tmp_path: Path, closed_itself: bool, mode: int) -> None:
    need_root()
    mine = tmp_path / "mine"
    needed = mine / "deep" / "needed"
    needed.mkdir(parents=True)
    (needed / "file").write_text("reached")
    (needed / "link").symlink_to("file")
    (mine / "secret").write_text("closed")
    mine.chmod(mode)
    if closed_itself:
        needed.chmod(0o700)
    words = ["sh", "-c", 'cat "$0/file" "$0/link"; cat "$1" 2>/dev/null || echo " hidden"', needed, mine / "secret"]
    done = subprocess.run(unprivileged.command(*words, need=(needed,)), check=True, capture_output=True, text=True)
    assert done.stdout == "reachedreached hidden\n"
    assert mine.stat().st_mode & 0o777 == mode
    assert sorted(path.name for path in mine.iterdir()) == ["deep", "secret"]


def test_the_working_directory_stays_where_it_can_be_entered(tmp_path: Path) -> None:
    need_root()
    tmp_path.chmod(0o755)
    assert report(tmp_path, cwd=tmp_path)["cwd"] == str(tmp_path)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    found = report(cwd=closed)
    assert found["cwd"] == found["home"]


def test_killing_the_runner_ends_the_command() -> None:
    need_root()
    code = textwrap.dedent("""
        import sys, time
        print("started", flush=True)
        time.sleep(600)
    """)
    with subprocess.Popen(
        unprivileged.command(sys.executable, "-P", "-c", code), stdout=subprocess.PIPE, text=True
    ) as runner:
        assert runner.stdout is not None
        assert runner.stdout.readline() == "started\n"
        runner.terminate()
        # The pipe ends when the last process that holds it has ended: the command has.
        assert runner.stdout.read() == ""
    assert runner.returncode == 128 + signal.SIGTERM
