"""Connections to Redis whose other end is gone without a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from channels_redis.core import RedisChannelLayer

from progrock.delay import NewEntry, RedisStore
from progrock.delay.worker import Worker
from tests.conftest import until
from tests.proxy import Proxy
from tests.redis import RedisServer

Run = Callable[[Awaitable[None]], asyncio.Task[None]]


@pytest.fixture
async def proxy(redis: RedisServer) -> AsyncIterator[Proxy]:
    async with Proxy(redis.port) as proxy:
        yield proxy


async def test_a_worker_that_waits_for_messages_finds_out(redis: RedisServer, proxy: Proxy, tasks: Run) -> None:
    got: list[object] = []

    async def consumer(scope: object, receive: Callable[[], Awaitable[dict[str, Any]]], send: object) -> None:
        while True:
            got.append((await receive())["text"])

    layers = [RedisChannelLayer(hosts=[{"address": url, "socket_timeout": 6}]) for url in (proxy.url, redis.url)]
    working = tasks(Worker(consumer, ["c"], layers[0]).run())
    await layers[1].send("c", {"type": "x", "text": "before"})
    await until(lambda: got == ["before"])
    proxy.hush()
    # The first is answered into the void, as by any worker that dies with a message; what comes later is heard.
    for number in range(200):
        await layers[1].send("c", {"type": "x", "text": number})
        await asyncio.sleep(0.1)
        if len(got) > 1:
            break
    assert len(got) > 1
    working.cancel()
    await asyncio.wait([working])
    for layer in layers:
        await layer.close_pools()


async def test_a_store_finds_out(proxy: Proxy) -> None:
    store = RedisStore.from_url(proxy.url)
    await store.schedule([NewEntry("k", "c", b"")])
    proxy.hush()
    assert await asyncio.wait_for(store.depth(), 30) == 1
    await store.aclose()
