"""Many threads on one tree."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from overlaykit_memory import MemoryTree

    Layered = Callable[[Callable[[MemoryTree], object]], MemoryTree]

THREADS = 8


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def together(action: Callable[[int], object]) -> list[object]:
    """Run an action in many threads, all let go at once; return what each returned or the error it raised."""
    start = threading.Barrier(THREADS)

    def run(number: int) -> object:
        start.wait()
        try:
            return action(number)
        except OSError as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def test_appending_loses_nothing(layered: Layered) -> None:
    tree = layered(lambda tree: tree.write_bytes("log", b"start\n"))

    def append(number: int) -> None:
        with tree.open_raw("log", os.O_WRONLY | os.O_APPEND) as file:
            for line in range(200):
                file.write(f"{number} {line} {'x' * 40}\n".encode())

    assert together(append) == [None] * THREADS
    lines = tree.read_text("log").splitlines()
    assert sorted(lines[1:]) == sorted(
        f"{number} {line} {'x' * 40}" for number in range(THREADS) for line in range(200)
    )


def test_first_writers_copy_up_once(layered: Layered) -> None:
    for _ in range(20):
        tree = layered(lambda tree: (tree.mkdir("d"), tree.write_bytes("d/f", bytes(THREADS * 40_000))))

        def write(number: int, tree: MemoryTree = tree) -> None:
            with tree.open_raw("d/f", os.O_WRONLY) as file:
                file.seek(number * 40_000)
                file.write(bytes([number + 1]) * 40_000)

        assert together(write) == [None] * THREADS
        assert tree.read_bytes("d/f") == b"".join(bytes([number + 1]) * 40_000 for number in range(THREADS))


@pytest.mark.parametrize("how", ["create", "mkdir", "rename", "unlink", "link"])
def test_one_winner(layered: Layered, how: str) -> None:
    for _ in range(30):
        tree = layered(lambda tree: tree.write_bytes("victim", b""))

        def act(number: int, tree: MemoryTree = tree) -> object:
            if how == "create":
                return tree.open_raw("x", os.O_CREAT | os.O_EXCL | os.O_WRONLY).close()
            if how == "mkdir":
                return tree.mkdir("x")
            if how == "rename":
                return tree.rename("victim", f"to{number}")
            if how == "link":
                return tree.link("victim", "x")
            return tree.unlink("victim")

        results = together(act)
        assert results.count(None) == 1
        errors = (FileNotFoundError,) if how in ("rename", "unlink") else (FileExistsError,)
        assert all(result is None or isinstance(result, errors) for result in results)


def test_readers_meet_nothing_half_done(layered: Layered) -> None:
    def fill(tree: MemoryTree) -> None:
        for number in range(50):
            tree.makedirs(f"d{number}/e")
            tree.write_bytes(f"d{number}/e/f", b"a" * 100_000)

    tree = layered(fill)
    done = threading.Event()

    def act(number: int) -> int:
        seen = 0
        if number < 2:
            try:
                for turn in range(300):
                    name = f"d{turn % 50}"
                    tree.write_bytes(f"{name}/e/f", bytes([98 + number]) * 100_000)
                    tree.write_bytes(f"{name}/tmp{number}", b"")
                    tree.rename(f"{name}/tmp{number}", f"{name}/new{number}")
                    tree.unlink(f"{name}/new{number}")
            finally:
                done.set()
            return 1
        while not done.is_set():
            for name in tree.listdir():
                content = tree.read_bytes(f"{name}/e/f")
                assert len(content) == 100_000
                assert len(set(content)) == 1
                assert tree.stat(f"{name}/e").st_nlink == 2
                assert {entry.name for entry in tree.scandir(name)} >= {"e"}
                seen += 1
        return seen

    assert all(isinstance(result, int) and result for result in together(act))
