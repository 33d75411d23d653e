"""Which control groups a container of the own runner, and what joins it, is in, and how it gets there."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from testkit.busybox import Box, make_root
from testkit.loops import need_root

from overlaykit.runtime import ProcessSpec, Stdio, compile_seccomp
from overlaykit.runtime._own import OwnProcess, OwnRunner

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.native

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER, _ENOSYS = 38, 22, 2, 38


_NONE = Stdio(-1, -1, -1)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


@pytest.fixture
def box(tmp_path: Path) -> Box:
    need_root()
    if not any(Path("/sys/fs/cgroup", name, "cgroup.controllers").exists() for name in ("", "unified")):
        pytest.skip("no control groups of the second version here")
    return Box(OwnRunner(), make_root(tmp_path / "root"))


def _without(call: str, work: Callable[[], None]) -> None:
    """Do something in a thread, for which, and for what it starts, there is no such system call."""
    profile: dict[str, Any] = {"defaultAction": "SCMP_ACT_ALLOW"}
    profile["syscalls"] = [{"names": [call], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS}]
    machine = os.uname().machine
    code = compile_seccomp(profile, machine)
    assert code is not None
    failures: list[BaseException] = []

    def run() -> None:
        program = _Program(len(code) // 8, code)
        try:
            prctl = ctypes.CDLL(None, use_errno=True).prctl
            assert prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            assert prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) == 0
            work()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def _group(process: Any) -> str:
    assert isinstance(process, OwnProcess)
    lines = Path(f"/proc/{process.first_pid}/cgroup").read_text().splitlines()
    return next(line for line in lines if line.startswith("0::"))


@pytest.mark.parametrize("missing", ["clone", "clone3"])
def test_it_is_born_in_its_group_where_it_can_be_and_moved_where_not(box: Box, missing: str) -> None:
    """clone(2) is all that there is for a process that is not born in a group; clone3(2) is for one that is."""

    def start() -> None:
        with box.start("sleep", "100") as process, process.exec(ProcessSpec(("sleep", "100")), _NONE) as further:
            assert _group(process).startswith("0::/overlaykit/test-")
            assert _group(further) == _group(process)

    _without(missing, start)


def test_a_group_goes_with_its_container(box: Box) -> None:
    with box.start("sleep", "100") as process:
        name = _group(process).rpartition("/")[2]
        made = [path for path in Path("/sys/fs/cgroup").glob(f"**/{name}") if path.is_dir()]
        assert made
    assert not any(path.exists() for path in made)
