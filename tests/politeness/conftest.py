"""Limits and marks in memory and in Redis, each with a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from progrock.politeness import (
    Audience,
    Limits,
    MemoryAudience,
    MemoryLimits,
    RedisAudience,
    RedisLimits,
    scripts,
)
from tests.redis import RedisServer

EPOCH = 1_000_000_000_000_000


@dataclass
class Bench:
    """What is to be tested, and the means to let its time pass, in milliseconds."""

    limits: Limits
    audience: Audience
    advance: Callable[[float], Awaitable[None]]


@pytest.fixture(params=["memory", "redis"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    now = EPOCH
    if request.param == "memory":

        async def pass_by(milliseconds: float) -> None:
            nonlocal now
            now += round(milliseconds * 1000)

        yield Bench(MemoryLimits(lambda: now), MemoryAudience(lambda: now), pass_by)
        return
    server: RedisServer = request.getfixturevalue("redis")
    shared = scripts(server.url, ["s", "other"])
    for script in shared._scripts.values():
        assert "call('TIME')" in script.text
        script.load(script.text.replace("call('TIME')", "call('HMGET', 'host:clock', 'seconds', 'microseconds')"))
    await shared.command("HSET", "host:clock", "seconds", EPOCH // 1_000_000, "microseconds", 0)

    async def advance(milliseconds: float) -> None:
        await shared.command("HINCRBY", "host:clock", "microseconds", round(milliseconds * 1000))

    yield Bench(RedisLimits(shared), RedisAudience(shared), advance)
    await shared.aclose()
