"""What a client is told, whatever the transport: nothing twice, nothing backwards, no line left out."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from django.test import override_settings
from msgspec.structs import replace

from progrock import jobs, registry, updates
from progrock.delay import StoreAway
from progrock.exceptions import NotFound, TooMany, Unavailable
from progrock.feed import Answer, Feed, frames
from progrock.journal import MemoryJournal
from progrock.protocol import Line, Resume, Snapshot, State, answer_frame

JOB = "6f1f64f0-6c0e-4c39-9d0c-6a2f6a4f0b51"


class World:
    """A job that takes steps when the test says so: its journal, and its snapshots as they are published."""

    def __init__(self) -> None:
        self.snapshot = Snapshot(JOB, "s", "t", State.RUNNING, created=0, seq=10)

    async def step(self, *texts: str, publish: bool = True, **changes: Any) -> Snapshot:
        seq, n = self.snapshot.seq, self.snapshot.lines
        lines = [Line(text, n=n + i, seq=seq + i, at=1) for i, text in enumerate(texts, start=1)]
        if lines:
            await registry.journal().append(JOB, lines)
        self.snapshot = replace(self.snapshot, seq=seq + len(lines) + 1, lines=n + len(lines), **changes)
        if publish:
            await updates.publish([("me", self.snapshot)])
        return self.snapshot

    async def get(self, job: str, *, owner: str) -> Snapshot:
        if owner != "me" or job != JOB:
            raise NotFound("none")
        return self.snapshot


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    with override_settings(PROGROCK={}):
        registry.forget()
    world = World()
    monkeypatch.setattr(jobs, "aget", world.get)
    return world


@pytest.fixture
async def feed(world: World) -> AsyncIterator[Feed]:
    feed = Feed("me")
    yield feed
    await feed.aclose()


async def test_an_answer_has_the_whole_journal_and_then_come_only_new_lines(world: World, feed: Feed) -> None:
    await world.step("one", "two")
    answer = await feed.watch(JOB)
    assert ([line.text for line in answer.lines], answer.resume) == (["one", "two"], Resume.RESET)
    await world.step("three")
    (fresh,) = await feed.next(10)
    assert [line.text for line in fresh.lines] == ["three"]
    await world.step()
    (fresh,) = await feed.next(10)
    assert fresh.lines == ()


async def test_lines_that_were_overtaken_come_with_what_overtook_them(world: World, feed: Feed) -> None:
    await feed.watch(JOB)
    for text in ("one", "two", "three"):
        await world.step(text)
    (fresh,) = await feed.next(10)
    assert fresh.update.seq == world.snapshot.seq
    assert [line.n for line in fresh.lines] == [1, 2, 3]


async def test_who_comes_back_gets_what_is_behind_the_cursor(world: World, feed: Feed) -> None:
    cursor = (await world.step("one")).seq
    await world.step("two")
    answer = await feed.watch(JOB, cursor)
    assert ([line.text for line in answer.lines], answer.resume) == (["two"], Resume.RECOVERED)
    nothing = await feed.watch(JOB, world.snapshot.seq)
    assert (list(nothing.lines), nothing.resume) == ([], Resume.RECOVERED)


async def test_who_has_missed_more_than_is_kept_is_reset(world: World, feed: Feed) -> None:
    with override_settings(PROGROCK={"JOURNAL_MOST": 2}):
        cursor = (await world.step("one")).seq
        await world.step("two", "three", "four")
        answer = await feed.watch(JOB, cursor)
        assert ([line.n for line in answer.lines], answer.resume) == ([3, 4], Resume.RESET)


async def test_a_cursor_of_another_time_is_reset(world: World, feed: Feed) -> None:
    await world.step("one")
    answer = await feed.watch(JOB, world.snapshot.seq + 1_000_000)
    assert ([line.text for line in answer.lines], answer.resume) == (["one"], Resume.RESET)


async def test_an_end_brings_the_last_lines_and_is_told_once(world: World, feed: Feed) -> None:
    await feed.watch(JOB)
    end = await world.step("last words", state=State.SUCCEEDED)
    (fresh,) = await feed.next(10)
    assert ([line.text for line in fresh.lines], fresh.update.complete) == (["last words"], True)
    await updates.publish([("me", replace(end, seq=end.seq + 1))])
    assert await feed.next(0.3) == []
    late = await feed.watch(JOB)
    assert (late.snapshot.state, [line.text for line in late.lines]) == (State.SUCCEEDED, ["last words"])


async def none(*, owner: str) -> list[Snapshot]:
    return []


async def test_an_end_is_told_once_to_who_watches_all(
    world: World, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "alist_mine", none)
    await feed.watch_all()
    end = await world.step("words", state=State.FAILED)
    (fresh,) = await feed.next(10)
    assert (fresh.update.complete, fresh.lines) == (True, ())
    await updates.publish([("me", end)])
    assert await feed.next(0.3) == []
    # A dashboard may stay for weeks.
    assert not feed._seqs


async def test_a_journal_that_is_away_costs_no_snapshot_and_no_line(
    world: World, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = (await world.step("one")).seq
    with monkeypatch.context() as away:
        away.setattr(MemoryJournal, "read", _away)
        answer = await feed.watch(JOB, cursor)
        # Neither recovered nor reset: a client that is told either takes what does not come for gone.
        assert (answer.snapshot.seq, list(answer.lines), answer.resume) == (cursor, [], None)
        told = json.loads(answer_frame("snapshot", answer.snapshot, 1, None, answer.resume, answer.lines))
        assert not {"resume", "journal"} & set(told)
        await world.step("two")
        (fresh,) = await feed.next(10)
        assert (fresh.update.lines, fresh.lines, fresh.behind) == (2, (), True)
    await world.step()
    (fresh,) = await feed.next(10)
    assert ([line.text for line in fresh.lines], fresh.behind) == (["two"], False)


async def _away(*args: object) -> None:
    raise StoreAway("gone")


async def test_a_journal_that_is_gone_recovers_only_who_had_it_all(world: World, feed: Feed) -> None:
    before = (await world.step("one")).seq
    last = (await world.step("two")).seq
    registry.journal()._jobs.clear()  # type: ignore[attr-defined]
    assert (await feed.watch(JOB, before)).resume is Resume.RESET
    assert (await feed.watch(JOB, last)).resume is Resume.RECOVERED


async def test_who_comes_back_to_a_job_that_says_nothing_is_recovered(world: World, feed: Feed) -> None:
    before = (await world.step()).seq
    await world.step()
    assert (await feed.watch(JOB, before)).resume is Resume.RECOVERED


async def test_a_journal_is_read_only_when_there_is_something_in_it(
    world: World, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = (await world.step("one")).seq
    await feed.watch(JOB, cursor)
    monkeypatch.setattr(MemoryJournal, "read", _away)
    await world.step()
    (fresh,) = await feed.next(10)
    assert fresh.lines == ()


async def test_after_an_unwatch_nothing_more_comes(world: World, feed: Feed) -> None:
    await feed.watch(JOB)
    await world.step("one")
    await asyncio.sleep(0.05)
    await feed.unwatch(JOB)
    assert await feed.fetch() == []
    assert not updates.hub()._sinks


async def test_who_is_not_the_owner_watches_nothing(world: World) -> None:
    stranger = Feed("somebody")
    with pytest.raises(NotFound):
        await stranger.watch(JOB)
    assert not updates.hub()._sinks


async def test_there_is_room_for_so_many_watches(world: World, feed: Feed, limit: Callable[..., None]) -> None:
    limit(max_watches=1)
    await feed.watch(JOB)
    await feed.watch(JOB)  # the same one
    with pytest.raises(TooMany):
        await feed.watch("0b6cf7a9-7b8e-4f64-8f2c-7f4f4f6f5c11")


async def test_there_is_room_for_so_many_who_watch_one_job(
    world: World, feed: Feed, limit: Callable[..., None]
) -> None:
    limit(max_watchers=1)
    await feed.watch(JOB)
    await feed.watch(JOB)  # the same one
    other = Feed("me")
    with pytest.raises(TooMany, match="at most 1 clients that watch one job"):
        await other.watch(JOB)
    await feed.unwatch(JOB)
    await other.watch(JOB)
    await other.aclose()


async def test_many_jobs_are_told_in_few_frames(world: World, feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "alist_mine", none)
    await feed.watch_all()
    many = [Snapshot(str(i), "s", "t", State.RUNNING, created=0, seq=1) for i in range(120)]
    await updates.publish([("me", each) for each in many])
    told = [json.loads(frame) for frame in frames(await feed.next(10))]
    assert [frame["type"] for frame in told] == ["updates"]
    assert [each["job"] for frame in told for each in frame["updates"]] == [str(i) for i in range(120)]


async def test_no_frame_is_longer_than_clients_take(world: World, feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "alist_mine", none)
    await feed.watch_all()
    many = [Snapshot(str(i), "s", "t", State.RUNNING, created=0, seq=1, result="x" * 100_000) for i in range(12)]
    await updates.publish([("me", each) for each in many])
    told = list(frames(await feed.next(10)))
    assert len(told) == 3
    assert max(map(len, told)) < 600_000
    assert [each["job"] for frame in told for each in json.loads(frame)["updates"]] == [str(i) for i in range(12)]


async def test_of_a_journal_that_is_too_long_for_a_frame_the_newest_lines_are_told(world: World, feed: Feed) -> None:
    async def answered(after: int | None) -> Answer:
        answer = await feed.watch(JOB, after)
        assert len(answer_frame("snapshot", answer.snapshot, 1, None, answer.resume, answer.lines)) < 600_000
        return answer

    before = (await world.step("first")).seq
    await world.step(*(["y" * 4_000] * 900))
    for after in (None, before):
        answer = await answered(after)
        assert answer.resume is Resume.RESET
        assert 100 < len(answer.lines) < 200
        assert [line.n for line in answer.lines] == list(range(902 - len(answer.lines), 902))
    # Also of what comes at once; who counts finds the hole, and asks.
    await world.step(*(["z" * 4_000] * 900))
    (fresh,) = await feed.next(10)
    assert 100 < len(fresh.lines) < 200
    assert fresh.lines[-1].n == fresh.update.lines
    assert (await answered(answer.snapshot.seq)).resume is Resume.RESET


async def test_whatever_is_lost_or_doubled_or_cut_the_journal_has_no_gap_and_nothing_goes_back(world: World) -> None:
    chance = random.Random(6)
    seen: dict[int, str] = {}
    seqs: list[int] = []
    cursor: int | None = None
    for _ in range(30):
        feed = Feed("me")
        answer = await feed.watch(JOB, cursor)
        if answer.resume is Resume.RESET:
            seen.clear()
        seen.update({line.n: line.text for line in answer.lines})
        cursor = answer.snapshot.seq
        assert len(seen) == answer.snapshot.lines
        for _ in range(chance.randrange(6)):
            for _ in range(chance.randrange(1, 4)):
                said = [f"{world.snapshot.lines + i}" for i in range(1, chance.randrange(1, 4))]
                before = world.snapshot
                snapshot = await world.step(*said, publish=chance.random() > 0.3)
                if chance.random() < 0.3:
                    await updates.publish([("me", snapshot), ("me", before)])
            await asyncio.sleep(0.001)
            if chance.random() < 0.5:
                for fresh in await feed.fetch():
                    seen.update({line.n: line.text for line in fresh.lines})
                    cursor = fresh.update.seq
                    seqs.append(cursor)
                    assert sorted(seen) == list(range(1, max(seen, default=0) + 1))
                    assert max(seen, default=0) >= fresh.update.lines
        await feed.aclose()
    assert seqs == sorted(set(seqs))
    assert all(text == str(n) for n, text in seen.items())
    assert not updates.hub()._sinks


async def test_a_watch_that_could_not_be_answered_takes_no_room(
    world: World, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(job: str, *, owner: str) -> Snapshot:
        raise Unavailable("gone")

    await feed.watch(JOB)
    monkeypatch.setattr(jobs, "aget", away)
    for job in (JOB, "0b6cf7a9-7b8e-4f64-8f2c-7f4f4f6f5c11"):
        with pytest.raises(Unavailable):
            await feed.watch(job)
    assert set(feed._watches) == {JOB}, "what was watched before goes on"
