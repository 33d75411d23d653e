"""Actions in forked children, started at one moment."""

from __future__ import annotations

import os
import pickle
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["at_once", "forked"]


def at_once(actions: Sequence[Callable[[], object]]) -> list[object]:
    """Run each action in a child of its own, all from the same moment on.

    :returns: what each returned; an exception that one raised, as its text of one line.
    :raises ChildProcessError: a child died.
    """
    gate, opener = os.pipe()
    started = []
    for action in actions:
        output, end = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(opener)
            os.read(gate, 1)
            _run(action, end)
        os.close(end)
        started.append((child, output))
    os.close(gate)
    os.close(opener)
    results = []
    for child, output in started:
        with open(output, "rb") as file:
            data = file.read()
        _, status = os.waitpid(child, 0)
        if status or not data:
            raise ChildProcessError(f"a child ended with status {status}")
        results.append(pickle.loads(data))
    return results


def forked(action: Callable[[], object]) -> object:
    """Run one action in a child; see :func:`at_once`."""
    return at_once([action])[0]


def _run(action: Callable[[], object], end: int) -> None:
    try:
        try:
            result = action()
        except BaseException as error:
            traceback.print_exc()
            result = f"{type(error).__name__}: {error}"
        with open(end, "wb") as file:
            file.write(pickle.dumps(result))
    finally:
        # No exit handlers, no flushed copies of the parent's buffers.
        os._exit(0)
