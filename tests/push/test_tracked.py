"""A block of code as a job, from its first line to its end."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import transaction

import progrock
from progrock import jobs, registry
from progrock.delay import StoreAway
from progrock.exceptions import Cancelled, Invalid, InvalidParams, NotFound
from progrock.inbox import MemoryInbox
from progrock.models import Job
from progrock.protocol import Snapshot, State
from progrock.push import tracked
from tests.conftest import until
from tests.push.conftest import ME, end_of

pytestmark = pytest.mark.usefixtures("engine")


async def says(job: str, wanted: Callable[[Snapshot], object]) -> Snapshot:
    """Return a job's snapshot once it is as wanted."""

    async def so() -> bool:
        return bool(wanted(await jobs.aget(job, owner=ME)))

    await until(so)
    return await jobs.aget(job, owner=ME)


async def in_a_thread(work: Callable[[], Any]) -> Any:
    """Run `work` in a thread of its own, as no server has made it."""
    return await asyncio.get_running_loop().run_in_executor(None, work)


async def test_a_block_is_a_job_that_succeeds() -> None:
    async with progrock.track("Import", owner=ME, total=4) as job:
        for _ in job.iterate(range(4)):
            await asyncio.sleep(0)
        job.log("warning", "row 17 skipped", data={"row": 17})
    end = await end_of(job.id)
    assert (end.title, end.state, end.percent, end.message) == ("Import", State.SUCCEEDED, 100, "Done.")
    (line,) = await jobs.ajournal(job.id, owner=ME)
    assert (line.level, line.text, line.data) == ("warning", "row 17 skipped", {"row": 17})


async def test_progress_is_seen_while_it_goes_on() -> None:
    async with progrock.track("Import", owner=ME) as job:
        job.report(3, total=12)
        seen = await says(job.id, lambda snapshot: snapshot.percent == 25)
        assert (seen.state, seen.message) == (State.RUNNING, "3 of 12")
        job.report(6)
        assert (await says(job.id, lambda snapshot: snapshot.percent == 50)).message.startswith("6 of 12, ")
        job.report(percent=60, message="Nearly there", title="Imported")
        seen = await says(job.id, lambda snapshot: snapshot.percent == 60)
        assert (seen.title, seen.message) == ("Imported", "Nearly there")
        job.complete({"rows": 12}, "All of it.")
        job.fail("too late")
    end = await end_of(job.id)
    assert (end.state, end.result, end.message) == (State.SUCCEEDED, {"rows": 12}, "All of it.")


async def test_what_does_not_know_its_total_is_counted() -> None:
    async def rows() -> AsyncIterator[int]:
        for n in range(3):
            yield n

    async with progrock.track("Import", owner=ME) as job:
        assert [n async for n in job.aiterate(rows())] == [0, 1, 2]
        seen = await says(job.id, lambda snapshot: snapshot.message.startswith("3"))
        assert seen.percent is None


async def test_one_block_may_go_through_several_things() -> None:
    async with progrock.track("Import", owner=ME) as job:
        assert list(job.iterate([1, 2])) == [1, 2]
        assert (job.done, job.total) == (2, 2)
    async with progrock.track("Import", owner=ME, total=10) as job:
        list(job.iterate([1, 2]))
        list(job.iterate(iter([3])))
        job.advance()
        assert (job.done, job.total) == (4, 10)


@pytest.mark.parametrize(
    ("raised", "message"),
    [(ValueError("no\nrows"), "ValueError: no rows"), (KeyboardInterrupt(), "KeyboardInterrupt")],
)
async def test_a_block_that_raises_is_a_job_that_fails(raised: BaseException, message: str) -> None:
    def work() -> str:
        with pytest.raises(type(raised)), progrock.track("Import", owner=ME) as job:
            raise raised
        return job.id

    end = await end_of(await in_a_thread(work))
    assert end.state is State.FAILED
    assert end.error
    assert (end.error.code, end.error.message) == ("remote", message)


async def test_in_a_running_event_loop_a_plain_with_works_too() -> None:
    with progrock.track("Import", owner=ME) as job:
        job.report(1, total=2)
    assert (await end_of(job.id)).state is State.SUCCEEDED


async def test_in_a_transaction_it_begins_with_the_commit() -> None:
    def work() -> str:
        with transaction.atomic(), progrock.track("Import", owner=ME) as job:
            before = time.monotonic()
        assert time.monotonic() - before < tracked.LINGER
        return job.id

    assert (await end_of(await sync_to_async(work)())).state is State.SUCCEEDED


