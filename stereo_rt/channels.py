"""How frames pass between threads: Latest keeps the newest and counts drops, Lossless holds the producer back."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """The channel was closed and, on the reading side, is empty."""


class Channel(Protocol[T]):
    """Many producers may put, one consumer gets. Both raise Closed after close()."""

    drops: int

    def put(self, item: T) -> None: ...

    def get(self, timeout_s: float | None = None) -> T: ...

    def close(self, *, discard: bool = False) -> None: ...


class _Queue(Generic[T]):
    """Shared mechanics: a bounded deque under one condition."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError("a channel holds at least one item")
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._closed = False
        self._changed = threading.Condition()
        self.drops = 0

    def __len__(self) -> int:
        return len(self._items)

    def get(self, timeout_s: float | None = None) -> T:
        """The next item. Raises TimeoutError after timeout_s, Closed once closed and drained."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while not self._items:
                if self._closed:
                    raise Closed
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError
                self._changed.wait(left)
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self, *, discard: bool = False) -> None:
        """No more puts. What is queued can still be read, unless discarded."""
        with self._changed:
            self._closed = True
            if discard:
                self._items.clear()
            self._changed.notify_all()


class Latest(_Queue[T]):
    """A mailbox of one: a new item replaces an unread one, which counts as a drop. put never blocks."""

    def __init__(self) -> None:
        super().__init__(1)

    def put(self, item: T) -> None:
        with self._changed:
            if self._closed:
                raise Closed
            if self._items:
                self._items.clear()
                self.drops += 1
            self._items.append(item)
            self._changed.notify_all()


class Lossless(_Queue[T]):
    """A bounded queue: put waits for room, nothing is ever dropped."""

    def put(self, item: T) -> None:
        with self._changed:
            while len(self._items) >= self._capacity and not self._closed:
                self._changed.wait()
            if self._closed:
                raise Closed
            self._items.append(item)
            self._changed.notify_all()
