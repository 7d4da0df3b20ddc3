"""What else can arrive: garbage, and a worker that is Channels' own."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
from channels_redis.core import RedisChannelLayer

from tests.conftest import until
from tests.faults.chains import CHANNEL
from tests.faults.conftest import Open
from tests.redis import RedisServer

HOSTED = ("-m", "tests.faults.project.channels_worker")


@pytest.fixture
async def layer(redis: RedisServer) -> AsyncIterator[RedisChannelLayer]:
    layer = RedisChannelLayer(hosts=[{"address": redis.url, "socket_timeout": None}], prefix="work:")
    yield layer
    await layer.close_pools()


async def test_garbage_is_one_line_in_the_log(open_stage: Open, redis: RedisServer, layer: RedisChannelLayer) -> None:
    stage = open_stage()
    stage.crew.scheduler()
    worker = stage.crew.worker()
    await stage.crew.present()
    (own,) = [each.key for each in stage.events.of("present", pid=worker.pid)]
    rubbish = [{}, {"type": "nonsense"}, {"type": "delay.leases"}, {"type": "delay.leases", "leases": b"\xc1"}]
    for channel in (CHANNEL, own):
        for message in rubbish:
            await layer.send(channel, message)
    await until(lambda: sum("Dropped a message" in line for line in worker.log) == 2 * len(rubbish))
    # Not even a message of the layer.
    for channel in (CHANNEL, own):
        redis.cli("ZADD", f"work:{channel}", 1, "what is this")
    await until(lambda: any("trying again" in line for line in worker.log))
    await stage.seed(10, steps=3, every=50)
    await stage.over()
    await stage.check()
    assert worker.code is None


async def test_channels_own_worker_loses_nothing_for_good(open_stage: Open, layer: RedisChannelLayer) -> None:
    stage = open_stage(RUN_LEASE=1500)
    stage.crew.scheduler("--batch", "5")
    raising = stage.crew.start(*HOSTED, FAULT="raise before renew 4")
    stepping = stage.crew.start(*HOSTED, FAULT="raise in step 10")
    for hand in (raising, stepping):
        while not stage.events.of("present", pid=hand.pid):
            # It makes a consumer for the first message that comes, and whoever is ready takes it.
            await layer.send(CHANNEL, {"type": "wake.up"})
            await asyncio.sleep(0.1)
            assert hand.code is None, "\n".join(hand.log)
    await stage.seed(40, steps=8, every=100)
    await until(lambda: len(stage.events.of("struck")) == 2)
    # It knows no signals: this is a kill.
    assert (await raising.stop())[0] == -signal.SIGTERM
    await stage.over()
    await stage.check(settles_told=False)
    assert stepping.code is None
    assert any("Struck" in line for line in stepping.log)