async def test_of_a_transaction_that_is_rolled_back_nothing_is_told() -> None:
    def work() -> str:
        with pytest.raises(ZeroDivisionError), transaction.atomic(), progrock.track("Import", owner=ME) as job:
            raise ZeroDivisionError
        return job.id

    job = await sync_to_async(work)()
    assert not await Job.objects.filter(pk=job).aexists()
    assert await registry.inbox().read([job]) == [None]


async def test_a_cancel_reaches_code_that_asks_for_it() -> None:
    async with progrock.track("Import", owner=ME, total=10**9) as job:
        await says(job.id, lambda snapshot: snapshot.state is State.RUNNING and snapshot.heard)
        assert not job.cancelled
        assert (await jobs.acancel(job.id, owner=ME)).state is State.CANCELLING
        await until(lambda: job.cancelled)
    end = await end_of(job.id)
    assert (end.state, end.message) == (State.CANCELLED, "Cancelled.")


async def test_code_that_never_looks_is_waited_for() -> None:
    async with progrock.track("Import", owner=ME) as job:
        await says(job.id, lambda snapshot: snapshot.heard)
        await jobs.acancel(job.id, owner=ME)
        seen = await says(job.id, lambda snapshot: snapshot.message == "It was asked to stop.")
        assert seen.state is State.CANCELLING
        job.report(1, total=2)
        assert (await says(job.id, lambda snapshot: snapshot.percent == 50)).state is State.CANCELLING
    end = await end_of(job.id)
    assert (end.state, end.message) == (State.SUCCEEDED, "It was finished before it could be cancelled.")


@pytest.mark.parametrize("way", ["iterate", "report", "advance"])
async def test_a_cancel_interrupts_code_that_wants_it(way: str) -> None:
    async with progrock.track("Import", owner=ME, interrupt=True) as job:
        await says(job.id, lambda snapshot: snapshot.heard)
        await jobs.acancel(job.id, owner=ME)
        items = job.iterate(iter(lambda: None, 1))
        ways = {"iterate": lambda: next(items), "report": job.report, "advance": job.advance}
        await until(ways[way])  # None of them ever returns anything else.
    assert (await end_of(job.id)).state is State.CANCELLED


async def test_a_cancelled_of_somebody_elses_is_an_error() -> None:
    with pytest.raises(Cancelled):
        async with progrock.track("Import", owner=ME) as job:
            raise Cancelled("another")
    assert (await end_of(job.id)).state is State.FAILED


async def test_code_may_say_itself_that_it_was_stopped_or_has_failed() -> None:
    async with progrock.track("Import", owner=ME) as job:
        job.fail("No rows.")
    end = await end_of(job.id)
    assert (end.state, end.message) == (State.FAILED, "No rows.")
    async with progrock.track("Import", owner=ME) as job:
        await says(job.id, lambda snapshot: snapshot.heard)
        await jobs.acancel(job.id, owner=ME)
        job.stop("As you wish.")
    assert (await end_of(job.id)).message == "As you wish."


async def test_the_same_id_or_key_is_the_same_job() -> None:
    async with progrock.track("Import", owner=ME, job="nightly 7", key="k") as job:
        async with progrock.track("Import", owner=ME, job="nightly 7") as same:
            assert same.id == job.id
        async with progrock.track("Another", owner=ME, key="k") as same:
            assert same.id == job.id
    assert (await end_of(job.id)).state is State.SUCCEEDED
    again = progrock.track("Import", owner=ME, job="nightly 7")
    async with again as same:
        same.report(1)
    assert again.id == job.id
    with pytest.raises(NotFound, match="a tracked job of this owner"):
        async with progrock.track("Import", owner="other", job=job.id):
            raise AssertionError("expected to be refused")


@pytest.mark.parametrize("services", [{"scripted": {"BACKEND": "tests.scripted.ScriptedService"}}])
async def test_a_job_of_another_service_is_not_taken_over() -> None:
    taken = (await jobs.astart(owner=ME)).job
    with pytest.raises(NotFound):
        await progrock.push.acreate("Import", owner=ME, job=taken)


