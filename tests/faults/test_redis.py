"""A Redis that is restarted, emptied, frozen, cut off: the same processes live through all of it, with little noise."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial

import pytest

from progrock.delay import RedisStore
from progrock.reconcile import KEY as RECONCILER
from tests.conftest import until
from tests.faults.conftest import Stage
from tests.faults.crew import Crew
from tests.redis import RedisServer


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    """Two schedulers and two workers, for all tests of this file."""
    with RedisServer(aof=True) as redis:
        crew = Crew(redis, tmp_path_factory.mktemp("crew"), RUN_LEASE=1500)
        for _ in range(2):
            crew.scheduler("--batch", "10")
            crew.worker()
        yield crew
        crew.close()


@pytest.fixture
async def stage(crew: Crew) -> AsyncIterator[Stage]:
    """Them at work; they must be the same processes afterwards, and must not have said more than a line a second."""
    await crew.present()
    stage = Stage(crew, RedisStore.from_url(crew.redis.url))
    heard = [len(hand.log) for hand in crew.hands]
    began = time.monotonic()
    yield stage
    await stage.store.aclose()
    seconds = time.monotonic() - began
    for hand, before in zip(crew.hands, heard, strict=True):
        said = _ours(hand.log[before:])
        assert hand.code is None, "\n".join(said)
        assert not [line for line in said if "Traceback" in line], "\n".join(said)
        assert len(said) <= seconds + 3, "\n".join(said)


def _ours(log: list[str]) -> list[str]:
    """Return a log without what channels_redis says when a call of its own is cut off that it does not wait for."""
    records: list[list[str]] = []
    for line in log:
        if line[:2] == "20" or not records:  # the date
            records.append([])
        records[-1].append(line)
    return [
        line for record in records if not any("_clean_receive_backup" in line for line in record) for line in record
    ]


async def test_restarted_with_what_it_wrote_down_nothing_is_lost(stage: Stage, crew: Crew) -> None:
    await stage.seed(40, steps=25, every=100)
    await until(lambda: len(stage.events.of("settled", of_chains=True)) > 40)
    crew.redis.stop()
    await asyncio.sleep(1)
    crew.redis.start()
    # As hard as it can be: but what it answered is on the disk.
    crew.redis.cli("CONFIG", "SET", "appendfsync", "always")
    await until(lambda: len(stage.events.of("settled", of_chains=True)) > 200)
    crew.redis.kill()
    crew.redis.start()
    await stage.over()
    await stage.check(settles_told=False)


async def test_connections_that_are_cut_and_scripts_that_are_forgotten_cost_nothing(stage: Stage, crew: Crew) -> None:
    await stage.seed(40, steps=20, every=100)
    for cut in (("CLIENT", "KILL", "TYPE", "pubsub"), ("SCRIPT", "FLUSH"), ("CLIENT", "KILL", "TYPE", "normal")):
        crew.redis.cli(*cut)
        await until(partial(_settled_since, stage, time.monotonic_ns(), 40))
    await stage.over()
    await stage.check(settles_told=False)


async def test_frozen_for_ten_seconds_all_is_late_and_nothing_else(stage: Stage, crew: Crew) -> None:
    await stage.seed(40, steps=8, every=100)
    await until(lambda: stage.events.of("settled", key=stage.seeded[0].key))
    crew.redis.pause()
    try:
        await asyncio.sleep(10)
    finally:
        crew.redis.resume()
    await stage.over()
    await stage.check(settles_told=False)


@pytest.mark.parametrize("how", ["flushed", "restarted"])
async def test_emptied_it_works_on_with_what_is_new(stage: Stage, crew: Crew, how: str) -> None:
    lost = await stage.seed(40, steps=1000, every=100)
    await until(lambda: len(stage.events.of("settled", of_chains=True)) > 40)
    if how == "flushed":
        crew.redis.cli("FLUSHALL")
    else:
        crew.redis.stop()
        shutil.rmtree(crew.redis.folder / "appendonlydir")
        crew.redis.start()
    assert not any(await stage.store.peek([entry.key for entry in lost]))
    stage.seeded.clear()
    began = time.monotonic()
    new = await stage.seed(40, steps=5, every=100)
    await until(lambda: stage.events.of("begin", key=new[0].key))
    assert time.monotonic() - began < 15
    await stage.over()
    await stage.check(settles_told=False)
    # What must always be there is there again, and what was lost stays lost: nobody settled it back into being.
    await until(lambda: _peek(stage, RECONCILER))
    assert not any(await stage.store.peek([entry.key for entry in lost]))


def _settled_since(stage: Stage, at: int, count: int) -> bool:
    return len(stage.events.of("settled", since=at, of_chains=True)) >= count


async def _peek(stage: Stage, key: str) -> bool:
    return (await stage.store.peek([key]))[0] is not None
