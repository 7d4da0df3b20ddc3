"""Many things that go on at the same time as one asynchronous stream, each result when it is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import aclosing
from typing import Any, TypeVar

T = TypeVar("T")


async def merge(streams: Iterable[AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    """Run all streams side by side and yield their items as they come.

    One that raises ends, and the others go on; the first of what was raised comes after their last item. When the
    merged stream is closed, all of them are, and have ended by then.
    """

    async def drain(stream: AsyncGenerator[T, None], put: Callable[[T], None]) -> None:
        async with aclosing(stream):
            async for item in stream:
                put(item)

    def start(put: Callable[[T], None]) -> list[Coroutine[Any, Any, None]]:
        return [drain(stream, put) for stream in streams]

    async with aclosing(_gathered(start)) as items:
        async for item in items:
            yield item


async def as_ready(coroutines: Iterable[Coroutine[Any, Any, T]]) -> AsyncGenerator[T, None]:
    """Run all coroutines side by side and yield what they return, as :func:`merge` does."""

    async def finish(coroutine: Coroutine[Any, Any, T], put: Callable[[T], None]) -> None:
        put(await coroutine)

    def start(put: Callable[[T], None]) -> list[Coroutine[Any, Any, None]]:
        return [finish(coroutine, put) for coroutine in coroutines]

    async with aclosing(_gathered(start)) as items:
        async for item in items:
            yield item


async def _gathered(
    start: Callable[[Callable[[T], None]], list[Coroutine[Any, Any, None]]],
) -> AsyncGenerator[T, None]:
    """Yield what the coroutines put, which `start` makes."""
    ready: list[T] = []
    changed = asyncio.Event()

    def put(item: T) -> None:
        ready.append(item)
        changed.set()

    tasks = [asyncio.create_task(each) for each in start(put)]
    running = len(tasks)

    def ended(task: asyncio.Task[None]) -> None:
        nonlocal running
        running -= 1
        if not running:
            changed.set()

    for task in tasks:
        task.add_done_callback(ended)
    try:
        while running or ready:
            if not ready:
                changed.clear()
                await changed.wait()
            # One turn of the loop brings many: they are taken together.
            taken, ready[:] = ready[:], []
            for item in taken:
                yield item
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
