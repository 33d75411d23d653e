"""A signal that would end a program ends it though it is the first of its namespace, whatever it is doing."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from testkit.boxes import busybox_layout, open_box
from testkit.loops import need_tool

from overlaykit.runtime import BindMount, RunOptions, Stdio

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from overlaykit.runtime import RunnableContainer

pytestmark = pytest.mark.native

_BECOMES_ITSELF = r"""
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static void end(int number)
{
    _exit(number == SIGINT ? 3 : 4);
}

int main(int count, char **words)
{
    char *again[] = {words[0], "again", NULL};

    signal(SIGINT, end);
    if (count < 2)
        write(1, "ready\n", 6);
    execv(words[0], again);
    return 5;
}
"""
"""A program that hears of SIGINT, but for the moments in which it becomes another."""


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return busybox_layout(tmp_path_factory.mktemp("signals") / "layout")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "becomes"
    subprocess.run(
        [need_tool("gcc"), "-static", "-O1", "-x", "c", "-o", path, "-"], check=True, input=_BECOMES_ITSELF, text=True
    )
    return path


@pytest.fixture
def box(tmp_path: Path, layout: Path) -> Iterator[RunnableContainer]:
    with open_box(tmp_path, layout) as made:
        yield made


def interrupted(box: RunnableContainer, runtime: str, options: RunOptions) -> int:
    """Run what says that it is ready, and send it SIGINT; return its exit code."""
    read, write = os.pipe()
    with os.fdopen(read, "rb") as said:
        try:
            process = box.start(options, stdio=Stdio(-1, write, 2), runtime=runtime)
        finally:
            os.close(write)
        with process:
            assert said.readline() == b"ready\n"
            process.signal(signal.SIGINT)
            return process.wait(20)


def test_in_the_middle_of_a_fork(box: RunnableContainer, runtime: str) -> None:
    """The C library blocks all signals there, which is no wish to wait for one."""
    options = RunOptions(args=("sh", "-c", "echo ready; while :; do /bin/true; done"), entrypoint=())
    for _ in range(10):
        assert interrupted(box, runtime, options) == 130


def test_while_it_becomes_another_program(box: RunnableContainer, runtime: str, program: Path) -> None:
    options = RunOptions(args=("/program",), entrypoint=(), mounts=(BindMount(str(program), "/program"),))
    codes = {interrupted(box, runtime, options) for _ in range(30)}
    assert codes <= {3, 130}
