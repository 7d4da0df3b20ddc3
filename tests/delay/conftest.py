"""The stores that must keep the contract, each with a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from progrock.delay import DelayStore, MemoryStore, RedisStore
from tests.redis import RedisServer

EPOCH = 1_000_000_000_000_000


@dataclass
class Bench:
    """A store to be tested, and the means to let its time pass, in milliseconds."""

    store: DelayStore
    advance: Callable[[float], Awaitable[None]]


def memory_bench() -> Bench:
    now = EPOCH

    async def advance(milliseconds: float) -> None:
        nonlocal now
        now += round(milliseconds * 1000)

    return Bench(MemoryStore(clock=lambda: now), advance)


async def redis_bench(server: RedisServer, *, prefix: str = "delay", shards: int = 1, listening: bool = True) -> Bench:
    """Return a Redis store, empty, whose scripts ask a key for the time instead of the host's clock.

    :param listening: whether it hears wake-up calls from the beginning.
    """
    store = RedisStore.from_url(server.url, prefix=prefix, shards=shards)
    scripts = store._scripts
    for script in scripts._scripts.values():
        assert "call('TIME')" in script.text
        script.load(script.text.replace("call('TIME')", "call('HMGET', 'host:clock', 'seconds', 'microseconds')"))
    await scripts.command("FLUSHALL")
    await scripts.command("HSET", "host:clock", "seconds", EPOCH // 1_000_000, "microseconds", 0)

    if listening:
        await store.sleep(5_000)  # the first one ends as soon as it can hear,
        await store.lease(1, 1)  # and then it is for the store to be asked

    async def advance(milliseconds: float) -> None:
        await scripts.command("HINCRBY", "host:clock", "microseconds", round(milliseconds * 1000))

    return Bench(store, advance)


@pytest.fixture(params=["memory", "redis"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if request.param == "memory":
        yield memory_bench()
        return
    bench = await redis_bench(request.getfixturevalue("redis"))
    yield bench
    await bench.store.aclose()


@pytest.fixture
async def redis_store(redis: RedisServer) -> AsyncIterator[RedisStore]:
    """A store on an empty Redis, with the real time."""
    store = RedisStore.from_url(redis.url)
    yield store
    await store.aclose()


@pytest.fixture(autouse=True)
def no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels looks for old database connections before each message; here there is no database to look at."""

    async def nothing() -> None: ...

    for module in ("channels.consumer", "channels.generic.websocket", "progrock.delay.consumer"):
        monkeypatch.setattr(f"{module}.aclose_old_connections", nothing)
