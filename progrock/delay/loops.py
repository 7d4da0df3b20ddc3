"""What every event loop has one of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import update_wrapper
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Around a function that makes something: call it for that of the running event loop, made when it has none yet.

    Locks, tasks and connections belong to the loop that they were made in, and a process has several: a server's,
    and one for each `async_to_sync`. What a loop had is gone with it.

    :param make: makes one.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = WeakKeyDictionary()
        update_wrapper(self, make)

    def __call__(self) -> T:
        """Return the running event loop's."""
        loop = asyncio.get_running_loop()
        try:
            return self._made[loop]
        except KeyError:
            made = self._made[loop] = self._make()
            return made

    def __len__(self) -> int:
        """Return how many loops have one."""
        return len(self._made)

    def pop(self) -> T | None:
        """Take the running event loop's away and return it; None if it has none."""
        return self._made.pop(asyncio.get_running_loop(), None)

    def clear(self) -> None:
        """Forget all."""
        self._made.clear()
