"""Relays that are killed and frozen: they are inside `rundelay`, and of all of them one reads `asgi.delay`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels_redis.core import RedisChannelLayer

from progrock.delay import INTAKE
from progrock.delay.message import CHANNEL
from tests.conftest import until
from tests.faults.conftest import Open, Stage
from tests.faults.crew import Hand
from tests.redis import RedisServer


class Mail:
    """What is sent to a channel by way of `asgi.delay`, and what arrives there."""

    def __init__(self, layer: RedisChannelLayer) -> None:
        self._layer = layer
        self.arrived: Counter[int] = Counter()

    async def send(self, numbers: range, delay: int) -> None:
        for number in numbers:
            await self._layer.send(CHANNEL, {"channel": "mail", "content": {"n": number}, "delay": delay})

    async def wait(self, count: int, within: float = 60) -> None:
        async with asyncio.timeout(within):
            while len(self.arrived) < count:
                message: dict[str, Any] = await self._layer.receive("mail")
                self.arrived[message["n"]] += 1


@pytest.fixture
async def mail(redis: RedisServer) -> AsyncIterator[Mail]:
    layer = RedisChannelLayer(hosts=[{"address": redis.url, "socket_timeout": None}], prefix="work:", expiry=60)
    yield Mail(layer)
    await layer.close_pools()


async def _reading_and_another(stage: Stage, mail: Mail) -> tuple[Hand, Hand]:
    """Return two processes, the first of which reads `asgi.delay`."""
    first = stage.crew.scheduler()
    await mail.send(range(1), 0)
    await mail.wait(1)
    second = stage.crew.scheduler()
    await stage.crew.present()
    return first, second


async def test_a_relay_that_is_killed_is_replaced_and_what_waits_is_sent(open_stage: Open, mail: Mail) -> None:
    stage = open_stage()
    first, _ = await _reading_and_another(stage, mail)
    await mail.send(range(1, 21), 8_000)

    async def stored() -> bool:
        return await stage.store.depth() == 20 + 2  # the standing ones

    await until(stored)
    first.kill()
    await mail.send(range(21, 41), 0)
    await mail.wait(41)
    assert mail.arrived == Counter(range(41))


async def test_what_a_frozen_relay_took_with_it_is_late_and_the_rest_is_not(open_stage: Open, mail: Mail) -> None:
    stage = open_stage()
    first, second = await _reading_and_another(stage, mail)
    first.freeze()
    await mail.send(range(1, 2), 0)  # into its socket
    await until(lambda: stage.events.of("renewed", key=INTAKE.key, pid=second.pid))
    await mail.send(range(2, 41), 0)
    await mail.wait(40)
    assert 1 not in mail.arrived
    first.thaw()
    await mail.wait(41)
    assert mail.arrived == Counter(range(41))
