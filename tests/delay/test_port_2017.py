"""The page and the worker of 2017, as the how-to ports them, on the delay scheduler alone."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator

from progrock.delay import INTAKE, MemoryStore, Relay, Scheduler, Worker
from tests.conftest import until
from tests.documents import code

Run = Callable[[Awaitable[None]], asyncio.Task[None]]

DELAY = 20


async def _only_the_intake(store: MemoryStore) -> bool:
    return await store.depth() == 1


@pytest.mark.parametrize("each", [1, 2])
async def test_the_worker_of_2017_runs_and_its_chain_never_forks(each: int, tasks: Run) -> None:
    scope: dict[str, Any] = {}
    for label in ("worker-2017", "routing-2017"):
        exec(code("howto/port-from-channels-1.md", label), scope)
    scope["DELAY"] = DELAY
    tell = scope["ProgRocker"].tell
    times: list[float] = []

    async def timed(*words: Any, **content: Any) -> None:
        times.append(time.monotonic())
        await tell(*words, **content)

    scope["ProgRocker"].tell = timed
    store, layer = MemoryStore(), get_channel_layer("work")
    for _ in range(each):
        tasks(Scheduler(store, layer, standing=[INTAKE], gap=1).run())
        tasks(Relay(store, "work").run())
    tasks(Worker(scope["application"], ["prog-rocker"], layer).run())

    page = WebsocketCommunicator(scope["application"], "/prog/")
    assert await page.connect() == (True, None)
    await page.send_to(json.dumps({"action": "start"}))
    frames: list[dict[str, Any]] = []
    async with asyncio.timeout(30):  # 34 delays: at one tick a second, it would take longer
        while not frames or not frames[-1].get("complete"):
            frames.append(json.loads(await page.receive_from(timeout=10)))
    assert frames == [
        {"accept": True},
        *({"progress": n} for n in range(0, 100, 3)),
        {"complete": True, "progress": 100},
    ]
    assert min(after - before for before, after in pairwise(times)) >= DELAY / 1000
    # Nothing is on its way to a second chain, neither in the schedule nor to the page.
    await until(lambda: _only_the_intake(store))
    assert await page.receive_nothing(timeout=DELAY * 3 / 1000)
    await page.disconnect()
