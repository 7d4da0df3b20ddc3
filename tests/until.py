"""Waiting for a condition, and not for luck."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], Awaitable[object] | object], within: float = 10) -> None:
    """Wait for a condition, which may be async; fail if it does not come true within so many seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return
        assert loop.time() < end, f"not within {within} s: {condition}"
        await asyncio.sleep(0.005)
