"""What a journal promises, in memory and in Redis."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

import pytest

from progrock.delay import StoreAway
from progrock.journal import Extract, Journal, MemoryJournal, RedisJournal
from progrock.journal.journal import LIVE
from progrock.protocol import Line
from tests.conftest import until
from tests.redis import RedisServer

MOST = 5
KEEP = 50


def line(n: int, seq: int | None = None, text: str = "said") -> Line:
    return Line(f"{text} {n}", "info", {"n": n}, n, 100 * n if seq is None else seq, 7)


@pytest.fixture(params=["memory", "redis"])
async def journal(request: pytest.FixtureRequest) -> AsyncIterator[Journal]:
    made: Journal
    if request.param == "memory":
        made = MemoryJournal(lambda: time.monotonic_ns() // 1000, MOST, KEEP)
    else:
        made = RedisJournal(request.getfixturevalue("redis").url, MOST, KEEP)
    yield made
    await made.aclose()


async def test_of_a_job_that_said_nothing_there_is_nothing_and_nothing_is_missing(journal: Journal) -> None:
    assert await journal.read("j") == Extract([], whole=True)
    await journal.keep("j")


async def test_of_nothing_nobody_knows_what_was_before_a_cursor(journal: Journal) -> None:
    assert await journal.read("j", 800) == Extract([], whole=False)


async def test_lines_come_back_as_they_were_in_order_behind_the_cursor(journal: Journal) -> None:
    lines = [line(n) for n in (1, 2, 3)]
    await journal.append("j", lines[:2])
    await journal.append("j", lines[2:])
    assert await journal.read("j") == Extract(lines, whole=True)
    assert await journal.read("j", 100) == Extract(lines[1:], whole=True)
    assert await journal.read("j", 250) == Extract(lines[2:], whole=True)
    assert await journal.read("j", 300) == Extract([], whole=True)
    assert await journal.read("other") == Extract([], whole=True)


async def test_a_seq_may_be_as_large_as_the_clock_of_this_century(journal: Journal) -> None:
    now = 1_795_219_200_123_456
    await journal.append("j", [line(1, now), line(2, now + 1)])
    assert [each.n for each in (await journal.read("j", now)).lines] == [2]


async def test_what_a_step_says_again_takes_the_place_of_what_nobody_has_counted(journal: Journal) -> None:
    await journal.append("j", [line(1), line(2)])
    # It broke off. Meanwhile snapshots without these lines were shown, 500 the newest: who has it lacks them.
    await journal.append("j", [line(1, 900, "again"), line(2, 901, "again"), line(3, 902)])
    extract = await journal.read("j", 500)
    assert [(each.n, each.seq, each.text) for each in extract.lines] == [
        (1, 900, "again 1"),
        (2, 901, "again 2"),
        (3, 902, "said 3"),
    ]
    assert extract.whole
    assert extract == await journal.read("j")


async def test_what_is_said_again_leaves_what_was_said_before_it(journal: Journal) -> None:
    await journal.append("j", [line(1), line(2), line(3)])
    await journal.append("j", [line(3, 900, "again")])
    assert [(each.n, each.seq) for each in (await journal.read("j")).lines] == [(1, 100), (2, 200), (3, 900)]
    extract = await journal.read("j", 500)
    assert ([each.n for each in extract.lines], extract.whole) == ([3], True)


async def test_a_worker_with_an_old_clock_writes_nothing_behind_what_is_newer(journal: Journal) -> None:
    await journal.append("j", [line(1, 500)])
    await journal.append("j", [line(1, 399, "old"), line(2, 400)])
    assert [(each.n, each.text) for each in (await journal.read("j")).lines] == [(1, "said 1")]


async def test_the_oldest_make_room_and_who_lacks_them_is_told(journal: Journal) -> None:
    for n in range(1, MOST + 4):
        await journal.append("j", [line(n)])
    extract = await journal.read("j")
    assert ([each.n for each in extract.lines], extract.whole) == ([4, 5, 6, 7, 8], False)
    assert not (await journal.read("j", 200)).whole
    assert (await journal.read("j", 400)).whole
    assert (await journal.read("j", 800)).whole


async def test_after_the_end_it_is_kept_for_a_while(journal: Journal) -> None:
    await journal.append("j", [line(1)])
    await journal.append("other", [line(1)])
    await journal.keep("j")

    async def gone() -> bool:
        return not (await journal.read("j")).lines

    await until(gone)
    assert (await journal.read("other")).lines


async def test_memory_holds_nothing_of_what_is_over() -> None:
    now = 0
    journal = MemoryJournal(lambda: now, MOST, KEEP)
    for each in range(20):
        for n in range(1, 20):
            await journal.append(str(each), [line(n)])
        await journal.keep(str(each))
        await journal.keep(str(each))
        assert (len(journal._jobs), len(journal._live), len(journal._over)) == (1, 0, 1)
        now += KEEP * 1000
    await journal.append("goes on", [line(1)])
    await journal.append("goes on", [line(2)])
    assert (len(journal._jobs), len(journal._live), len(journal._over)) == (1, 1, 0)
    now += LIVE * 1000
    assert (await journal.read("goes on")).lines == []
    assert not journal._jobs


@pytest.mark.parametrize(
    "spoil",
    [
        lambda redis, key: redis.cli("SET", key, "x"),
        lambda redis, key: redis.cli("XADD", key, "*", "nonsense", "x"),
        lambda redis, key: redis.cli("XADD", key, "50-0", "n", "x", "line", "nonsense"),
    ],
)
async def test_what_other_hands_have_put_there_is_no_journal(
    redis: RedisServer, spoil: Callable[[RedisServer, str], object]
) -> None:
    journal = RedisJournal(redis.url, MOST, 60_000)
    spoil(redis, "{journal.j}:lines")
    assert (await journal.read("j")).lines == []
    await journal.append("j", [line(1), line(2, 2**53 - 1)])
    assert (await journal.read("j")).lines[-1].n == 2
    await journal.aclose()


async def test_a_redis_that_is_away_is_said_to_be(redis: RedisServer) -> None:
    journal = RedisJournal("redis://127.0.0.1:1/0", MOST, KEEP)
    for call in (journal.append("j", [line(1)]), journal.read("j"), journal.keep("j")):
        with pytest.raises(StoreAway):
            await call
    await journal.aclose()
