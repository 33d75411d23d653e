"""Work in a few threads."""

from __future__ import annotations

import threading

import pytest

from overlaykit.build._tasks import Tasks


def test_results_and_errors_come_back() -> None:
    with Tasks(2, "test") as tasks:
        made = [tasks.submit(lambda number=number: number * 2) for number in range(20)]  # type: ignore[misc]
        failed = tasks.submit(lambda: 1 // 0)
        assert [task.result() for task in made] == list(range(0, 40, 2))
        with pytest.raises(ZeroDivisionError):
            failed.result()
        failed.wait()


def test_it_begins_in_order_with_no_more_threads_than_wanted() -> None:
    go, begun, lock = threading.Event(), [], threading.Lock()

    def work(number: int) -> None:
        with lock:
            begun.append(number)
        go.wait()

    with Tasks(2, "test") as tasks:
        made = [tasks.submit(lambda number=number: work(number)) for number in range(5)]  # type: ignore[misc]
        assert sum(thread.name.startswith("test_") for thread in threading.enumerate()) == 2
        go.set()
        for task in made:
            task.wait()
    assert sorted(begun[:2]) == [0, 1]
    assert sorted(begun) == list(range(5))


def test_what_comes_late_is_done_too() -> None:
    with Tasks(1, "test") as tasks:
        for number in range(100):
            assert tasks.submit(lambda number=number: number).result() == number  # type: ignore[misc]
