"""What nobody should do with tracked code, and somebody will."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any

import msgspec
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy

import progrock
from progrock import jobs, registry, standing
from progrock.delay import MemoryStore, StoreAway
from progrock.exceptions import Invalid, NotFound
from progrock.inbox import MemoryInbox, Report
from progrock.models import Job
from progrock.protocol import State
from progrock.push import reporter, rows, tracked
from tests.conftest import until
from tests.push.conftest import ME, end_of
from tests.push.test_tracked import says

pytestmark = pytest.mark.usefixtures("engine")


class Odd:
    """As a tensor of two numbers is."""

    def __float__(self) -> float:
        raise RuntimeError("only one element can be converted")


@pytest.mark.parametrize(
    ("said", "shown"), [("\ud800\0rows", "rows"), (7, "7"), (gettext_lazy("Done."), "Done."), (Odd, f"{Odd}")]
)
async def test_whatever_a_message_and_a_title_are_they_are_told_as_text(
    monkeypatch: pytest.MonkeyPatch, said: Any, shown: str
) -> None:
    put = MemoryInbox.put

    async def encoded(self: MemoryInbox, job: str, report: Report | None = None, *said: Any, **more: Any) -> Any:
        if report is not None:
            report = msgspec.msgpack.decode(msgspec.msgpack.encode(report), type=Report)
        return await put(self, job, report, *said, **more)

    monkeypatch.setattr(MemoryInbox, "put", encoded)
    async with progrock.track("Import", owner=ME) as job:
        job.report(Odd(), total=Odd(), message=said, title=said)  # type: ignore[arg-type]
        seen = await says(job.id, lambda snapshot: snapshot.message == shown)
        assert seen.title == shown
    assert (await end_of(job.id)).state is State.SUCCEEDED
    other = (await progrock.push.acreate("Import", owner=ME)).job
    await progrock.push.areport(other, Odd(), message=said, title=said)  # type: ignore[arg-type]
    assert (await says(other, lambda snapshot: snapshot.message == shown)).title == shown


async def test_a_result_that_postgresql_refuses_is_refused_where_it_is_said() -> None:
    async with progrock.track("Import", owner=ME) as job:
        with pytest.raises(Invalid, match="NUL"):
            job.complete({"name": "a\0b"})
    assert (await end_of(job.id)).state is State.SUCCEEDED


async def test_a_coroutine_that_is_cancelled_while_it_begins_leaves_no_job_that_never_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    insert, inserting, go = rows.insert, threading.Event(), threading.Event()

    def slowly(*row: Any) -> Job:
        inserting.set()
        assert go.wait(10)
        return insert(*row)

    monkeypatch.setattr(tracked, "insert", slowly)
    block = progrock.track("Import", owner=ME)

    async def work() -> None:
        async with block:
            raise AssertionError("expected to be cancelled before")

    working = asyncio.ensure_future(work())
    await until(inserting.is_set)
    working.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await working
    await until(lambda: Job.objects.filter(pk=block.id).aexists())
    assert (await end_of(block.id)).state is State.FAILED


async def test_any_number_of_blocks_may_be_left_at_once_while_nobody_takes_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put = MemoryInbox.put
    away = True

    async def refuse(self: MemoryInbox, *said: Any, **more: Any) -> Any:
        if away:
            raise StoreAway("away")
        return await put(self, *said, **more)

    monkeypatch.setattr(MemoryInbox, "put", refuse)
    monkeypatch.setattr(tracked, "LINGER", 0.5)
    left: list[float] = []
    inside = asyncio.Barrier(50)

    async def work() -> None:
        async with progrock.track("Import", owner=ME):
            await inside.wait()
            began = time.monotonic()
        left.append(time.monotonic() - began)

    await asyncio.gather(*(work() for _ in range(50)))
    away = False
    assert max(left) < 10  # one after the other would take 25


@pytest.mark.parametrize("services", [{"track": {"POLICY": {"net": 60_000}}}])
async def test_what_was_created_elsewhere_is_seen_to_begin_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    job = (await progrock.push.acreate("Import", owner=ME)).job
    await says(job, lambda snapshot: snapshot.due and snapshot.due - snapshot.at > 3_000)
    monkeypatch.setattr("progrock.push.telling.BEAT", 60)
    async with progrock.track("Import", owner=ME, job=job):
        # Long before the safety net's next look.
        await says(job, lambda snapshot: snapshot.message != "Waiting for its turn.")


async def test_a_block_is_entered_once() -> None:
    block = progrock.track("Import", owner=ME)
    async with block:
        pass
    with pytest.raises(RuntimeError, match="expected to be entered once"):
        async with block:
            raise AssertionError("expected not to be entered again")
    with pytest.raises(RuntimeError, match="expected to be entered once"), block:
        raise AssertionError("expected not to be entered again")
    assert (await end_of(block.id)).state is State.SUCCEEDED


async def test_what_is_over_is_not_gone_on_with_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    async with progrock.track("Import", owner=ME, job="nightly"):
        pass
    await end_of(str(progrock.track("Import", owner=ME, job="nightly").id))
    with caplog.at_level(logging.WARNING):
        async with progrock.track("Import", owner=ME, job="nightly") as job:
            pass
    assert f"Job {job.id} was over before its block began" in caplog.text


async def test_a_request_is_an_owner_in_an_async_view_too() -> None:
    user = await get_user_model().objects.acreate(username="me")
    request = RequestFactory().get("/")
    for make in (progrock.push.acreate, None):
        request.user = SimpleLazyObject(lambda: get_user_model().objects.get(pk=user.pk))  # type: ignore[assignment]
        if make:
            job = (await make("Import", owner=request)).job
        else:
            async with progrock.track("Import", owner=request) as block:
                job = block.id
        assert (await Job.objects.aget(pk=job)).owner == f"user:{user.pk}"


async def test_lines_go_on_where_the_journal_is_when_the_inbox_was_emptied() -> None:
    async with progrock.track("Import", owner=ME) as job:
        for n in range(5):
            job.log("info", f"before {n}")
        await says(job.id, lambda snapshot: snapshot.lines == 5)
        registry.inbox()._boxes.clear()  # type: ignore[attr-defined]
        job.log("info", "after")
        await says(job.id, lambda snapshot: snapshot.lines == 6)
        job.log("info", "and another")
    await end_of(job.id)
    assert [line.text for line in await jobs.ajournal(job.id, owner=ME)][-3:] == ["before 4", "after", "and another"]


async def test_code_hears_of_a_cancel_that_came_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = MemoryStore.schedule
    away = True

    async def refuse(self: MemoryStore, *entries: Any) -> Any:
        if away:
            raise StoreAway("away")
        return await schedule(self, *entries)

    monkeypatch.setattr(MemoryStore, "schedule", refuse)
    async with progrock.track("Import", owner=ME) as job:
        await jobs.acancel(job.id, owner=ME)
        away = False
        await until(lambda: job.cancelled)
    assert (await end_of(job.id)).state is State.CANCELLED


async def test_what_others_end_does_not_make_a_job_say_more(monkeypatch: pytest.MonkeyPatch) -> None:
    puts: list[str] = []
    put = MemoryInbox.put

    async def count(self: MemoryInbox, job: str, *said: Any, **more: Any) -> Any:
        puts.append(job)
        return await put(self, job, *said, **more)

    monkeypatch.setattr(MemoryInbox, "put", count)
    async with progrock.track("Import", owner=ME) as long:
        began = time.monotonic()
        for n in range(30):
            long.report(n)
            async with progrock.track("Import", owner=ME):
                pass
        took = time.monotonic() - began
    assert puts.count(long.id) <= took / reporter.TICK * 2 + 3


async def test_a_thread_that_goes_on_to_log_does_not_keep_the_end_back() -> None:
    ended = threading.Event()
    with progrock.track("Import", owner=ME) as job:

        def chatter() -> None:
            while not ended.wait(0.0005):
                for _ in range(50):
                    job.log("info", "still here")

        thread = threading.Thread(target=chatter)
        thread.start()
        await until(lambda: len(job._lines) == tracked.LINES_MOST)
        job.complete()
    try:
        assert job.over
    finally:
        ended.set()
        thread.join()


async def test_a_thread_that_cannot_begin_is_begun_with_the_next_job(monkeypatch: pytest.MonkeyPatch) -> None:
    made = reporter.Reporter()
    monkeypatch.setattr(tracked, "reporter", lambda: made)
    start = threading.Thread.start

    def none_left(self: threading.Thread) -> None:
        if self.name == "progrock":
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", none_left)
    with pytest.raises(RuntimeError):
        async with progrock.track("Import", owner=ME):
            raise AssertionError("expected not to begin")
    monkeypatch.setattr(threading.Thread, "start", start)
    async with progrock.track("Import", owner=ME) as job:
        pass
    assert (await end_of(job.id)).state is State.SUCCEEDED
    await sync_to_async(made.finish)()


async def test_embedded_code_of_another_process_is_told_where_to_run() -> None:
    job = await sync_to_async(rows.insert)(rows.new_row("Import", owner=ME), lambda row: None)
    await registry.store().schedule([standing.entry_for(job, 0)])
    assert (await says(str(job.pk), lambda snapshot: snapshot.misses)).message.endswith("run in the web process.")


async def test_an_exception_that_has_no_words_ends_its_job_too() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise UnicodeError("not even this")

    with pytest.raises(Mute):
        async with progrock.track("Import", owner=ME) as job:
            raise Mute
    end = await end_of(job.id)
    assert (end.state, end.message) == (State.FAILED, "Mute")


async def test_what_is_no_number_is_logged_once_a_second_at_most(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with progrock.track("Training", owner=ME) as job:
            began = time.monotonic()
            job.report(percent=float("nan"))
            for n in range(5):
                job.report(message=str(n))
                await says(job.id, lambda snapshot: snapshot.message == job._message)
    assert 1 <= caplog.text.count("expected a number") <= time.monotonic() - began + 1


@pytest.mark.parametrize("services", [{"scripted": {"BACKEND": "tests.scripted.ScriptedService"}}])
async def test_a_key_of_a_job_of_another_service_does_not_lead_to_it() -> None:
    await jobs.astart(owner=ME, key="nightly")
    with pytest.raises(NotFound, match="Expected an id and a key that are new"):
        await progrock.push.acreate("Import", owner=ME, key="nightly")


async def test_counting_in_many_threads_loses_nothing() -> None:
    with progrock.track("Import", owner=ME, total=400_000) as job:

        def count() -> None:
            for _ in range(50_000):
                job.advance()

        threads = [threading.Thread(target=count) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert job.done == 400_000
