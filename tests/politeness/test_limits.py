"""What a service's limits grant, and whose turn is when: the same in memory and in Redis."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from progrock.conf import Limit
from progrock.politeness import Answer, Ask, MemoryLimits, RedisAudience, RedisLimits, scripts
from tests.politeness.conftest import EPOCH, Bench
from tests.redis import RedisCluster, RedisServer

MS = 1_000


async def take(bench: Bench, limit: Limit, **ask: object) -> Answer:
    return await bench.limits.take("s", limit, Ask(**{"permit": "p", **ask}))  # type: ignore[arg-type]


async def test_a_burst_may_be_made_at_once_and_then_as_many_as_the_rate_has(bench: Bench) -> None:
    limit = Limit(rate=10, burst=3)
    assert await take(bench, limit, fresh=5) == Answer(0, 0, 3, 100 * MS, 100 * MS, 100 * MS)
    await bench.advance(99)
    assert (await take(bench, limit, due=2)).due == 0
    await bench.advance(1)
    assert (await take(bench, limit, due=2)).due == 1
    await bench.advance(3_600_000)
    assert (await take(bench, limit, fresh=9)).fresh == 3


async def test_the_rate_holds_whoever_asks_however(bench: Bench) -> None:
    limit, chance = Limit(rate=50, burst=5), random.Random(5)
    granted = passed = 0.0
    for _ in range(200):
        step = chance.choice([0, 1, 7, 40])
        await bench.advance(step)
        passed += step
        asked = {kind: chance.randrange(4) for kind in ("first", "due", "fresh")}
        answer = await take(bench, limit, **asked)
        assert all(getattr(answer, kind) <= count for kind, count in asked.items())
        granted += answer.first + answer.due + answer.fresh
        assert granted <= 5 + passed * 50 / 1000 + 0.001
    assert granted >= passed * 50 / 1000 * 0.9


async def test_without_a_burst_a_second_of_the_rate_may_come_at_once(bench: Bench) -> None:
    assert (await take(bench, Limit(rate=20), fresh=99)).fresh == 20
    assert (await bench.limits.take("other", Limit(rate=0.01), Ask(fresh=99))).fresh == 1


async def test_everybody_gets_a_turn_and_keeps_it_whoever_comes_new(bench: Bench) -> None:
    limit = Limit(rate=10, burst=1)
    first = await take(bench, limit, fresh=4)
    assert [first.fresh, first.end, first.gap] == [1, 100 * MS, 100 * MS]  # turns at 100, 200, 300
    second = await take(bench, limit, fresh=2)
    assert [second.fresh, second.end] == [0, 400 * MS]  # at 400, 500
    await bench.advance(100)
    assert (await take(bench, limit, fresh=1)).fresh == 0
    assert (await take(bench, limit, due=1)).due == 1
    for _ in range(4):
        await bench.advance(100)
        assert (await take(bench, limit, due=1)).due == 1


async def test_a_promise_that_comes_late_costs_only_the_wait_for_the_next_call(bench: Bench) -> None:
    limit = Limit(rate=10, burst=1)
    await take(bench, limit, fresh=10)
    await bench.advance(140)
    assert (await take(bench, limit, due=1)).due == 1
    await bench.advance(60)
    late = await take(bench, limit, due=1)
    assert (late.due, late.front) == (0, 40 * MS)


async def test_a_crowd_whose_promises_came_late_joins_the_end(bench: Bench) -> None:
    limit = Limit(rate=10, burst=1)
    await take(bench, limit, fresh=100)
    await bench.advance(5_000)
    crowd = await take(bench, limit, due=50)
    assert (crowd.due, crowd.front) == (1, 100 * MS)
    assert crowd.end == 5_000 * MS
    assert (await take(bench, limit, fresh=1)).end == (5_000 + 48 * 100) * MS


async def test_a_cancel_goes_first(bench: Bench) -> None:
    limit = Limit(rate=10, burst=1)
    await take(bench, limit, fresh=100)
    assert (await take(bench, limit, first=3)).front == 100 * MS
    await bench.advance(100)
    answer = await take(bench, limit, first=1, due=1, fresh=1)
    assert (answer.first, answer.due, answer.fresh) == (1, 0, 0)


async def test_a_call_that_could_not_wait_is_waited_for_by_others(bench: Bench) -> None:
    limit = Limit(rate=10, burst=2)
    answer = await take(bench, limit, fresh=1, owed=4)
    assert (answer.fresh, answer.front) == (0, 300 * MS)
    await bench.advance(300)
    assert (await take(bench, limit, due=1)).due == 1


async def test_so_many_calls_are_under_way_and_no_more(bench: Bench) -> None:
    limit = Limit(concurrency=3)
    assert (await take(bench, limit, permit="a", fresh=2)).fresh == 2
    answer = await take(bench, limit, permit="b", fresh=2)
    assert (answer.fresh, answer.end) == (1, answer.gap)
    assert (await take(bench, limit, permit="c", first=1)).first == 0
    assert (await take(bench, limit, permit="c", first=2, finished=[("a", 1)])).first == 1
    assert (await take(bench, limit, permit="d", first=5, finished=[("a", 1), ("b", 1)])).first == 2


async def test_turns_of_a_limit_on_calls_at_a_time_are_as_far_apart_as_calls_take(bench: Bench) -> None:
    limit = Limit(concurrency=4)
    await take(bench, limit, permit="a", fresh=4)
    answer = await take(bench, limit, permit="b", fresh=9, finished=[("a", 2)], took=800 * MS)
    assert (answer.fresh, answer.gap, answer.end) == (2, 200 * MS, 200 * MS)
    assert (await take(bench, limit, fresh=1)).end == (200 + 7 * 200) * MS


async def test_a_permit_of_a_worker_that_died_ends_by_itself(bench: Bench) -> None:
    limit = Limit(concurrency=1)
    assert (await take(bench, limit, permit="dead", fresh=1)).fresh == 1
    await bench.advance(14_999)
    assert (await take(bench, limit, permit="b", first=1)).first == 0
    await bench.advance(1)
    assert (await take(bench, limit, permit="b", first=1)).first == 1
    assert (await take(bench, limit, permit="c", first=1, finished=[("dead", 1)])).first == 0


async def test_both_limits_hold_at_once(bench: Bench) -> None:
    limit = Limit(rate=10, burst=5, concurrency=2)
    assert (await take(bench, limit, permit="a", fresh=9)).fresh == 2
    assert (await take(bench, limit, permit="b", first=9, finished=[("a", 2)])).first == 2
    assert (await take(bench, limit, permit="c", first=9, finished=[("b", 2)])).first == 1


async def test_a_clock_that_steps_back_keeps_nobody_waiting_for_ever(bench: Bench) -> None:
    limit = Limit(rate=10, burst=1, concurrency=1)
    await take(bench, limit, permit="a", fresh=11)
    await bench.advance(-3_600_000)
    answer = await take(bench, limit, permit="b", fresh=1)
    assert (answer.fresh, answer.end) == (0, 1_100 * MS)
    await bench.advance(100)
    assert (await take(bench, limit, permit="b", first=1)).first == 1


async def test_nobody_waits_for_long_for_what_was_promised_when_the_service_was_slow(bench: Bench) -> None:
    limit = Limit(concurrency=1)
    await take(bench, limit, permit="a", fresh=1)
    slow = await take(bench, limit, permit="b", fresh=1_000, finished=[("a", 1)], took=12_000 * MS)
    assert (slow.fresh, slow.gap) == (1, 12_000 * MS)  # its last turn is in three hours
    await bench.advance(300_000)
    # Also where it was declared that it takes more calls.
    assert (await take(bench, replace(limit, concurrency=50), permit="c", fresh=9)).fresh == 9


async def test_services_do_not_stand_in_each_others_way(bench: Bench) -> None:
    limit = Limit(rate=1, burst=1)
    assert (await take(bench, limit, fresh=1)).fresh == 1
    assert (await bench.limits.take("other", limit, Ask(fresh=1))).fresh == 1


@pytest.mark.parametrize("bench", ["redis"], indirect=True)
async def test_keys_go_when_nobody_asks_any_more(bench: Bench, redis: RedisServer) -> None:
    limit = Limit(rate=1, burst=60, concurrency=2)
    await take(bench, limit, fresh=5)
    await bench.audience.mark(["j"], 30_000)
    kept = {key: int(redis.cli("PTTL", key)) for key in redis.cli("KEYS", "*").split() if key != "host:clock"}
    assert kept.keys() == {"{polite.s}:bucket", "{polite.s}:permits", "{polite}:marks"}
    assert 3_600_000 < kept["{polite.s}:bucket"] <= 3_600_000 + 64_000
    assert 0 < kept["{polite.s}:permits"] <= 15_000
    assert 0 < kept["{polite}:marks"] <= 30_000


@pytest.mark.parametrize("bench", ["redis"], indirect=True)
async def test_keys_that_other_hands_have_spoiled_do_not_lift_the_limits(bench: Bench, redis: RedisServer) -> None:
    limit = Limit(rate=1, burst=5, concurrency=2)
    for key in ("{polite.s}:bucket", "{polite.s}:permits", "{polite}:marks"):
        redis.cli("SET", key, "spoiled")
    assert (await take(bench, limit, fresh=9)).fresh == 2
    assert (await take(bench, limit, fresh=9)).fresh == 0
    assert await bench.audience.mark(["j"], 30_000) == [True]
    redis.cli("HSET", "{polite.s}:bucket", "tokens", "1e300", "at", "nan", "turn", "1e300", "took", "x")
    redis.cli("HSET", "{polite.s}:permits", "p", "spoiled")
    assert (await take(bench, limit, permit="q", fresh=9)).end == 300_000 * MS
    await bench.advance(300_000)
    assert (await take(bench, limit, permit="q", fresh=9)).fresh == 2


@pytest.mark.parametrize("bench", ["redis"], indirect=True)
@pytest.mark.parametrize("value", ["nan", "-nan", "inf", "-inf", "-1e308", "x", ""])
@pytest.mark.parametrize("field", ["tokens", "at", "turn", "took"])
async def test_no_number_that_other_hands_write_keeps_calls_from_being_made_for_ever(
    bench: Bench, redis: RedisServer, field: str, value: str
) -> None:
    limit = Limit(rate=1, burst=5, concurrency=2)
    redis.cli("HSET", "{polite.s}:bucket", field, value)
    for _ in range(2):
        answer = await take(bench, limit, fresh=9)
        assert all(0 <= each <= 302_000 * MS for each in (answer.front, answer.end, answer.gap))
        await bench.advance(300_000)
    assert (await take(bench, limit, fresh=9)).fresh == 2


async def test_what_is_owed_without_a_call_is_counted_too(bench: Bench) -> None:
    limit = Limit(rate=10, burst=2)
    ask = Ask(owed=1)
    assert await bench.limits.take("s", limit, ask) == Answer(0, 0, 0, 0, 0, 100 * MS)
    assert (await bench.limits.take("s", limit, replace(ask, owed=0, fresh=9))).fresh == 1


async def test_of_many_that_could_not_wait_not_all_are_waited_for(bench: Bench) -> None:
    limit = Limit(rate=10, burst=2)
    assert (await take(bench, limit, first=1, owed=100_000)).front == 300_100 * MS
    await bench.advance(300_100)
    assert (await take(bench, limit, first=1)).first == 1


@pytest.mark.parametrize("bench", ["redis"], indirect=True)
@pytest.mark.parametrize("limit", [Limit(rate=7.3), Limit(rate=50, burst=2, concurrency=3), Limit(concurrency=5)])
async def test_redis_says_what_memory_says(bench: Bench, limit: Limit) -> None:
    now = EPOCH
    memory, chance = MemoryLimits(lambda: now), random.Random(3)
    held: list[tuple[str, int]] = []
    for number in range(150):
        step = chance.choice([0, 3, 50, 400, -20])
        now += step * MS
        await bench.advance(step)
        finished = [held.pop(chance.randrange(len(held))) for _ in range(min(len(held), chance.randrange(3)))]
        asked = {kind: chance.randrange(4) for kind in ("first", "due", "fresh", "owed")}
        took = chance.randrange(90_000) if finished else 0
        ask = Ask(**asked, permit=f"p{number}", finished=finished, took=took)
        answer = await bench.limits.take("s", limit, ask)
        expected = await memory.take("s", limit, ask)
        assert (answer.first, answer.due, answer.fresh) == (expected.first, expected.due, expected.fresh)
        for one, other in ((answer.front, expected.front), (answer.end, expected.end), (answer.gap, expected.gap)):
            assert abs(one - other) <= 5 + other // 10_000  # Redis keeps whole microseconds
        if granted := answer.first + answer.due + answer.fresh:
            held.append((f"p{number}", granted))


async def test_on_a_cluster_the_keys_of_a_service_are_in_one_slot() -> None:
    with RedisCluster() as cluster:
        shared = scripts(cluster.url, ["s", "a } b"])
        try:
            for service in ("s", "a } b"):
                answer = await RedisLimits(shared).take(service, Limit(rate=5, concurrency=2), Ask(fresh=9, permit="p"))
                assert answer.fresh == 2
            assert await RedisAudience(shared).mark(["j"], 1_000) == [True]
        finally:
            await shared.aclose()