async def test_owners_are_users_requests_or_text() -> None:
    user = await get_user_model().objects.acreate(username="me")
    async with progrock.track("Import", owner=user) as job:
        pass
    assert (await Job.objects.aget(pk=job.id)).owner == f"user:{user.pk}"
    for nobody in (None, 7, get_user_model()(), ""):
        with pytest.raises(Invalid, match="owner: expected"):
            progrock.track("Import", owner=nobody)


async def test_what_cannot_be_kept_is_refused_where_it_is_said() -> None:
    async with progrock.track("Import", owner=ME) as job:
        for refused in (
            lambda: job.log("loud", "x"),
            lambda: job.log("info", "x", data=object()),
            lambda: job.part("x" * 5_000),
            lambda: job.complete({"a": float}),
            lambda: job.complete("x" * (1 << 20)),
        ):
            with pytest.raises(Invalid, match="expected"):
                refused()
        job.part([1, 2], "The first rows")
    assert (await end_of(job.id)).state is State.SUCCEEDED
    (line,) = await jobs.ajournal(job.id, owner=ME)
    assert (line.text, line.data) == ("The first rows", [1, 2])


async def test_what_is_no_number_is_logged_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with progrock.track("Import", owner=ME) as job:
            job.report("many", total=float("nan"), percent=10**400, message="On the way")  # type: ignore[arg-type]
            seen = await says(job.id, lambda snapshot: snapshot.message == "On the way")
            assert seen.percent is None
    assert "done: expected a number, got 'many'" in caplog.text
    assert (await end_of(job.id)).state is State.SUCCEEDED


async def test_a_thousand_lines_at_once_are_all_told_and_more_are_counted() -> None:
    async with progrock.track("Import", owner=ME) as job:
        for n in range(tracked.LINES_MOST + 50):
            job.log("info", str(n))
    await end_of(job.id)
    kept = await jobs.ajournal(job.id, owner=ME)
    texts = [line.text for line in kept]
    missing = [text for text in texts if "lines are missing here" in text]
    assert texts[-1] == str(tracked.LINES_MOST + 49)
    assert [line.n for line in kept] == list(range(kept[0].n, kept[0].n + len(kept)))
    gone = sum(int(text.split()[0]) for text in missing)
    assert len({*texts} - {*missing}) >= min(1_000 - len(missing), tracked.LINES_MOST + 50 - gone)


async def test_while_nobody_takes_it_the_code_goes_on_and_the_end_is_told_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put = MemoryInbox.put
    away = True

    async def refuse(self: MemoryInbox, *said: Any, **more: Any) -> Any:
        if away:
            raise StoreAway("away")
        return await put(self, *said, **more)

    monkeypatch.setattr(MemoryInbox, "put", refuse)
    monkeypatch.setattr(tracked, "LINGER", 0.3)
    began = time.monotonic()
    async with progrock.track("Import", owner=ME) as job:
        job.log("info", "said into the void")
        for _ in job.iterate(range(100)):
            pass
    assert time.monotonic() - began < 8
    away = False
    end = await end_of(job.id)
    assert (end.state, end.percent) == (State.SUCCEEDED, 100)
    assert [line.text for line in await jobs.ajournal(job.id, owner=ME)] == ["said into the void"]


async def test_to_queue_a_job_takes_no_longer_while_nobody_takes_note(monkeypatch: pytest.MonkeyPatch) -> None:
    put = MemoryInbox.put
    away = True

    async def refuse(self: MemoryInbox, *said: Any, **more: Any) -> Any:
        if away:
            raise StoreAway("away")
        return await put(self, *said, **more)

    monkeypatch.setattr(MemoryInbox, "put", refuse)
    job = str(uuid.uuid4())
    began = time.monotonic()
    progrock.push.queued("Import", owner=ME, job=job)
    assert time.monotonic() - began < 8
    assert (await jobs.aget(job, owner=ME)).title == "Import"
    away = False
    await says(job, lambda snapshot: snapshot.message == "Waiting for its turn.")
    async with progrock.track("Import", owner=ME, job=job):
        await sync_to_async(progrock.push.queued)("Import", owner=ME, job=job)  # says nothing new
    assert (await end_of(job)).state is State.SUCCEEDED


QUICK = {"interval": 10, "net": 20, "retry": 10, "retry_most": 50, "patience": 4_000}


