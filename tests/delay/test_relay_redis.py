"""Relays on Redis and its channel layers, as `rundelay` and `runworker` are set up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from channels.consumer import AsyncConsumer
from channels.layers import channel_layers
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

from progrock import delay, registry
from progrock.delay import INTAKE, RedisStore, Relay, Scheduler, Worker
from progrock.delay.message import CHANNEL
from tests.conftest import until
from tests.redis import RedisServer

Run = Callable[[Awaitable[None]], asyncio.Task[None]]


class Process:
    """What a process of its own has: a connection to the store, and a layer to other processes."""

    def __init__(self, redis: RedisServer) -> None:
        hosts = [{"address": redis.url, "socket_timeout": None}]
        self.store = RedisStore.from_url(redis.url)
        self.work = RedisChannelLayer(hosts=hosts, prefix="work:", capacity=1_000)
        self.clients = RedisPubSubChannelLayer(hosts=hosts, prefix="clients:")

    async def aclose(self) -> None:
        await self.store.aclose()
        await self.work.close_pools()
        await self.clients.flush()


@pytest.fixture
async def processes(redis: RedisServer) -> AsyncIterator[list[Process]]:
    made = [Process(redis) for _ in range(3)]
    delay.setup(lambda: made[0].store)
    channel_layers.backends.update({"default": made[0].clients, "work": made[0].work, "work1": made[1].work})
    yield made
    delay.setup(registry.store)
    for process in made:
        await process.aclose()


async def test_a_message_to_a_workers_channel_arrives_there(processes: list[Process], tasks: Run) -> None:
    told: list[Any] = []

    class Mailer(AsyncConsumer):
        channel_layer_alias = "work"

        async def remind(self, message: dict[str, Any]) -> None:
            told.append(message)

    tasks(Scheduler(processes[0].store, processes[0].work, standing=[INTAKE]).run())
    tasks(Relay(processes[0].store, "work").run())
    tasks(Worker(Mailer.as_asgi(), ["mail"], processes[2].work).run())
    await delay.send("mail", {"type": "remind", "user": "ann"}, delay=20)
    await until(lambda: told)
    assert told == [{"type": "remind", "user": "ann"}]


async def test_two_relays_send_each_message_of_a_backlog_once(processes: list[Process], tasks: Run) -> None:
    outside = processes[2].work
    for n in range(400):
        await outside.send(CHANNEL, {"channel": "c", "content": {"n": n}, "delay": n % 20})
    for process, alias in zip(processes, ("work", "work1"), strict=False):
        tasks(Scheduler(process.store, process.work, standing=[INTAKE]).run())
        tasks(Relay(process.store, alias).run())
    async with asyncio.timeout(60):
        numbers = [(await outside.receive("c"))["n"] for _ in range(400)]
    assert sorted(numbers) == list(range(400))

    async def only_the_intake() -> bool:
        return await outside_store.depth() == 1

    outside_store = processes[2].store
    await until(only_the_intake)
    assert await outside.connection(0).zcard("work:c") == 0


async def test_relays_that_follow_each_other_under_load_lose_and_double_nothing(
    processes: list[Process], tasks: Run
) -> None:
    outside = processes[2].work
    tasks(Scheduler(processes[0].store, processes[0].work, standing=[INTAKE]).run())

    async def produce() -> None:
        for n in range(800):
            await outside.send(CHANNEL, {"channel": "c", "content": {"n": n}, "delay": 0})

    producing = tasks(produce())
    relay = tasks(Relay(processes[0].store, "work").run())
    followed = 0
    numbers: Counter[int] = Counter()
    async with asyncio.timeout(60):
        while len(numbers) < 800:
            numbers[(await outside.receive("c"))["n"]] += 1
            if len(numbers) // 160 > followed:
                followed += 1
                following = tasks(Relay(processes[followed % 2].store, f"work{followed % 2 or ''}").run())
                relay.cancel()
                relay = following
    await producing
    assert numbers == Counter(range(800))
