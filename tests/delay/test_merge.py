"""Many streams as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from progrock.delay import merge


async def items(*delays: float, ended: list[str] | None = None) -> AsyncGenerator[float, None]:
    try:
        for delay in delays:
            await asyncio.sleep(delay)
            yield delay
    finally:
        if ended is not None:
            await asyncio.sleep(0)
            ended.append("ended")


async def broken() -> AsyncGenerator[float, None]:
    yield 0.0
    raise ValueError("broken")


async def test_each_item_comes_when_it_is_there() -> None:
    rest = asyncio.Event()

    async def late() -> AsyncGenerator[float, None]:
        await rest.wait()
        yield 0.05

    seen: list[float] = []
    async with asyncio.timeout(60):
        async for item in merge([late(), items(0.01, 0.02), items()]):
            seen.append(item)
            if item == 0.02:
                rest.set()
    assert seen == [0.01, 0.02, 0.05]


async def test_nothing_is_nothing() -> None:
    nothing: list[AsyncGenerator[float, None]] = []
    assert [item async for item in merge(nothing)] == []


async def test_one_that_raises_does_not_stop_the_others() -> None:
    seen: list[float] = []

    async def read() -> None:
        async for item in merge([broken(), items(0.01, 0.01)]):
            seen.append(item)  # noqa: PERF401 (what came before the error counts)

    with pytest.raises(ValueError, match="broken"):
        await read()
    assert seen == [0.0, 0.01, 0.01]


async def test_when_it_is_closed_all_have_ended() -> None:
    ended: list[str] = []
    async with aclosing(merge([items(0, 60, ended=ended), items(60, ended=ended)])) as merged:
        async for _ in merged:
            break
    assert ended == ["ended", "ended"]
