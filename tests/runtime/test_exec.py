"""Programs in a container: what they write to a terminal arrives, and nothing is looser for one more of them."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import pytest
from testkit.boxes import busybox_layout, open_box
from testkit.loops import need_root, need_tool

from overlaykit.runtime import Limits, ProcessSpec, RunOptions, Stdio, open_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from overlaykit.runtime import RunnableContainer, RunningProcess

pytestmark = pytest.mark.native

_ROUNDS = 15
_SCRIPT = "test -t 0 && test -t 1 && test -t 2 && echo yes; stty size; head -c 20000 /dev/zero | tr '\\0' x; echo last"
_SAID = f"yes\r\n30 90\r\n{'x' * 20000}last\r\n"


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return busybox_layout(tmp_path_factory.mktemp("terminals") / "layout")


@pytest.fixture
def box(tmp_path: Path, layout: Path) -> Iterator[RunnableContainer]:
    with open_box(tmp_path, layout) as made:
        yield made


def shown(start: Callable[[Stdio], RunningProcess]) -> str:
    """Return what a process writes to a terminal; nobody reads it before the process has ended, but for its bulk."""
    master, slave = open_terminal((30, 90))
    with os.fdopen(master, "rb", buffering=0) as file:
        os.set_blocking(master, True)
        try:
            process = start(Stdio(slave, slave, slave))
        finally:
            os.close(slave)
        with process:
            data = b""
            while True:
                try:
                    chunk = file.read(65536)
                except OSError:  # EIO: nobody has it open any more
                    break
                data += chunk
            assert process.wait(20) == 0
    return data.decode()


def test_a_container(box: RunnableContainer) -> None:
    options = RunOptions(args=("sh", "-c", _SCRIPT), entrypoint=(), terminal=True)
    for _ in range(_ROUNDS):
        assert shown(lambda stdio: box.start(options, stdio=stdio)) == _SAID


def written(start: Callable[[Stdio], RunningProcess]) -> str:
    """Return the first 64 KiB of what a process writes to a pipe."""
    read, write = os.pipe()
    with os.fdopen(read, "rb") as file:
        try:
            process = start(Stdio(-1, write, 2))
        finally:
            os.close(write)
        with process:
            code = process.wait(20)
        said = file.read().decode()
        assert code == 0, said
        return said


@contextlib.contextmanager
def running(box: RunnableContainer, name: str, **options: Any) -> Iterator[RunningProcess]:
    ready, writes = os.pipe()
    with os.fdopen(ready, "rb") as first:
        try:
            words = RunOptions(args=("sh", "-c", "echo ready; sleep 77777"), entrypoint=(), **options)
            runtime = name if name == "own" else need_tool(name)
            process = box.start(words, stdio=Stdio(-1, writes, 2), runtime=runtime)
        finally:
            os.close(writes)
        with process:
            assert first.readline() == b"ready\n"
            yield process


@pytest.mark.parametrize("name", ["crun", "own"])
def test_one_more_program(box: RunnableContainer, name: str) -> None:
    """It has the privileges and the cgroups that it has without a terminal."""
    with running(box, name) as process:

        def run(script: str, stdio: Stdio, *, terminal: bool = True) -> RunningProcess:
            spec = ProcessSpec(
                ("/bin/sh", "-c", script),
                env={"PATH": "/bin"},
                capabilities=("CAP_KILL",),
                terminal=terminal,
                size=(30, 90) if terminal else None,
            )
            return process.exec(spec, stdio)

        for _ in range(_ROUNDS):
            assert shown(lambda stdio: run(_SCRIPT, stdio)) == _SAID
        asks = (
            "id; grep -E 'Cap|Secc|NoNew' /proc/self/status; cat /proc/self/cgroup; ls -1 /; "
            "for one in /proc/self/ns/*; do readlink $one; done"
        )
        plain = written(lambda stdio: run(asks, stdio, terminal=False))
        assert shown(lambda stdio: run(asks, stdio)).replace("\r", "") == plain


@pytest.mark.parametrize("name", ["crun", "runc", "own"])
def test_one_more_program_is_held_as_the_first_is(box: RunnableContainer, name: str) -> None:
    """By its cgroups, which keep it from the machine's devices, and by limits."""
    need_root()

    def run(process: RunningProcess, script: str, stdio: Stdio) -> RunningProcess:
        words = ("/bin/sh", "-c", script)
        return process.exec(ProcessSpec(words, env={"PATH": "/bin"}, capabilities=("CAP_MKNOD",)), stdio)

    with running(box, name, limits=Limits(pids=50)) as process:
        groups = "cat /proc/1/cgroup; echo; cat /proc/self/cgroup"
        first, more = written(lambda stdio: run(process, groups, stdio)).split("\n\n")
        assert first.splitlines() == more.splitlines()
        assert "overlaykit" in more
        # The kernel's log (mem(4)), as a device that every machine has.
        opens = "mknod /log c 1 11; head -c 1 /log 2>&1 || echo refused"
        said = written(lambda stdio: run(process, opens, stdio))
        assert said.endswith("refused\n")
        assert any(reason in said for reason in ("Operation not permitted", "Permission denied"))