@pytest.mark.parametrize("services", [{"track": {"OPTIONS": {"quiet": 100}, "POLICY": QUICK}}])
async def test_code_that_is_not_heard_is_quiet_and_then_lost() -> None:
    job = (await progrock.push.acreate("Import", owner=ME)).job
    assert (await says(job, lambda snapshot: snapshot.heard)).message == "Waiting for its turn."
    await progrock.push.areport(job, percent=40)
    quiet = await says(job, lambda snapshot: snapshot.misses)
    assert (quiet.state, quiet.message, quiet.percent) == (State.RUNNING, "Its code is not heard any more.", 40)
    end = await end_of(job)
    assert end.error
    assert (end.error.code, end.percent) == ("lost", 40)


async def test_a_job_is_reported_by_its_id_from_anywhere() -> None:
    job = (await progrock.push.acreate("Import", owner=ME, key="k")).job
    assert (await progrock.push.acreate("Import", owner=ME, key="k")).job == job
    assert await progrock.push.areport(job, 1, total=4) is False
    await says(job, lambda snapshot: snapshot.percent == 25)
    await in_a_thread(lambda: progrock.push.report(job, 2, message="Half of it"))
    await says(job, lambda snapshot: snapshot.percent == 50 and snapshot.message == "Half of it")
    await progrock.push.alog(job, "error", "one")
    await progrock.push.apart(job, {"rows": 2})
    assert await progrock.push.abeat(job) is False
    await progrock.push.acomplete(job, {"rows": 4})
    assert (await end_of(job)).result == {"rows": 4}
    assert [(line.level, line.text) for line in await jobs.ajournal(job, owner=ME)] == [("error", "one"), ("info", "")]


@pytest.mark.parametrize(
    ("end", "state"), [(progrock.push.afail, State.FAILED), (progrock.push.astop, State.CANCELLED)]
)
async def test_it_ends_by_its_id_too(end: Any, state: State) -> None:
    job = (await progrock.push.acreate("Import", owner=ME)).job
    await end(job, "No rows.")
    ended = await end_of(job)
    assert (ended.state, ended.message) == (state, "No rows.")


async def test_what_waits_for_its_turn_is_cancelled_at_once() -> None:
    job = (await progrock.push.acreate("Import", owner=ME)).job
    await says(job, lambda snapshot: snapshot.heard)
    await jobs.acancel(job, owner=ME)
    assert (await end_of(job)).state is State.CANCELLED
    async with progrock.track("Import", owner=ME, job=job) as late:
        pass
    assert late.id == job


async def test_a_job_that_rests_is_not_silent_and_is_gone_on_with_by_its_id() -> None:
    async with progrock.track("Import", owner=ME) as job:
        job.report(1, total=2)
        job.log("info", "Half of it")
        job.rest("Until tomorrow.")
    (said,) = await registry.inbox().read([job.id])
    assert said
    assert said.waiting
    assert (await says(job.id, lambda snapshot: snapshot.message == "Until tomorrow.")).lines == 1
    async with progrock.track("Import", owner=ME, job=job.id) as again:
        again.report(2, message="")
    assert ((await end_of(job.id)).state, again.id) == (State.SUCCEEDED, job.id)


@pytest.mark.parametrize("interrupt", [True, False])
async def test_what_was_cancelled_while_it_rested_knows_it_when_it_goes_on(interrupt: bool) -> None:
    async with progrock.track("Import", owner=ME) as job:
        job.rest("Until tomorrow.")
    await says(job.id, lambda snapshot: snapshot.message == "Until tomorrow.")
    await jobs.acancel(job.id, owner=ME)
    async with progrock.track("Import", owner=ME, job=job.id, interrupt=interrupt) as again:
        assert again.cancelled
        if interrupt:
            with pytest.raises(Cancelled):
                again.report(2)
    assert (await end_of(job.id)).state is State.CANCELLED


async def test_ids_that_are_none_are_refused() -> None:
    with pytest.raises(NotFound):
        await progrock.push.areport("no id", 1)
    assert await registry.inbox().read([str(uuid.uuid4())]) == [None]


async def test_nobody_starts_or_repeats_it_from_outside() -> None:
    with pytest.raises(InvalidParams, match="code of its own"):
        await jobs.astart("track", owner=ME)
    job = (await progrock.push.acreate("Import", owner=ME)).job
    await progrock.push.afail(job, "no")
    await end_of(job)
    with pytest.raises(InvalidParams, match="code of its own"):
        await jobs.aretry(job, owner=ME)
