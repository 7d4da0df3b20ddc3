"""The worker of 2017, as the how-to ports it, on the delay scheduler alone."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from channels.layers import get_channel_layer

from progrock.delay import INTAKE, MemoryStore, Relay, Scheduler, Worker
from tests.documents import code

Run = Callable[[Awaitable[None]], asyncio.Task[None]]


@pytest.mark.parametrize("each", [1, 2])
async def test_the_worker_of_2017_runs_and_its_chain_never_forks(each: int, tasks: Run) -> None:
    scope: dict[str, Any] = {}
    exec(code("howto/delay-a-message.md", "worker-2017"), scope)
    scope["DELAY"] = 20
    store, layer = MemoryStore(), get_channel_layer("work")
    for _ in range(each):
        tasks(Scheduler(store, layer, standing=[INTAKE], gap=1).run())
        tasks(Relay(store, "work").run())
    tasks(Worker(scope["ProgRocker"].as_asgi(), ["prog-rocker"], layer).run())
    await layer.send("prog-rocker", {"type": "rock", "action": "start", "reply_channel": "page"})
    frames: list[dict[str, Any]] = []
    times: list[float] = []
    async with asyncio.timeout(30):
        while not frames or not frames[-1].get("complete"):
            frames.append(json.loads((await layer.receive("page"))["text"]))
            times.append(time.monotonic())
    assert frames == [*({"progress": n} for n in range(0, 100, 3)), {"complete": True, "progress": 100}]
    assert all(after - before >= 0.019 for before, after in pairwise(times))
    # The one after the last would be here by now, if there were two chains.
    await asyncio.sleep(0.06)
    assert "page" not in layer.channels
    assert await store.depth() == 1
