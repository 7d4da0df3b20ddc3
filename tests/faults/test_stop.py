"""How the processes end when they are asked to, start when Redis is not there, and refuse one that is unfit."""

from __future__ import annotations

import time

from tests.conftest import until
from tests.faults.chains import CHANNEL
from tests.faults.conftest import Open
from tests.redis import RedisServer


async def test_idle_processes_end_at_once_and_sign_off(open_stage: Open) -> None:
    stage = open_stage()
    workers = [stage.crew.worker() for _ in range(2)]
    schedulers = [stage.crew.scheduler() for _ in range(2)]
    await stage.crew.present()
    status = await stage.store.status()
    assert [reader.channel for reader in status.readers].count(CHANNEL) == 2
    assert len(status.schedulers) == 2
    for hands, promised in ((workers, 3), (schedulers, 5)):
        ends = [await hand.stop() for hand in hands]
        assert [code for code, _ in ends] == [0, 0]
        # One of them on a machine that is busy with something else may take longer.
        assert min(seconds for _, seconds in ends) < promised, ends
    status = await stage.store.status()
    assert status.readers == []
    assert status.schedulers == []


async def test_a_busy_worker_finishes_what_is_short_and_gives_back_what_is_long(open_stage: Open) -> None:
    # Nothing comes back by a lease that ends: they are a minute long.
    stage = open_stage(HAND_OFF=60_000, RUN_LEASE=60_000, SLOTS=10)
    short = stage.crew.worker(WORK=300)
    long = stage.crew.worker(WORK=60_000)
    asked_twice = stage.crew.worker(WORK=60_000, DRAIN=60_000)
    scheduler = stage.crew.scheduler("--batch", "5")
    await stage.crew.present()
    await stage.seed(30, steps=3, every=100)
    await until(lambda: all(stage.events.of("begin", pid=hand.pid) for hand in (short, long, asked_twice)))

    asked = time.monotonic_ns()
    for hand in (short, long, asked_twice):
        hand.terminate()
    await until(lambda: stage.events.of("returned", pid=long.pid, of_chains=True))
    assert asked_twice.code is None
    asked_twice.terminate()
    assert [await hand.end(10) for hand in (short, long, asked_twice)] == [0, 0, 0]
    begun, ended = stage.events.of("begin", pid=short.pid), stage.events.of("settled", pid=short.pid, of_chains=True)
    assert {(each.key, each.step) for each in begun} == {(each.key, each.step) for each in ended}
    for hand in (long, asked_twice):
        given = {each.key for each in stage.events.of("returned", pid=hand.pid, of_chains=True)}
        assert given == {each.key for each in stage.events.of("begin", pid=hand.pid)}
        assert stage.events.of("returned", pid=hand.pid, since=asked, of_chains=True)

    stage.crew.worker()
    await stage.over()
    await stage.check()
    assert (await scheduler.stop())[0] == 0


async def test_a_scheduler_that_is_stopped_at_work_leaves_nothing_to_a_lease(open_stage: Open) -> None:
    stage = open_stage(HAND_OFF=60_000, RUN_LEASE=60_000)
    stopped = stage.crew.scheduler("--batch", "3")
    stage.crew.scheduler("--batch", "3")
    stage.crew.worker()
    await stage.crew.present()
    await stage.seed(60, steps=10, every=100)
    await until(lambda: stage.events.of("leased", pid=stopped.pid, of_chains=True))
    code, seconds = await stopped.stop()
    assert code == 0
    assert seconds < 20
    await stage.over()
    await stage.check()


async def test_they_wait_for_redis_refuse_it_if_unfit_and_stop_without_it(open_stage: Open) -> None:
    with RedisServer() as redis:
        redis.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        stage = open_stage(redis)
        refused = [stage.crew.scheduler(), stage.crew.worker()]
        for hand in refused:
            assert await hand.end() == 1
            (line,) = hand.log
            assert "CONFIG SET maxmemory-policy noeviction" in line

        redis.stop()
        early = [stage.crew.scheduler(), stage.crew.worker()]
        for hand in early:
            await hand.says("does not answer, trying again")
        redis.start()
        await stage.crew.present()
        await stage.seed(10, steps=3, every=50)
        await stage.over()
        await stage.check()

        said = [len(hand.log) for hand in early]
        redis.stop()
        for hand, lines in zip(early, said, strict=True):
            await hand.says("WARNING", after=lines)
        for hand in early:
            code, seconds = await hand.stop()
            assert code == 0
            assert seconds < 20


async def test_a_redis_that_is_frozen_keeps_nobody_from_stopping(open_stage: Open) -> None:
    with RedisServer() as redis:
        stage = open_stage(redis)
        hands = [stage.crew.scheduler(), stage.crew.worker()]
        await stage.crew.present()
        await stage.seed(20, steps=50, every=20)
        await until(lambda: stage.crew.events.of("settled"))
        redis.pause()
        began = time.monotonic()
        for hand in hands:
            hand.terminate()
        for hand in hands:
            assert await hand.end() == 0
        assert time.monotonic() - began < 20
        redis.resume()
