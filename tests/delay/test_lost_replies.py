"""A network that brings each request to Redis and loses the answer: what was asked has been done, and nobody knows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from progrock import delay
from progrock.delay import Again, Done, Lease, NewEntry, RedisStore, StoreAway
from tests.conftest import until
from tests.redis import RedisServer

RUN = 60_000
SHORT = 1_000


class Lossy:
    """A proxy before a Redis. It cuts a connection instead of passing on the answer, `lose` times."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self.lose = 0

    async def __aenter__(self) -> Lossy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        redis_reader, redis_writer = await asyncio.open_connection("127.0.0.1", self._port)
        there = asyncio.create_task(self._pass(reader, redis_writer))
        try:
            # Cancelled at the end of the test: asyncio would report it.
            with contextlib.suppress(asyncio.CancelledError):
                await self._answer(redis_reader, writer)
        finally:
            there.cancel()
            for each in (writer, redis_writer):
                each.close()
                with contextlib.suppress(ConnectionError):
                    await each.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while answer := await reader.read(65_536):
            if self.lose:
                self.lose -= 1
                return
            writer.write(answer)
            await writer.drain()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.read(65_536):
            writer.write(asked)
            await writer.drain()


@pytest.fixture
async def lossy(redis: RedisServer) -> AsyncIterator[Lossy]:
    async with Lossy(redis.port) as proxy:
        yield proxy


@pytest.fixture
async def store(lossy: Lossy) -> AsyncIterator[RedisStore]:
    store = RedisStore.from_url(lossy.url)
    await store.announce("c", "c.one", 10, 600_000)  # connected, and the scripts that follow are known
    await store.schedule([NewEntry("k", "c", b"m")])
    yield store
    await store.aclose()


async def step(store: RedisStore) -> Lease:
    """Lease and renew the one entry."""
    (lease,) = await store.renew(await store.lease(1, 5_000), RUN, "c.one")
    assert lease
    return lease


async def learn(store: RedisStore) -> None:
    """Have all scripts loaded, so that each is one request."""
    await store.settle([(await step(store), Again(0))])


async def test_a_lease_costs_one_hand_off(lossy: Lossy, store: RedisStore) -> None:
    await learn(store)
    lossy.lose = 1
    assert await store.lease(1, SHORT) == []  # asked again, when it was handed out already
    got: list[Lease] = []

    async def handed() -> bool:
        got.extend(await store.lease(1, RUN))
        return bool(got)

    await until(handed)
    assert [lease.attempt for lease in got] == [1]


async def test_a_renew_is_refused_when_tried_again_and_never_doubled(lossy: Lossy, store: RedisStore) -> None:
    await learn(store)
    handed = await store.lease(1, 300)
    lossy.lose = 1
    assert await store.renew(handed, 600, "c.one") == [None]
    assert await store.renew(handed, RUN, "c.two") == [None]
    assert await store.lease(1, RUN) == []
    got: list[Lease] = []

    async def due() -> bool:
        got.extend(await store.lease(1, RUN))
        return bool(got)

    await until(due)
    assert [lease.attempt for lease in got] == [2]
    assert await store.settle([(handed[0], Done())]) == [False]


@pytest.mark.parametrize("outcome", [Again(50, b"next"), Done()])
async def test_a_settle_is_done_once(lossy: Lossy, store: RedisStore, outcome: Again | Done) -> None:
    await learn(store)
    lease = await step(store)
    lossy.lose = 1
    assert await store.settle([(lease, outcome)]) == [False]  # what the second of the two was told
    (entry,) = await store.peek(["k"])
    if isinstance(outcome, Done):
        assert entry is None
        return
    assert entry is not None
    assert (entry.message, entry.held, entry.attempt) == (b"next", False, 1)
    await until(lambda: store.lease(1, RUN))


async def test_an_insert_is_there_once(lossy: Lossy, store: RedisStore) -> None:
    lossy.lose = 1
    assert await store.schedule([NewEntry("new", "c", b"m")]) == [None]  # its key was there: it was ours
    assert await store.depth() == 2


async def test_lost_again_and_again_the_store_is_away(lossy: Lossy, store: RedisStore) -> None:
    await learn(store)
    lossy.lose = 100
    with pytest.raises(StoreAway):
        await store.lease(1, SHORT)
    lossy.lose = 0
    await until(lambda: store.lease(1, RUN))


async def test_a_message_whose_name_was_made_up_is_never_taken_for_another(
    lossy: Lossy, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("progrock.delay.outbox._store", lambda: store)
    lossy.lose = 1
    key = await delay.send("somewhere", {}, delay=60_000)
    assert key
    assert await delay.remove(key)
