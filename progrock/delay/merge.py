"""Many asynchronous streams as one, each item when it is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")


async def merge(streams: Iterable[AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    """Run all streams side by side and yield their items as they come.

    One that raises ends, and the others go on; the first of what was raised comes after their last item. When the
    merged stream is closed, all of them are, and have ended by then.
    """
    queue: asyncio.Queue[tuple[T] | None] = asyncio.Queue()

    async def drain(stream: AsyncGenerator[T, None]) -> None:
        try:
            async with aclosing(stream):
                async for item in stream:
                    queue.put_nowait((item,))
        finally:
            queue.put_nowait(None)

    tasks = [asyncio.create_task(drain(stream)) for stream in streams]
    try:
        running = len(tasks)
        while running:
            entry = await queue.get()
            if entry is None:
                running -= 1
            else:
                yield entry[0]
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
