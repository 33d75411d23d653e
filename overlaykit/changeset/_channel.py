"""Bounded queues between threads that can be torn down from either end."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final, Generic, TypeVar

__all__ = ["Channel", "Closed"]

Item = TypeVar("Item")


class Closed(Exception):
    """The channel was torn down."""


class Channel(Generic[Item]):
    """A queue of a few items; ``None`` from :meth:`get` is its end.

    :param room: how many items wait at most.
    """

    def __init__(self, room: int) -> None:
        self._room: Final = room
        self._items: deque[Item] = deque()
        self._condition = threading.Condition(threading.Lock())
        self._ended = False
        self._closed = False

    def put(self, item: Item) -> None:
        """Add an item, waiting until there is room.

        :raises Closed: nobody will take it.
        """
        with self._condition:
            while len(self._items) >= self._room and not self._closed:
                self._condition.wait()
            if self._closed:
                raise Closed
            self._items.append(item)
            self._condition.notify_all()

    def get(self) -> Item | None:
        """Take the next item, waiting for it.

        :returns: ``None`` when the end was reached.
        :raises Closed: there will be none.
        """
        with self._condition:
            while not self._items and not self._ended and not self._closed:
                self._condition.wait()
            if self._closed:
                raise Closed
            if not self._items:
                return None
            item = self._items.popleft()
            self._condition.notify_all()
            return item

    def end(self) -> None:
        """Say that no more items come."""
        with self._condition:
            self._ended = True
            self._condition.notify_all()

    def close(self) -> None:
        """Drop what waits, and wake everyone who does."""
        with self._condition:
            self._closed = True
            self._items.clear()
            self._condition.notify_all()
