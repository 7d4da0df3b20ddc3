"""Work that ends in order when it is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Coroutine, Sequence
from typing import Any, TypeVar

R = TypeVar("R")

_left: set[asyncio.Future[Any]] = set()
"""What nobody waits for any more. An event loop alone does not keep it from being collected before it ends."""


async def finish(work: Awaitable[R], within: float = 1) -> R:
    """Await `work`, and when cancelled meanwhile give it some seconds to end; the cancellation follows.

    What takes longer goes on for as long as the event loop does.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        _left.add(task)
        task.add_done_callback(_left.discard)
        await asyncio.wait([task], timeout=within)
        raise


async def heed(work: Awaitable[R]) -> R:
    """Await `work`, and be cancelled if somebody has asked for it meanwhile.

    redis-py sends with :func:`asyncio.wait_for`, which on Python 3.11 loses a cancellation that comes together with
    the result: who waits for the cancelled would wait for ever.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        return await work
    finally:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError


async def end(work: Collection[asyncio.Future[Any]], every: float = 1) -> None:
    """Cancel all, and again each `every` seconds until they have ended: some take no notice the first time.

    On Python 3.11 redis-py loses a cancellation that comes together with an answer, and goes on to wait for the next.
    """
    while left := [each for each in work if not each.done()]:
        for each in left:
            each.cancel()
        await asyncio.wait(left, timeout=every)


def stopping(error: BaseException) -> bool:
    """Tell whether an error is the cancellation of the running task, and not of something that it waited for."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """Run all side by side until one fails, or this is cancelled; all have ended then.

    Each cancellation reaches all of them, so that one who is asked to stop a second time knows.
    """
    tasks = [asyncio.create_task(each) for each in work]
    stopped = failed = False
    while running := [task for task in tasks if not task.done()]:
        try:
            # Not gather(): it ends with the first that ends, and those that take longer would be asked a second time.
            await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
        except asyncio.CancelledError:
            stopped = True
        else:
            if stopped or failed or not any(map(_has_failed, tasks)):
                continue
            failed = True
        for task in running:
            task.cancel()
    for task in filter(_has_failed, tasks):
        task.result()
    if stopped:
        raise asyncio.CancelledError


def _has_failed(task: asyncio.Task[None]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None


async def side_by_side(work: Sequence[Coroutine[Any, Any, R]]) -> list[R]:
    """Await all and return what they return. One, as it mostly is, needs no task of its own."""
    return [await work[0]] if len(work) == 1 else await asyncio.gather(*work)
