"""Ten thousand entries that are due at the same moment: handed out in bounded batches, each once."""

from __future__ import annotations

import statistics
import time

from progrock.delay import Done, NewEntry, RedisStore
from tests.redis import RedisServer

CROWD, BATCH, SLOTS = 10_000, 250, 400


async def test_a_crowd_that_is_due_at_once_comes_in_bounded_batches_each_once(redis: RedisServer) -> None:
    store = RedisStore.from_url(redis.url)
    began = time.monotonic()
    for first in range(0, CROWD, 1_000):
        await store.schedule([NewEntry(f"k{n}", "c", b"m") for n in range(first, first + 1_000)])
    for reader in ("c.one", "c.two"):
        await store.announce("c", reader, SLOTS, 200_000)
    taken: list[str] = []
    waits: list[float] = []
    while len(taken) < CROWD:
        asked = time.monotonic()
        leases = await store.lease(BATCH, 200_000)
        waits.append(time.monotonic() - asked)
        assert 0 < len(leases) <= BATCH
        # No more than there are slots, however many are due.
        assert (await store.status()).held <= 2 * SLOTS
        for reader in ("c.one", "c.two"):
            held = await store.renew([each for each in leases if each.reader == reader], 200_000, reader)
            taken += [each.key for each in held if each]
            assert all(await store.settle([(each, Done()) for each in held if each]))
    assert sorted(taken) == sorted(f"k{n}" for n in range(CROWD))
    assert await store.depth() == 0
    # A script holds up everybody: they do not take long.
    assert statistics.median(waits) < 1, waits
    assert time.monotonic() - began < 90
    await store.aclose()
