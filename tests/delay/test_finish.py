"""What is cancelled ends in order: each once for each time that it is asked."""

from __future__ import annotations

import asyncio

import pytest

from progrock.delay.finish import end, together


class Slow:
    """Work that takes a moment to end, and counts how often it is asked to."""

    def __init__(self) -> None:
        self.asked = 0
        self.running = asyncio.Event()
        self.may_end = asyncio.Event()

    async def run(self) -> None:
        self.running.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.asked += 1
            while not self.may_end.is_set():
                try:
                    await self.may_end.wait()
                except asyncio.CancelledError:
                    self.asked += 1


async def test_one_that_ends_first_does_not_hurry_the_others() -> None:
    quick, slow = Slow(), Slow()
    quick.may_end.set()
    work = asyncio.create_task(together(quick.run(), slow.run()))
    await slow.running.wait()
    work.cancel()
    asyncio.get_running_loop().call_later(0.05, slow.may_end.set)
    with pytest.raises(asyncio.CancelledError):
        await work
    assert (quick.asked, slow.asked) == (1, 1)


async def test_who_is_asked_twice_knows() -> None:
    slow = Slow()
    work = asyncio.create_task(together(slow.run()))
    await slow.running.wait()
    work.cancel()
    await asyncio.sleep(0)
    work.cancel()
    asyncio.get_running_loop().call_later(0.05, slow.may_end.set)
    with pytest.raises(asyncio.CancelledError):
        await work
    assert slow.asked == 2


async def test_one_that_fails_ends_the_others_in_order() -> None:
    slow, quick = Slow(), Slow()
    quick.may_end.set()

    async def fail() -> None:
        await slow.running.wait()
        raise ValueError("no")

    asyncio.get_running_loop().call_later(0.05, slow.may_end.set)
    with pytest.raises(ValueError, match="no"):
        await together(slow.run(), fail(), quick.run())
    assert (quick.asked, slow.asked) == (1, 1)


async def test_who_takes_no_notice_is_asked_again() -> None:
    slow = Slow()
    work = asyncio.create_task(slow.run())
    await slow.running.wait()
    asyncio.get_running_loop().call_later(0.1, slow.may_end.set)
    await asyncio.wait_for(end([work], every=0.01), 60)
    assert work.done()
    assert slow.asked > 1
