"""Any process killed at any time, again and again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from tests.faults.conftest import Open
from tests.faults.crew import Hand

LASTS = 10.0


async def test_random_kills_lose_and_double_nothing(open_stage: Open) -> None:
    stage = open_stage(RUN_LEASE=1500)
    crew = stage.crew
    makers: list[Callable[..., Hand]] = [crew.scheduler, crew.scheduler, crew.worker, crew.worker, crew.worker]
    running = [make() for make in makers]
    await crew.present()
    end = time.monotonic() + LASTS
    while time.monotonic() < end:
        await stage.seed(12, steps=8, every=200)
        await asyncio.sleep(random.uniform(0.2, 0.8))
        at = random.randrange(len(running))
        running[at].kill()
        running[at] = makers[at]()
    await stage.over()
    await stage.check(settles_told=False)
    assert all(hand.code is None for hand in running)
