"""A network that brings each request to Redis and loses the answer: what was asked has been done, and nobody knows."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from progrock import delay
from progrock.delay import Again, Done, Lease, NewEntry, RedisStore, StoreAway
from tests.conftest import until
from tests.proxy import Proxy
from tests.redis import RedisServer

RUN = 60_000
SHORT = 3_000


@pytest.fixture
async def lossy(redis: RedisServer) -> AsyncIterator[Proxy]:
    async with Proxy(redis.port) as proxy:
        yield proxy


@pytest.fixture
async def store(lossy: Proxy) -> AsyncIterator[RedisStore]:
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


async def test_a_lease_costs_one_hand_off(lossy: Proxy, store: RedisStore) -> None:
    await learn(store)
    lossy.lose = 1
    assert await store.lease(1, SHORT) == []  # asked again, when it was handed out already
    got: list[Lease] = []

    async def handed() -> bool:
        got.extend(await store.lease(1, RUN))
        return bool(got)

    await until(handed)
    assert [lease.attempt for lease in got] == [1]


async def test_a_renew_is_refused_when_tried_again_and_never_doubled(lossy: Proxy, store: RedisStore) -> None:
    await learn(store)
    handed = await store.lease(1, 300)
    lossy.lose = 1
    assert await store.renew(handed, 3_000, "c.one") == [None]
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
async def test_a_settle_is_done_once(lossy: Proxy, store: RedisStore, outcome: Again | Done) -> None:
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


async def test_an_insert_is_there_once(lossy: Proxy, store: RedisStore) -> None:
    lossy.lose = 1
    assert await store.schedule([NewEntry("new", "c", b"m")]) == [None]  # its key was there: it was ours
    assert await store.depth() == 2


async def test_lost_again_and_again_the_store_is_away(lossy: Proxy, store: RedisStore) -> None:
    await learn(store)
    lossy.lose = 100
    with pytest.raises(StoreAway):
        await store.lease(1, SHORT)
    lossy.lose = 0
    await until(lambda: store.lease(1, RUN))


async def test_a_message_whose_name_was_made_up_is_never_taken_for_another(
    lossy: Proxy, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("progrock.delay.outbox._store", lambda: store)
    lossy.lose = 1
    key = await delay.send("somewhere", {}, delay=60_000)
    assert key
    assert await delay.remove(key)
