"""What an inbox promises, in memory and in Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from progrock.delay import StoreAway
from progrock.inbox import End, Heard, Inbox, MemoryInbox, RedisInbox, Report, Said
from progrock.inbox.inbox import LIVE, OVER
from progrock.protocol import Line, State
from tests.redis import RedisServer

MOST = 5
DONE = End(State.SUCCEEDED, "Done.", {"rows": 7})


def lines(*numbers: int) -> list[Line]:
    return [Line(f"line {n}", "warning", {"n": n}) for n in numbers]


@pytest.fixture(params=["memory", "redis"])
async def inbox(request: pytest.FixtureRequest) -> AsyncIterator[Inbox]:
    made: Inbox
    if request.param == "memory":
        made = MemoryInbox(lambda: time.monotonic_ns() // 1000, MOST)
    else:
        made = RedisInbox(request.getfixturevalue("redis").url, MOST)
    yield made
    await made.aclose()


async def said(inbox: Inbox, job: str = "j") -> Said:
    (found,) = await inbox.read([job])
    assert found is not None
    return found


async def test_of_jobs_of_which_nothing_was_said_nothing_is_known(inbox: Inbox) -> None:
    assert await inbox.read([]) == []
    assert await inbox.read(["a", "b"]) == [None, None]
    assert await inbox.lines("a", 1, 10) == (1, [])


async def test_the_newest_of_each_part_counts(inbox: Inbox) -> None:
    await inbox.put("j", Report(done=1, total=10, title="Import"))
    await inbox.put("j", Report(done=2.5, message="Rows"))
    await inbox.put("other", Report(percent=50))
    assert (await said(inbox)).report == Report(2.5, 10, None, "Rows", "Import")
    assert [each and each.report.percent for each in await inbox.read(["none", "other"])] == [None, 50]


async def test_lines_are_numbered_as_they_come_and_the_newest_are_kept(inbox: Inbox) -> None:
    await inbox.put("j", lines=lines(1, 2))
    await inbox.put("j", lines=lines(3))
    assert (await said(inbox)).lines == 3
    assert await inbox.lines("j", 1, 10) == (1, lines(1, 2, 3))
    assert await inbox.lines("j", 2, 1) == (2, lines(2))
    assert await inbox.lines("j", 4, 10) == (4, [])
    await inbox.put("j", lines=lines(4, 5, 6, 7, 8))
    assert (await said(inbox)).lines == 8
    assert await inbox.lines("j", 1, 10) == (4, lines(4, 5, 6, 7, 8))


async def test_what_was_emptied_is_numbered_from_where_it_was_read(inbox: Inbox) -> None:
    await inbox.follow("j", 5)
    assert await inbox.read(["j"]) == [None]
    await inbox.put("j", lines=lines(6, 7))
    await inbox.follow("j", 2)
    assert (await said(inbox)).lines == 2
    await inbox.follow("j", 5)
    assert (await said(inbox)).lines == 7
    assert await inbox.lines("j", 6, 10) == (6, lines(6, 7))
    await inbox.put("j", lines=lines(8))
    assert await inbox.lines("j", 8, 10) == (8, lines(8))


async def test_the_first_end_is_the_end_and_nothing_follows_it(inbox: Inbox) -> None:
    assert await inbox.put("j", Report(done=1), lines(1), DONE) == Heard(cancelled=False, over=False)
    late = await inbox.put("j", Report(done=2), lines(2), End(State.FAILED, "no"))
    assert late == Heard(cancelled=False, over=True)
    known = await said(inbox)
    assert (known.end, known.report.done, known.lines) == (DONE, 1, 1)


async def test_what_is_said_again_by_the_same_sender_is_taken_once(inbox: Inbox) -> None:
    for _ in range(2):
        await inbox.put("j", Report(done=1), lines(1), sender="a", number=1)
    await inbox.put("j", Report(done=7), lines(7), sender="b", number=1)
    await inbox.put("j", Report(done=2), lines(2), sender="a", number=2)
    assert ((await said(inbox)).report.done, (await said(inbox)).lines) == (2, 3)


async def test_silence_is_counted_from_the_last_word(inbox: Inbox) -> None:
    await inbox.put("j")
    await asyncio.sleep(0.3)
    silence = (await said(inbox)).silence
    assert 300 <= silence < 5_000
    await inbox.put("j")
    assert (await said(inbox)).silence < silence


async def test_a_cancel_is_heard_with_the_next_word(inbox: Inbox) -> None:
    await inbox.put("j", Report(done=1))
    await inbox.cancel("j")
    assert (await said(inbox)).end is None
    assert await inbox.put("j") == Heard(cancelled=True, over=False)
    assert (await said(inbox)).report.done == 1


async def test_a_cancel_ends_what_has_yet_to_begin(inbox: Inbox) -> None:
    await inbox.put("j", Report(title="Import"), waiting=True)
    assert (await said(inbox)).waiting
    await inbox.cancel("j")
    assert (await said(inbox)).end == End(State.CANCELLED)
    assert await inbox.put("j") == Heard(cancelled=True, over=True)


async def test_what_has_begun_waits_no_more(inbox: Inbox) -> None:
    await inbox.put("j", waiting=True)
    await inbox.put("j")
    assert not (await said(inbox)).waiting
    await inbox.put("j", waiting=True)
    assert not (await said(inbox)).waiting
    await inbox.put("j", waiting=True, sender="a", number=1)
    assert (await said(inbox)).waiting
    await inbox.put("j", end=DONE)
    assert (await inbox.put("j", waiting=True)).over


async def test_redis_forgets_what_nobody_adds_to(redis: RedisServer) -> None:
    inbox = RedisInbox(redis.url, MOST)
    await inbox.put("live", lines=lines(1))
    await inbox.put("over", lines=lines(1), end=DONE)
    for job, keep in (("live", LIVE), ("over", OVER)):
        for key in ("said", "lines"):
            left = int(redis.cli("PTTL", f"{{inbox}}:jobs:{job}:{key}"))
            assert keep - 60_000 < left <= keep
    await inbox.aclose()


async def test_a_clock_that_was_put_back_hides_no_silence(redis: RedisServer) -> None:
    inbox = RedisInbox(redis.url, MOST)
    await inbox.put("j")
    redis.cli("HSET", "{inbox}:jobs:j:said", "at", str(int((time.time() + 3_600) * 1000)))
    assert (await said(inbox)).silence == 0
    await asyncio.sleep(0.1)
    assert (await said(inbox)).silence >= 100
    await inbox.aclose()


async def test_memory_forgets_too() -> None:
    now = 0
    inbox = MemoryInbox(lambda: now, MOST)
    await inbox.put("j", Report(done=1))
    now += LIVE * 1000
    assert await inbox.read(["j"]) != [None]
    now += 1
    assert await inbox.read(["j"]) == [None]


@pytest.mark.parametrize(
    "hands",
    [
        ("SET", "{inbox}:jobs:j:said", "text"),
        ("SET", "{inbox}:jobs:j:lines", "text"),
        ("HSET", "{inbox}:jobs:j:said", "at", "now", "lines", "many", "end", "x", "done", "x", "total", "\\xa1x"),
        ("RPUSH", "{inbox}:jobs:j:lines", "x"),
    ],
)
async def test_other_hands_in_redis_break_nothing(redis: RedisServer, hands: tuple[str, ...]) -> None:
    inbox = RedisInbox(redis.url, MOST)
    redis.cli(*hands)
    await inbox.read(["j"])
    await inbox.lines("j", 1, 10)
    await inbox.cancel("j")
    heard = await inbox.put("j", Report(done=1), lines(1))
    assert heard.over == ("end" in hands)
    _, kept = await inbox.lines("j", 1, 10)
    assert kept[-1:] in ([], lines(1), [Line("")])
    await inbox.aclose()


async def test_a_redis_that_is_away_is_said_to_be() -> None:
    with RedisServer() as gone:
        inbox = RedisInbox(gone.url, MOST)
        await inbox.put("j")
    with pytest.raises(StoreAway):
        await inbox.put("j")
    with pytest.raises(StoreAway):
        await inbox.read(["j"])
    await inbox.aclose()
