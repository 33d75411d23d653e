"""Isolation: containers over the same layers do not see each other."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from overlaykit.conformance._coming import new_id
from overlaykit.conformance._describe import DIR, portrait, see
from overlaykit.conformance._processes import in_processes
from overlaykit.conformance._suite import Suite
from overlaykit.driver import Capability

if TYPE_CHECKING:
    from collections.abc import Callable

    from overlaykit.conformance._rig import Rig

_BASE = {"shared": "base", "d/a": "1", "d/b": "2"}


class TestIsolation(Suite):
    """Many containers at once."""

    def test_fifty_containers(self, rig: Rig) -> None:
        """Fifty containers over one parent each see their own changes and none of the others'."""
        base = rig.layer(_BASE)
        boxes = [rig.box(base) for _ in range(50)]
        for number, box in enumerate(boxes):
            box.tree.write_bytes("shared", str(number).encode())
            box.tree.write_bytes(f"own{number}", b"")
            box.tree.unlink(("d/a", "d/b")[number % 2])
        assert [see(box.tree) for box in boxes] == [
            {
                "shared": str(number).encode(),
                f"own{number}": b"",
                "d": DIR,
                **({"d/b": b"2"}, {"d/a": b"1"})[number % 2],
            }
            for number in range(50)
        ]

    def test_siblings(self, rig: Rig) -> None:
        """Two containers over one parent: each sees the parent and its own, at every moment."""
        base = rig.layer(_BASE)
        one, two = rig.box(base), rig.box(base)
        before = portrait(two.tree)
        one.tree.write_bytes("shared", b"one")
        one.tree.rmtree("d")
        one.tree.chmod("", 0o700)
        one.tree.setxattr("shared", "user.x", b"1")
        assert portrait(two.tree) == before
        two.tree.rename("d", "e")
        assert see(one.tree) == {"shared": b"one"}

    def test_open_in_a_sibling(self, rig: Rig) -> None:
        """A file open in one container does not see what another container writes to the same lower file."""
        base = rig.layer(_BASE)
        one, two = rig.box(base), rig.box(base)
        with one.tree.open("shared", "rb") as file:
            two.tree.write_bytes("shared", b"changed by two")
            assert file.read() == b"base"

    def test_sibling_commits(self, rig: Rig) -> None:
        """A container keeps its view when a sibling is committed and built upon."""
        base = rig.layer(_BASE)
        one, two = rig.box(base), rig.box(base)
        one.tree.write_bytes("shared", b"one")
        top = rig.box(one.commit())
        top.tree.write_bytes("more", b"")
        assert see(two.tree) == {"shared": b"base", "d": DIR, "d/a": b"1", "d/b": b"2"}

    def test_nested_chains(self, rig: Rig) -> None:
        """Chains that fork at different layers each show their own path through the tree of layers."""
        base = rig.layer({"f": "base"})
        left = rig.layer({"f": "left", "l": "1"}, base)
        right = rig.layer({"f": "right", "r": "1"}, base)
        ends = [rig.box(rig.layer({f"end{n}": "x"}, parent)) for n, parent in enumerate((left, left, right, base))]
        assert [see(box.tree) for box in ends] == [
            {"f": b"left", "l": b"1", "end0": b"x"},
            {"f": b"left", "l": b"1", "end1": b"x"},
            {"f": b"right", "r": b"1", "end2": b"x"},
            {"f": b"base", "end3": b"x"},
        ]

    def test_thirty_containers_in_threads(self, rig: Rig) -> None:
        """Threads that each make, change, commit and remove containers over one parent do not disturb each other."""
        base = rig.layer(_BASE)
        driver = rig.driver

        def live(number: int) -> dict[str, object]:
            id, done = new_id(), new_id()
            driver.prepare(id, base)
            with driver.tree(id, readonly=False) as tree:
                tree.write_bytes("shared", str(number).encode())
                tree.rmtree("d")
                tree.mkdir("d")
                tree.write_bytes(f"d/{number}", b"x")
                tree.seal()
            driver.commit(id, done)
            with driver.tree(done, readonly=True) as tree:
                seen = see(tree)
            driver.remove(done)
            driver.cleanup()
            return dict(seen)

        with ThreadPoolExecutor(6) as pool:
            results = list(pool.map(live, range(30)))
        assert results == [{"shared": str(n).encode(), "d": DIR, f"d/{n}": b"x"} for n in range(30)]

    def test_first_writers_of_one_file(self, rig: Rig) -> None:
        """Eight threads that write to one lower file for the first time, each at its own place, lose no write."""
        box = rig.over({"f": b"." * 8 * 4096})
        start = threading.Barrier(8)

        def write(number: int) -> None:
            start.wait()
            with box.tree.open("f", "r+b") as file:
                file.seek(number * 4096)
                file.write(str(number).encode() * 4096)

        _in_threads(8, write)
        assert box.tree.read_bytes("f") == b"".join(str(number).encode() * 4096 for number in range(8))

    def test_appends_of_one_file(self, rig: Rig) -> None:
        """Appends of eight threads to one lower file are all there, none torn."""
        box = rig.over({"f": "start\n"})
        start = threading.Barrier(8)

        def write(number: int) -> None:
            start.wait()
            with box.tree.open_raw("f", 0o2001) as file:
                for _ in range(20):
                    file.write(f"line of {number}\n".encode())

        _in_threads(8, write)
        lines = box.tree.read_text("f").splitlines()
        assert sorted(lines) == sorted(["start", *(f"line of {number}" for number in range(8) for _ in range(20))])

    @pytest.mark.parametrize("what", ["create", "mkdir", "unlink", "rename", "rmdir", "link", "symlink"])
    def test_one_winner(self, rig: Rig, what: str) -> None:
        """Of eight threads that create, remove or move one name at once, exactly one succeeds."""
        box = rig.over({"f": "1", "source": "2", "d": DIR})
        tree = box.tree
        operations: dict[str, Callable[[int], object]] = {
            "create": lambda number: tree.open("new", "xb").close(),
            "mkdir": lambda number: tree.mkdir("new"),
            "unlink": lambda number: tree.unlink("f"),
            "rename": lambda number: tree.rename("source", f"target{number}"),
            "rmdir": lambda number: tree.rmdir("d"),
            "link": lambda number: tree.link("source", "new"),
            "symlink": lambda number: tree.symlink("x", "new"),
        }
        errors = _race(8, operations[what])
        assert len(errors) == 7
        assert {type(error) for error in errors} <= {FileExistsError, FileNotFoundError}

    def test_threads_in_one_tree(self, rig: Rig) -> None:
        """Threads that work in one tree, each in a directory of its own, leave what each of them meant."""
        box = rig.over({f"d{number}/old": "x" for number in range(6)})
        tree = box.tree

        def work(number: int) -> None:
            for turn in range(15):
                tree.write_bytes(f"d{number}/f{turn}", str(turn).encode())
                tree.rename(f"d{number}/f{turn}", f"d{number}/g{turn}")
            tree.unlink(f"d{number}/old")
            tree.rename(f"d{number}", f"e{number}")

        _in_threads(6, work)
        box.shows(
            {
                **{f"e{number}": DIR for number in range(6)},
                **{f"e{number}/g{turn}": str(turn) for number in range(6) for turn in range(15)},
            }
        )

    @pytest.mark.capability(Capability.PERSISTENT)
    def test_containers_in_processes(self, rig: Rig) -> None:
        """Processes that each make, change and commit containers over one parent do not disturb each other."""
        base = rig.layer(_BASE)
        results = in_processes(rig.subject, rig.root, str(base), 4)
        for number, (active, committed) in enumerate(results):
            with rig.driver.tree(committed, readonly=True) as tree:
                assert see(tree) == {"shared": str(number).encode(), "d": DIR, f"d/{number}": b"x"}
            with rig.driver.tree(active, readonly=True) as tree:
                assert tree.read_bytes("shared") == f"active {number}".encode()
            rig.driver.remove(committed)
            rig.driver.remove(active)
        assert sorted(rig.driver.ids()) == [base]


def _in_threads(count: int, function: Callable[[int], object]) -> None:
    with ThreadPoolExecutor(count) as pool:
        for result in [pool.submit(function, number) for number in range(count)]:
            result.result()


def _race(count: int, function: Callable[[int], object]) -> list[OSError]:
    """Let threads start at once; return the errors of those that failed."""
    start = threading.Barrier(count)
    errors: list[OSError] = []

    def attempt(number: int) -> None:
        start.wait()
        try:
            function(number)
        except OSError as error:
            errors.append(error)

    _in_threads(count, attempt)
    return errors
