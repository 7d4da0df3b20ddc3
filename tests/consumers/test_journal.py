"""A job's journal, from what its service says to what a client has: each line once, whatever breaks off."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from asgiref.sync import sync_to_async

from progrock import jobs, reconcile, registry
from progrock.consumers.ends import Ends
from progrock.consumers.worker import JobWorker
from progrock.delay import StoreAway
from progrock.embedded import Engine
from progrock.exceptions import NotFound, Unavailable
from progrock.journal import MemoryJournal
from progrock.models import Job
from progrock.protocol import Line, State
from progrock.step import Reading
from tests.conftest import until
from tests.consumers.test_worker import end_of
from tests.scripted import Remote

pytestmark = pytest.mark.usefixtures("engine")


def says(*lines: Any, state: State = State.RUNNING, **more: Any) -> Reading:
    return Reading(state, lines=lines, **more)


async def texts(job: str) -> list[str]:
    return [line.text for line in (await registry.journal().read(job)).lines]


async def test_what_a_service_says_is_in_the_journal_once(remote: Remote) -> None:
    result = Line("A part", "warning", {"page": 1})
    remote.default = [says("one"), says("one", "two"), says("one", "two"), says("one", "two", result)]
    remote.default += [says("one", "two", result, "four", state=State.SUCCEEDED)]
    job = (await jobs.astart(owner="me")).job
    end = await end_of(job)
    lines = (await registry.journal().read(job)).lines
    assert [(line.n, line.text, line.level, line.data) for line in lines] == [
        (1, "one", "info", None),
        (2, "two", "info", None),
        (3, "A part", "warning", {"page": 1}),
        (4, "four", "info", None),
    ]
    assert [line.seq for line in lines] == sorted({line.seq for line in lines})
    assert end.lines == (await Job.objects.aget(pk=job)).lines == 4
    assert end.seq > lines[-1].seq


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        (["a\nb\x00c"], ["a b c"]),
        ([None, 7, object(), "x"], ["", "", "", "x"]),
        ([Line("x" * 900)], ["x" * 500]),
        ([Line("x", "shouted", {1, 2})], ["x"]),
        ([Line("x", data={"n": float("nan")})], ["x"]),
        ([Line("x", data="y" * 5_000)], ["x"]),
        ([Line("x", data={"n": 10**30})], ["x"]),
        ([Line("x", ["warning"])], ["x"]),  # type: ignore[arg-type]
    ],
)
async def test_what_an_adapter_makes_of_a_line_keeps_its_number_and_harms_nothing(
    remote: Remote, lines: list[Any], kept: list[str]
) -> None:
    remote.default = [says(*lines), says(*lines, state=State.SUCCEEDED)]
    job = (await jobs.astart(owner="me")).job
    assert (await end_of(job)).state is State.SUCCEEDED
    assert await texts(job) == kept
    lines_kept = (await registry.journal().read(job)).lines
    assert {line.level for line in lines_kept} == {"info"}
    assert msgspec.msgpack.encode(lines_kept)  # as Redis gets them


@pytest.mark.parametrize("first", [0, -1, 10**12, 10**30, "2", None])
async def test_a_first_that_is_no_number_of_a_line_is_no_reason_to_lose_a_reading(remote: Remote, first: Any) -> None:
    remote.default = [says("x", first=first, state=State.SUCCEEDED)]
    job = (await jobs.astart(owner="me")).job
    end = await end_of(job)
    assert (end.state, end.lines, await texts(job)) == (State.SUCCEEDED, 0, [])


@pytest.mark.parametrize("lines", [None, "text", 7, {"a": 1}])
async def test_lines_that_are_no_list_are_no_reason_to_lose_a_reading(remote: Remote, lines: Any) -> None:
    remote.default = [Reading(State.SUCCEEDED, lines=lines)]
    job = (await jobs.astart(owner="me")).job
    assert (await end_of(job)).state is State.SUCCEEDED
    assert await texts(job) == []


async def test_of_very_many_lines_each_step_takes_some_and_the_last_the_rest(remote: Remote) -> None:
    many = [str(i) for i in range(1, 331)]
    remote.default = [says(*many[:250]), says(*many[:250]), says(*many, state=State.SUCCEEDED)]
    job = (await jobs.astart(owner="me")).job
    await end_of(job)
    assert await texts(job) == many


async def test_a_service_that_keeps_only_the_newest_says_where_they_begin(remote: Remote) -> None:
    remote.default = [says("one"), says("two", "three", first=2), says("six", first=6, state=State.SUCCEEDED)]
    job = (await jobs.astart(owner="me")).job
    await end_of(job)
    assert [(line.n, line.text) for line in (await registry.journal().read(job)).lines] == [
        (1, "one"),
        (2, "two"),
        (3, "three"),
        (6, "six"),
    ]


async def test_a_journal_that_is_away_delays_its_lines_and_nothing_else(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, failures = MemoryJournal.append, 3

    async def flaky(self: MemoryJournal, job: str, lines: Sequence[Line]) -> None:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise StoreAway("gone")
        await append(self, job, lines)

    monkeypatch.setattr(MemoryJournal, "append", flaky)
    remote.default = [says("one", "two", percent=i) for i in range(6)]
    remote.default += [says("one", "two", "three", state=State.SUCCEEDED)]
    job = (await jobs.astart(owner="me")).job
    assert (await end_of(job)).lines == 3
    assert failures < 0
    assert await texts(job) == ["one", "two", "three"]


@pytest.mark.parametrize(("failures", "kept"), [(2, ["one", "last words"]), (9, ["one"])])
async def test_last_words_are_waited_for_but_not_for_ever(
    remote: Remote, monkeypatch: pytest.MonkeyPatch, failures: int, kept: list[str]
) -> None:
    append = MemoryJournal.append

    async def flaky(self: MemoryJournal, job: str, lines: Sequence[Line]) -> None:
        nonlocal failures
        if lines[-1].text == "last words":
            failures -= 1
            if failures >= 0:
                raise StoreAway("gone")
        await append(self, job, lines)

    monkeypatch.setattr(MemoryJournal, "append", flaky)
    monkeypatch.setattr("progrock.consumers.decisions.random.randint", lambda low, high: 1)
    remote.default = [says("one"), says("one", "last words", state=State.SUCCEEDED)]
    job = (await jobs.astart(owner="me")).job
    end = await end_of(job)
    assert (end.state, end.lines, await texts(job)) == (State.SUCCEEDED, len(kept), kept)


async def test_a_step_that_breaks_off_behind_its_journal_says_nothing_twice(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, failures = Ends.finish, 2

    async def broken(self: Ends, *args: Any) -> Any:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise RuntimeError("as if the worker died here")
        async for outcome in finish(self, *args):
            yield outcome

    monkeypatch.setattr(Ends, "finish", broken)
    monkeypatch.setattr("progrock.delay.consumer.random.randint", lambda low, high: 1)
    remote.default = [says("one"), says("one", "last words", state=State.SUCCEEDED)]
    job = (await jobs.astart(owner="me")).job
    end = await end_of(job)
    assert failures < 0
    lines = (await registry.journal().read(job)).lines
    assert [line.text for line in lines] == ["one", "last words"]
    assert end.seq > lines[-1].seq


async def test_a_schedule_that_was_lost_says_nothing_twice(remote: Remote) -> None:
    remote.default = [says("one", "two")]
    job = (await jobs.astart(owner="me")).job
    await until(lambda: len(remote.polls) > 2)
    await registry.store().remove([job])
    await reconcile.mend([await Job.objects.aget(pk=job)])
    polls = len(remote.polls)
    await until(lambda: len(remote.polls) > polls + 2)
    remote.looks[f"r-{job}"] = [says("one", "two", "three", state=State.SUCCEEDED)]
    await end_of(job)
    assert await texts(job) == ["one", "two", "three"]


async def test_nothing_is_shown_that_counts_a_line_which_is_not_there(
    remote: Remote, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled, wrong = JobWorker.settled, []

    async def watched(self: JobWorker, outcomes: Any) -> None:
        for _, outcome in outcomes:
            run = getattr(outcome, "run", None)
            if run and len((await registry.journal().read(run.snapshot.job)).lines) < run.snapshot.lines:
                wrong.append(run.snapshot)
        await settled(self, outcomes)

    monkeypatch.setattr(JobWorker, "settled", watched)
    lines = [str(i) for i in range(40)]
    remote.default = [*(says(*lines[:i]) for i in range(0, 40, 3)), says(*lines, state=State.SUCCEEDED)]
    all_jobs = [(await jobs.astart(owner="me")).job for _ in range(5)]
    await asyncio.gather(*map(end_of, all_jobs))
    assert not wrong
    assert [await texts(job) for job in all_jobs] == [lines] * 5


async def test_from_python_a_journal_is_read_by_its_owner_only(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    remote.default = [says("one", "two", state=State.SUCCEEDED)]
    job = (await jobs.astart(owner="me")).job
    await end_of(job)
    one, two = await jobs.ajournal(job, owner="me")
    assert (one.text, two.text) == ("one", "two")
    assert await jobs.ajournal(job, owner="me", after=one.seq) == [two]
    assert await sync_to_async(jobs.journal)(job, owner="me") == [one, two]
    with pytest.raises(NotFound):
        await jobs.ajournal(job, owner="you")

    async def away(*args: object) -> None:
        raise StoreAway("gone")

    monkeypatch.setattr(MemoryJournal, "read", away)
    with pytest.raises(Unavailable):
        await jobs.ajournal(job, owner="me")
