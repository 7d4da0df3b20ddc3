"""Many things that go on at the same time as one asynchronous stream, each result when it is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterable
from contextlib import aclosing
from typing import Any, Generic, TypeVar

T = TypeVar("T")


async def merge(streams: Iterable[AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    """Run all streams side by side and yield their items as they come.

    One that raises ends, and the others go on; the first of what was raised comes after their last item. When the
    merged stream is closed, all of them are, and have ended by then.
    """

    async def drain(stream: AsyncGenerator[T, None], ready: _Ready[T]) -> None:
        try:
            async with aclosing(stream):
                async for item in stream:
                    ready.put(item)
        finally:
            ready.end()

    ready: _Ready[T] = _Ready()
    async with aclosing(ready.items([drain(stream, ready) for stream in streams])) as items:
        async for item in items:
            yield item


async def as_ready(coroutines: Iterable[Coroutine[Any, Any, T]]) -> AsyncGenerator[T, None]:
    """Run all coroutines side by side and yield what they return, as :func:`merge` does."""

    async def finish(coroutine: Coroutine[Any, Any, T], ready: _Ready[T]) -> None:
        try:
            ready.put(await coroutine)
        finally:
            ready.end()

    ready: _Ready[T] = _Ready()
    async with aclosing(ready.items([finish(coroutine, ready) for coroutine in coroutines])) as items:
        async for item in items:
            yield item


class _Ready(Generic[T]):
    """What some tasks have put, and how many of them still run."""

    def __init__(self) -> None:
        self._items: list[T] = []
        self._running = 0
        self._changed = asyncio.Event()

    def put(self, item: T) -> None:
        self._items.append(item)
        self._changed.set()

    def end(self) -> None:
        self._running -= 1
        if not self._running:
            self._changed.set()

    async def items(self, work: list[Coroutine[Any, Any, None]]) -> AsyncGenerator[T, None]:
        """Run all of the work, each of which calls `end` in the end, and yield what it puts."""
        self._running = len(work)
        tasks = [asyncio.create_task(each) for each in work]
        try:
            while self._running or self._items:
                if not self._items:
                    self._changed.clear()
                    await self._changed.wait()
                # One turn of the loop brings many: they are taken together.
                taken, self._items = self._items, []
                for item in taken:
                    yield item
            if tasks:
                await asyncio.wait(tasks)
            for task in tasks:
                task.result()
        finally:
            late = [task for task in tasks if not task.done()]
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            for task in tasks:
                if not task.cancelled():
                    task.exception()  # has been raised, or nobody is there any more to hear of it
