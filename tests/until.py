"""Waiting for a condition, and not for luck."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

PATIENCE = 50.0
"""Seconds until what should long have come is given up: many, for the machine may do much else, but fewer than those
after which the reconciler looks at everything, and mends what was lost."""


async def until(condition: Callable[[], Awaitable[object] | object], within: float = PATIENCE) -> None:
    """Wait for a condition, which may be async; fail if it does not come true within so many seconds.

    What this process does has its turns meanwhile, however long the machine keeps it waiting.
    """
    loop = asyncio.get_running_loop()
    end, turns = loop.time() + within, within * 20
    while True:
        turns -= 1
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return
        assert loop.time() < end or turns > 0, f"not within {within} s: {condition}"
        await asyncio.sleep(0.005)
