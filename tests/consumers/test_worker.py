"""The worker: a job's whole life, and everything that can come in between."""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.db import DatabaseError, DataError, InterfaceError
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.test import RequestFactory
from django.utils import timezone

from progrock import jobs, reconcile, registry, signals, standing, updates
from progrock.access import ensure_owner, owner_of_scope
from progrock.consumers.ends import Ends
from progrock.consumers.starts import Starts
from progrock.consumers.worker import JobWorker
from progrock.delay import Again, Lease, NewEntry
from progrock.embedded import Engine
from progrock.exceptions import NotFound
from progrock.models import Job
from progrock.protocol import Snapshot, State
from progrock.services import Order, Started
from progrock.step import Miss, Reading
from progrock.updates import hub
from tests.conftest import until
from tests.consumers.conftest import POLICY
from tests.ear import Ear
from tests.scripted import Remote, ScriptedService

pytestmark = pytest.mark.usefixtures("engine")
RUNNING = Reading(State.RUNNING, 30, "Working")


async def end_of(job: str, owner: str = "me") -> Snapshot:
    async def ended() -> bool:
        return (await jobs.aget(job, owner=owner)).complete

    await until(ended)
    return await jobs.aget(job, owner=owner)


async def nothing_left(job: str) -> bool:
    return await registry.store().peek([job]) == [None]


async def test_a_job_runs_from_its_start_to_its_end(remote: Remote) -> None:
    remote.default = [Reading(State.RUNNING, 20, "Warm"), Reading(State.SUCCEEDED, 100, "Fine", result={"n": 1})]
    started = await jobs.astart(params={"title": "A song"}, owner="me")
    assert (started.state, started.progress, started.title, started.service) == (
        State.PENDING,
        0,
        "A song",
        "scripted",
    )
    ended = await end_of(started.job)
    assert (ended.state, ended.progress, ended.message, ended.result) == (State.SUCCEEDED, 100, "Fine", {"n": 1})
    row = await Job.objects.aget(pk=started.job)
    assert row.started
    assert row.finished
    assert (row.remote, row.seq) == (f"r-{started.job}", ended.seq)
    await until(lambda: nothing_left(started.job))
    assert remote.starts == {started.job: 1}


async def test_a_step_reads_and_writes_no_row(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    remote.default = [RUNNING]
    started = await jobs.astart(owner="me")
    await until(lambda: len(remote.polls) >= 2)
    queries: list[str] = []
    execute = QuerySet._fetch_all

    def watched(self: QuerySet[Any]) -> None:
        queries.append(str(self.query))
        execute(self)

    monkeypatch.setattr(QuerySet, "_fetch_all", watched)
    monkeypatch.setattr(QuerySet, "update", lambda self, **kwargs: queries.append("UPDATE"))
    seen = len(remote.polls)
    await until(lambda: len(remote.polls) >= seen + 10)
    assert [query for query in queries if started.job.replace("-", "") in query or query == "UPDATE"] == []


async def test_many_jobs_are_polled_with_few_calls(remote: Remote) -> None:
    remote.default = [RUNNING]
    for _ in range(30):
        await jobs.astart(owner="me")
    await until(lambda: sum(remote.starts.values()) == 30)
    await until(lambda: any(len(batch) >= 10 for batch in remote.polls))


async def test_one_slow_service_call_does_not_hold_up_others(remote: Remote) -> None:
    remote.default = [RUNNING]
    slow = await jobs.astart(owner="me")
    await until(lambda: len(remote.polls) >= 1)
    remote.gate.clear()
    polls = len(remote.polls)
    await until(lambda: len(remote.polls) > polls)
    remote.starts.clear()
    remote.gate.set()
    quick = await jobs.astart(owner="me")
    await until(lambda: remote.starts[quick.job] == 1)
    assert not (await jobs.aget(slow.job, owner="me")).complete


async def test_a_start_that_is_not_answered_is_tried_again(remote: Remote) -> None:
    remote.start_look = [Miss("unreachable", "Nobody there.")] * 3
    started = await jobs.astart(owner="me")
    assert (await end_of(started.job)).state is State.SUCCEEDED
    assert remote.starts == {started.job: 1}


@pytest.mark.parametrize("policy", [POLICY | {"patience": 2_000}])
async def test_a_service_that_is_down_is_said_and_then_given_up(remote: Remote) -> None:
    remote.default = [RUNNING, Miss("unreachable", "Nobody there.")]
    started = await jobs.astart(owner="me")
    seen: list[Snapshot] = []

    async def retrying() -> bool:
        seen.append(await jobs.aget(started.job, owner="me"))
        return seen[-1].misses > 1

    await until(retrying)
    assert (seen[-1].state, seen[-1].message) == (State.RUNNING, "Nobody there.")
    ended = await end_of(started.job)
    assert ended.error is not None
    assert (ended.state, ended.error.code, ended.progress) == (State.FAILED, "unreachable", 30)
    assert ended.message.startswith("Gave up after")


async def test_an_adapter_that_raises_fails_its_job_and_no_other(
    remote: Remote, caplog: pytest.LogCaptureFixture
) -> None:
    broken = await jobs.astart(params={"title": "broken"}, owner="me")
    remote.looks[f"r-{broken.job}"] = [RuntimeError("a bug")]
    ended = await end_of(broken.job)
    assert ended.error is not None
    assert ended.error.code == "nonsense"
    assert "RuntimeError: a bug" in caplog.text
    assert (await end_of((await jobs.astart(owner="me")).job)).state is State.SUCCEEDED


async def test_a_cancel_is_told_to_the_service(remote: Remote) -> None:
    remote.default = [RUNNING]
    started = await jobs.astart(owner="me")
    await until(lambda: len(remote.polls) > 2)
    asked = await jobs.acancel(started.job, owner="me")
    assert asked.state is State.CANCELLING
    assert (await end_of(started.job)).state is State.CANCELLED
    assert remote.cancels == [f"r-{started.job}"]
    await until(lambda: nothing_left(started.job))


async def test_a_cancel_during_the_start_stops_what_was_started(remote: Remote) -> None:
    remote.gate.clear()
    started = await jobs.astart(owner="me")

    async def begun() -> bool:
        return (await Job.objects.aget(pk=started.job)).state == State.RUNNING

    await until(begun)
    await jobs.acancel(started.job, owner="me")
    remote.gate.set()
    assert (await end_of(started.job)).state is State.CANCELLED
    assert remote.cancels == [f"r-{started.job}"]


async def test_a_cancel_before_the_start_never_reaches_the_service(remote: Remote) -> None:
    now = timezone.now()
    row = await Job.objects.acreate(service="scripted", owner="me", created=now, changed=now)
    await jobs.acancel(row.pk, owner="me")
    await reconcile.mend([await Job.objects.aget(pk=row.pk)])
    ended = await end_of(str(row.pk))
    assert (ended.state, ended.message) == (State.CANCELLED, "Cancelled before it began.")
    assert not remote.starts
    assert not remote.cancels


async def test_a_cancel_after_the_end_changes_nothing(remote: Remote) -> None:
    started = await jobs.astart(owner="me")
    ended = await end_of(started.job)
    assert await jobs.acancel(started.job, owner="me") == ended


async def test_a_cancel_that_comes_too_late_is_told_so(remote: Remote) -> None:
    remote.default = [RUNNING]
    remote.cancel_look = Reading(State.SUCCEEDED)
    started = await jobs.astart(owner="me")
    await until(lambda: remote.polls)
    await jobs.acancel(started.job, owner="me")
    ended = await end_of(started.job)
    assert (ended.state, ended.message) == (State.SUCCEEDED, "It was finished before it could be cancelled.")


async def test_a_restart_goes_on_where_the_remote_is(remote: Remote) -> None:
    """After a restart the schedule is empty: all there is are the rows."""
    now = timezone.now()
    row = await Job.objects.acreate(
        service="scripted",
        owner="me",
        state=State.RUNNING,
        remote="r-old",
        created=now,
        changed=now,
        started=now,
        seq=5,
    )
    remote.looks["r-old"] = [Reading(State.RUNNING, 77), Reading(State.SUCCEEDED)]
    await reconcile.mend([row])
    assert (await end_of(str(row.pk))).state is State.SUCCEEDED
    assert not remote.starts


async def test_a_start_whose_record_was_lost_is_made_again_with_the_same_key(remote: Remote) -> None:
    now = timezone.now()
    row = await Job.objects.acreate(
        service="scripted", owner="me", state=State.RUNNING, created=now, changed=now, started=now
    )
    await reconcile.mend([row])
    await end_of(str(row.pk))
    assert remote.starts == {str(row.pk): 1}


async def test_an_entry_without_a_row_is_dropped(remote: Remote) -> None:
    ghost = Job(pk=uuid.uuid4(), service="scripted", owner="me", created=timezone.now(), changed=timezone.now())
    await registry.store().schedule([standing.entry_for(ghost, 0)])
    await until(lambda: nothing_left(str(ghost.pk)))
    assert not remote.starts


@pytest.mark.parametrize(
    "message",
    [b"\xc1 poison", b"\x82\xa4type\xa3run\xa5owner\xa1\xff", b"\x82\xa4type\xa3run\xa1x" + b"\x91" * 100_000],
)
async def test_an_entry_that_makes_no_sense_is_dropped_and_made_again(
    remote: Remote, caplog: pytest.LogCaptureFixture, message: bytes
) -> None:
    now = timezone.now()
    row = await Job.objects.acreate(service="scripted", owner="me", created=now, changed=now)
    held = NewEntry(str(row.pk), registry.CHANNEL, message, 60_000)
    await registry.store().schedule([held])
    assert not (await jobs.aget(row.pk, owner="me")).complete
    row.state = State.CANCELLING
    assert await reconcile.mend([row]) == (0, 1)
    row.state = State.PENDING
    await until(lambda: nothing_left(str(row.pk)))
    assert "makes no sense" in caplog.text
    await reconcile.mend([row])
    assert (await end_of(str(row.pk))).state is State.SUCCEEDED


async def test_an_entry_that_is_no_jobs_spoils_no_others_step(remote: Remote) -> None:
    row = await Job.objects.acreate(service="scripted", owner="me", created=timezone.now(), changed=timezone.now())
    new = standing.entry_for(row, 0)
    stray = NewEntry("no id", new.channel, new.message)
    await registry.store().schedule([stray, new])
    assert (await end_of(str(row.pk))).state is State.SUCCEEDED
    await until(lambda: nothing_left("no id"))


async def test_a_row_that_cannot_be_read_spoils_no_others_step(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("progrock.delay.consumer.random.randint", lambda low, high: 1)
    now = timezone.now()
    bad, good = [await Job.objects.acreate(service="scripted", owner="me", created=now, changed=now) for _ in range(2)]
    rows = JobWorker._rows

    async def read(self: JobWorker, keys: list[str]) -> dict[str, Job | None]:
        if str(bad.pk) in keys:
            raise RecursionError("nested too deep")
        return await rows(self, keys)

    monkeypatch.setattr(JobWorker, "_rows", read)
    await registry.store().schedule([standing.entry_for(row, 0) for row in (bad, good)])
    assert (await end_of(str(good.pk))).state is State.SUCCEEDED
    ended = await end_of(str(bad.pk))
    assert ended.error is not None
    assert ended.error.code == "lost"


async def test_a_step_that_takes_its_workers_down_is_given_up(remote: Remote) -> None:
    now = timezone.now()
    row = await Job.objects.acreate(
        service="scripted", owner="me", state=State.RUNNING, remote="r-x", created=now, changed=now, started=now
    )
    store = registry.store()
    new = standing.entry_for(row, 60_000)
    (due,) = await store.schedule([new])
    assert due is not None
    (held,) = await store.renew([Lease(new.key, new.channel, new.message, due, due, due)], 60_000, "a test")
    assert held is not None
    await store.settle([(held, Again(0, attempt=6))])
    ended = await end_of(str(row.pk))
    assert ended.error is not None
    assert ended.error.code == "lost"
    assert remote.polls == []
    await until(lambda: remote.cancels == ["r-x"])  # nobody waits for it any more


async def test_a_row_that_does_not_know_its_remote_job_is_told_by_the_entry(remote: Remote) -> None:
    """Until its end, only the entry would know: with Redis that would be lost too, and the job perhaps begun twice."""
    remote.default = [RUNNING]
    now = timezone.now()
    row = await Job.objects.acreate(
        service="scripted", owner="me", state=State.RUNNING, created=now, changed=now, started=now
    )
    row.remote = "r-x"
    new = standing.entry_for(row, 0)
    await registry.store().schedule([new])
    await until(lambda: Job.objects.filter(pk=row.pk, remote="r-x", state=State.RUNNING).aexists())
    assert not remote.starts


async def test_a_service_that_is_gone_from_the_settings_fails_its_jobs(remote: Remote) -> None:
    now = timezone.now()
    row = await Job.objects.acreate(service="removed", owner="me", created=now, changed=now)
    await reconcile.mend([row])
    ended = await end_of(str(row.pk))
    assert ended.error is not None
    assert ended.error.code == "config"


async def test_a_database_that_is_away_delays_the_end_and_loses_nothing(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = QuerySet.update
    failures = 3

    def flaky(self: QuerySet[Any], **kwargs: Any) -> int:
        nonlocal failures
        if kwargs.get("state") is State.SUCCEEDED and failures:
            failures -= 1
            raise DatabaseError("the database is away")
        return update(self, **kwargs)

    monkeypatch.setattr(QuerySet, "update", flaky)
    monkeypatch.setattr("progrock.consumers.outcomes.random.randint", lambda low, high: 5)
    ended = await end_of((await jobs.astart(owner="me")).job)
    assert (ended.state, failures) == (State.SUCCEEDED, 0)


async def test_who_wants_to_know_is_told_after_the_commit(remote: Remote) -> None:
    told: list[tuple[str, str]] = []

    async def listener(sender: object, job: str, snapshot: Snapshot, **kwargs: Any) -> None:
        told.append((snapshot.state, (await Job.objects.aget(pk=job)).state))

    def broken(sender: object, **kwargs: Any) -> None:
        raise ValueError("a listener's own trouble")

    signals.finished.connect(broken)
    signals.finished.connect(listener)
    try:
        started = await jobs.astart(owner="me")
        await until(lambda: nothing_left(started.job))
    finally:
        signals.finished.disconnect(listener)
        signals.finished.disconnect(broken)
    assert told == [(State.SUCCEEDED, State.SUCCEEDED)]


class TestDeadline:
    @pytest.fixture
    def policy(self, policy: dict[str, Any]) -> dict[str, Any]:
        return policy | {"deadline": 60}

    async def test_a_job_that_never_ends_is_ended_and_stopped(self, remote: Remote) -> None:
        remote.default = [RUNNING]
        started = await jobs.astart(owner="me")
        ended = await end_of(started.job)
        assert ended.error is not None
        assert ended.error.code == "deadline"
        await until(lambda: remote.cancels == [f"r-{started.job}"])


async def a_row(**fields: Any) -> Job:
    now = timezone.now()
    kept = {"service": "scripted", "owner": "me", "created": now, "changed": now, "started": now}
    return await Job.objects.acreate(**{**kept, "state": State.RUNNING, "remote": "r-old", **fields})


@pytest.mark.parametrize("state", [State.RUNNING, State.CANCELLING])
async def test_a_remote_that_is_away_at_a_restart_has_all_our_patience(remote: Remote, state: State) -> None:
    row = await a_row(state=state)
    away = Miss("unreachable", "Nobody there.")
    remote.looks["r-old"] = [away, away, Reading(State.SUCCEEDED)]
    remote.cancel_look = away
    await reconcile.mend([row])
    if state is State.CANCELLING:
        await until(lambda: len(remote.cancels) >= 3)
        remote.cancel_look = Reading(State.CANCELLED)
    ended = await end_of(str(row.pk))
    assert ended.state is (State.SUCCEEDED if state is State.RUNNING else State.CANCELLED)


@pytest.mark.parametrize("method", ["start", "poll"])
async def test_an_adapter_that_is_cancelled_by_itself_is_nonsense(
    remote: Remote, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    async def cancelled(self: ScriptedService, *args: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(ScriptedService, method, cancelled)
    ended = await end_of((await jobs.astart(owner="me")).job)
    assert ended.error is not None
    assert ended.error.code == "nonsense"


async def test_a_job_past_its_deadline_is_stopped_though_the_worker_died_after_the_commit(remote: Remote) -> None:
    now = timezone.now()
    row = await a_row(state=State.FAILED, error="deadline", finished=now)
    await registry.store().schedule([standing.entry_for(row, 0)])
    await until(lambda: nothing_left(str(row.pk)))
    assert remote.cancels == ["r-old"]


async def test_an_adapter_that_raises_once_at_the_start_is_asked_again(remote: Remote) -> None:
    remote.start_look = [RuntimeError("a bug, but not always")]
    ended = await end_of((await jobs.astart(owner="me")).job)
    assert ended.state is State.SUCCEEDED


async def two_running(remote: Remote) -> tuple[str, str]:
    remote.default = [RUNNING]
    one, two = [(await jobs.astart(owner="me")).job for _ in range(2)]
    await until(lambda: any(len(batch) == 2 for batch in remote.polls))
    return one, two


async def test_a_job_that_upsets_the_adapter_suffers_alone(remote: Remote) -> None:
    poison, healthy = await two_running(remote)
    remote.looks[f"r-{poison}"] = [RuntimeError("chokes on this one")]
    assert (await end_of(poison)).state is State.FAILED
    mate = await jobs.aget(healthy, owner="me")
    assert (mate.state, mate.misses) == (State.RUNNING, 0)


async def test_an_adapter_that_miscounts_is_nonsense(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = await two_running(remote)

    async def too_few(self: object, remotes: list[str]) -> list[Reading]:
        return []

    monkeypatch.setattr("tests.scripted.ScriptedService.poll", too_few)
    for job in (one, two):
        error = (await end_of(job)).error
        assert error is not None
        assert error.code == "nonsense"


async def test_a_slow_listener_holds_up_nobody_else(remote: Remote) -> None:
    listening, released = asyncio.Event(), asyncio.Event()

    async def slow(sender: object, **kwargs: Any) -> None:
        listening.set()
        await released.wait()

    signals.finished.connect(slow)
    try:
        one, two = await two_running(remote)
        remote.looks[f"r-{one}"] = [Reading(State.SUCCEEDED)]
        await asyncio.wait_for(listening.wait(), 60)
        polls = len(remote.polls)
        await until(lambda: len(remote.polls) > polls + 3)
        assert [f"r-{two}"] == remote.polls[-1]
    finally:
        released.set()
        signals.finished.disconnect(slow)


async def test_an_adapter_that_never_answers_is_a_miss(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("progrock.consumers.calls.CALL_MOST", 0.05)
    remote.default = [RUNNING]
    job = (await jobs.astart(owner="me")).job
    await until(lambda: remote.polls)
    remote.gate.clear()

    async def missing() -> bool:
        return (await jobs.aget(job, owner="me")).misses > 0

    await until(missing)
    await jobs.acancel(job, owner="me")
    assert (await end_of(job)).state is State.CANCELLED


async def test_a_cancel_is_heard_though_the_database_was_away(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    remote.default = [RUNNING]
    job = (await jobs.astart(owner="me")).job
    other = (await jobs.astart(owner="me")).job
    await until(lambda: any(len(batch) == 2 for batch in remote.polls))
    rows = JobWorker._rows
    failures = 2

    async def away(self: JobWorker, keys: list[str]) -> dict[str, Job | None]:
        nonlocal failures
        if keys and failures:
            failures -= 1
            raise InterfaceError("the connection is gone")
        return await rows(self, keys)

    async def nothing(rows: object) -> tuple[int, int]:
        return 0, 0

    monkeypatch.setattr(reconcile, "mend", nothing)  # which would ask for a look, too
    monkeypatch.setattr(JobWorker, "_rows", away)
    monkeypatch.setattr("progrock.consumers.outcomes.random.randint", lambda low, high: 5)
    await jobs.acancel(job, owner="me")
    await until(lambda: remote.cancels == [f"r-{job}"])
    assert not failures
    assert not (await jobs.aget(other, owner="me")).complete


async def test_what_the_service_called_it_is_kept(remote: Remote) -> None:
    remote.default = [Reading(State.RUNNING, 1, title="Close to the Edge"), Reading(State.SUCCEEDED)]
    job = (await jobs.astart(owner="me")).job
    assert (await end_of(job)).title == "Close to the Edge"
    assert (await Job.objects.aget(pk=job)).title == "Close to the Edge"


async def test_a_remote_that_only_a_cancel_found_is_kept_for_its_file(remote: Remote) -> None:
    row = await a_row(remote="", state=State.CANCELLING)
    remote.starts[str(row.pk)] = 1
    remote.cancel_look = Reading(State.SUCCEEDED, file="audio/wav")
    await reconcile.mend([row])
    assert (await end_of(str(row.pk))).file == "audio/wav"
    assert (await Job.objects.aget(pk=row.pk)).remote == f"r-{row.pk}"


async def test_a_job_that_ended_while_it_was_made_again_stays_ended(remote: Remote) -> None:
    row = await a_row()
    remote.looks["r-old"] = [RUNNING]
    now = timezone.now()
    await Job.objects.filter(pk=row.pk).aupdate(state=State.SUCCEEDED, finished=now, changed=now)
    await registry.store().schedule([standing.entry_for(row, 0)])
    assert (await jobs.aget(row.pk, owner="me")).state is State.SUCCEEDED
    await until(lambda: nothing_left(str(row.pk)))
    assert remote.polls == []


async def test_who_wants_to_know_is_told_though_the_worker_died_after_the_commit(remote: Remote) -> None:
    told: list[str] = []

    async def listener(sender: object, job: str, **kwargs: Any) -> None:
        told.append(job)

    now = timezone.now()
    row = await a_row(state=State.SUCCEEDED, finished=now)
    signals.finished.connect(listener)
    try:
        await registry.store().schedule([standing.entry_for(row, 0)])
        await until(lambda: nothing_left(str(row.pk)))
    finally:
        signals.finished.disconnect(listener)
    assert told == [str(row.pk)]


def nested(depth: int) -> list[Any]:
    inside: list[Any] = []
    for _ in range(depth):
        inside = [inside]
    return inside


@pytest.mark.parametrize("result", [object(), "\ud800", {None: 1}, {(1, 2): 3}, nested(100), nested(100_000)])
async def test_a_result_that_is_no_json_ends_the_job(remote: Remote, result: object) -> None:
    remote.default = [Reading(State.SUCCEEDED, result=result)]
    started = await jobs.astart(owner="me")
    ended = await end_of(started.job)
    assert ended.error is not None
    assert (ended.error.code, ended.result) == ("nonsense", None)
    await until(lambda: nothing_left(started.job))


async def test_a_row_that_cannot_be_told_keeps_no_entry_alive(
    remote: Remote, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # SQLite keeps text that nobody can encode, PostgreSQL does not.
    monkeypatch.setattr(updates, "encode", lambda snapshot: "\ud800".encode())
    row = await a_row(state=State.SUCCEEDED, finished=timezone.now())
    await registry.store().schedule([standing.entry_for(row, 0)])
    await until(lambda: nothing_left(str(row.pk)))
    assert f"Job {row.pk} cannot be told: UnicodeEncodeError" in caplog.text


@pytest.mark.parametrize(
    "look",
    [
        None,
        "running",
        Reading("running"),  # type: ignore[arg-type]
        Reading(State.RUNNING, message=None),  # type: ignore[arg-type]
        Reading(State.RUNNING, title=5),  # type: ignore[arg-type]
        Reading(State.RUNNING, again=0.5),  # type: ignore[arg-type]
        Reading(State.SUCCEEDED, file=b"audio/wav"),  # type: ignore[arg-type]
        Miss("", "No code"),
        Miss("\ud800", "No text"),
        Miss("unreachable", "Later", again=2.5),  # type: ignore[arg-type]
    ],
)
async def test_a_look_that_is_none_is_nonsense(remote: Remote, look: Any) -> None:
    remote.default = [look]
    ended = await end_of((await jobs.astart(owner="me")).job)
    assert ended.error is not None
    assert ended.error.code == "nonsense"


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        *itertools.product(["start", "poll", "cancel"], [None, 7, [], "x"]),
        *itertools.product(["find"], [7, [], "x" * 201]),
    ],
)
async def test_an_adapter_that_answers_something_else_is_nonsense(
    remote: Remote, monkeypatch: pytest.MonkeyPatch, method: str, answer: Any
) -> None:
    async def other(self: ScriptedService, *args: object) -> Any:
        return answer

    remote.default = [RUNNING]
    monkeypatch.setattr(ScriptedService, method, other)
    row = await a_row(remote="" if method in ("start", "find") else "r-old")
    if method == "cancel":
        await jobs.acancel(row.pk, owner="me")
    await reconcile.mend([await Job.objects.aget(pk=row.pk)])
    ended = await end_of(str(row.pk))
    expected = "Cancelled, but the service may go on with it" if method == "cancel" else "The"
    assert ended.message.startswith(expected)
    assert ended.error is None or ended.error.code == "nonsense"


async def test_what_a_miss_says_is_one_line_that_can_be_told(remote: Remote) -> None:
    odd = Miss("unreachable", "No\x00body \ud800 there\n" + "x" * 900)
    remote.default = [RUNNING, odd, odd, Reading(State.SUCCEEDED)]
    started = await jobs.astart(owner="me")
    ear = Ear()
    await hub().watch("me", "", ear)
    assert (await end_of(started.job)).state is State.SUCCEEDED
    await until(lambda: ear.heard and ear.heard[-1].complete)
    await hub().unwatch("me", "", ear)
    messages = {msgspec.json.decode(update.body)["message"] for update in ear.heard}
    assert "No body   there " + "x" * 484 in messages


async def test_a_key_has_one_spelling(remote: Remote) -> None:
    remote.default = [RUNNING]
    job = (await jobs.astart(owner="me")).job
    await until(lambda: remote.polls)
    await jobs.acancel(job.upper(), owner="me")
    assert (await end_of(job)).state is State.CANCELLED
    for nonsense in ("", "x", "../1"):
        with pytest.raises(NotFound):
            await jobs.aget(nonsense, owner="me")


async def test_an_engine_stops_whenever_it_is_told_to(service: None) -> None:
    for turns in range(8):
        registry.store.cache_clear()
        engine = Engine()
        await engine.start()
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.wait_for(engine.stop(), 10)


async def test_a_lease_that_is_lost_has_no_effect_out_there(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    remote.looks["r-old"] = [Reading(State.SUCCEEDED)]
    # Over what the parts of the worker that runs already were given.
    for part in (Ends, Starts):
        monkeypatch.setattr(part, "_holds", property(lambda self: lambda lease: False), raising=False)
    row = await a_row()
    await reconcile.mend([row])
    ear = Ear()
    await hub().watch("me", "", ear)
    fresh = await jobs.astart(owner="me")

    async def begun() -> bool:
        return (await Job.objects.aget(pk=fresh.job)).state == State.RUNNING

    await until(begun)
    await until(lambda: remote.polls)
    await asyncio.sleep(0.1)
    await hub().unwatch("me", "", ear)
    assert [update.seq for update in ear.heard] == [0], "more was shown than that it was asked for"
    assert not remote.starts
    assert (await Job.objects.aget(pk=row.pk)).state == State.RUNNING
    assert (await Job.objects.aget(pk=fresh.job)).state == State.RUNNING


async def test_an_end_is_never_overwritten(remote: Remote) -> None:
    remote.default = [RUNNING]
    job = (await jobs.astart(owner="me")).job
    await until(lambda: len(remote.polls) > 2)
    now = timezone.now()
    await Job.objects.filter(pk=job).aupdate(state=State.CANCELLED, finished=now, changed=now)
    remote.looks[f"r-{job}"] = [Reading(State.SUCCEEDED)]
    await until(lambda: nothing_left(job))
    assert (await Job.objects.aget(pk=job)).state == State.CANCELLED


async def test_a_cancel_between_the_look_at_the_row_and_the_intent_starts_nothing(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = JobWorker._rows

    async def overtaken(self: JobWorker, keys: list[str]) -> dict[str, Job | None]:
        found = await rows(self, keys)
        await Job.objects.filter(pk__in=keys, state=State.PENDING).aupdate(state=State.CANCELLING)
        return found

    monkeypatch.setattr(JobWorker, "_rows", overtaken)
    ended = await end_of((await jobs.astart(owner="me")).job)
    assert (ended.state, ended.message) == (State.CANCELLED, "Cancelled before it began.")
    assert not remote.starts


async def test_what_ended_while_it_was_started_is_stopped_out_there(remote: Remote) -> None:
    remote.gate.clear()
    job = (await jobs.astart(owner="me")).job

    async def begun() -> bool:
        return (await Job.objects.aget(pk=job)).state == State.RUNNING

    await until(begun)
    now = timezone.now()
    await Job.objects.filter(pk=job).aupdate(state=State.FAILED, error="x", finished=now, changed=now)
    remote.gate.set()
    await until(lambda: nothing_left(job))
    assert remote.cancels == [f"r-{job}"]
    assert (await Job.objects.aget(pk=job)).remote == ""


async def test_what_succeeded_meanwhile_under_the_same_name_is_left_alone(remote: Remote) -> None:
    """A worker that was frozen in its start wakes up when another has seen the job through."""
    remote.gate.clear()
    job = (await jobs.astart(owner="me")).job

    async def begun() -> bool:
        return (await Job.objects.aget(pk=job)).state == State.RUNNING

    await until(begun)
    now = timezone.now()
    await Job.objects.filter(pk=job).aupdate(state=State.SUCCEEDED, remote=f"r-{job}", finished=now, changed=now)
    remote.gate.set()
    await until(lambda: nothing_left(job))
    assert remote.starts == {job: 1}
    assert remote.cancels == []


async def test_a_workers_own_clock_moves_no_deadline(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    behind = SimpleNamespace(now=lambda: timezone.now() - timedelta(days=1))
    monkeypatch.setattr("progrock.consumers.starts.timezone", behind)
    monkeypatch.setattr("progrock.consumers.ends.timezone", behind)
    job = await begun(remote)
    # All that is left is the row.
    await registry.store().remove([job])
    polls = len(remote.polls)
    await reconcile.mend([await Job.objects.aget(pk=job)])
    await until(lambda: len(remote.polls) > polls + 2)
    remote.looks[f"r-{job}"] = [Reading(State.SUCCEEDED)]
    assert (await end_of(job)).state is State.SUCCEEDED


async def test_a_remote_is_kept_as_soon_as_it_is_known_and_then_not_started_again(remote: Remote) -> None:
    remote.default = [RUNNING]
    job = (await jobs.astart(owner="me")).job
    await until(lambda: remote.polls)
    row = await Job.objects.aget(pk=job)
    assert row.remote == f"r-{job}"
    before = standing.entry_for(
        Job(pk=row.pk, service="scripted", owner="me", created=row.created, changed=row.changed), 0
    )
    await registry.store().remove([job])
    remote.starts.clear()
    await registry.store().schedule([before])
    polls = len(remote.polls)
    await until(lambda: len(remote.polls) > polls + 2)
    assert not remote.starts


async def forget_the_start(remote: Remote, **fields: object) -> str:
    """Start a job, and let the database lose what it wrote of it since it was created."""
    remote.default = [RUNNING]
    job = (await jobs.astart(owner="me")).job
    await until(lambda: remote.polls)
    await Job.objects.filter(pk=job).aupdate(**{"state": State.PENDING, "started": None, "remote": "", **fields})
    return job


async def test_a_database_that_lost_the_start_keeps_the_end(remote: Remote) -> None:
    job = await forget_the_start(remote)
    remote.looks[f"r-{job}"] = [Reading(State.SUCCEEDED, result={"n": 1})]
    ended = await end_of(job)
    assert (ended.state, ended.result) == (State.SUCCEEDED, {"n": 1})
    row = await Job.objects.aget(pk=job)
    assert row.remote == f"r-{job}"
    assert row.started
    assert row.created - timedelta(seconds=1) < row.started < timezone.now()


async def test_a_start_that_the_database_lost_is_cancelled_out_there(remote: Remote) -> None:
    job = await forget_the_start(remote)
    await jobs.acancel(job, owner="me")
    assert (await end_of(job)).state is State.CANCELLED
    assert remote.cancels == [f"r-{job}"]


@pytest.mark.parametrize("policy", [POLICY | {"expiry": 500_000}])
async def test_what_runs_does_not_expire_though_the_database_lost_its_start(remote: Remote) -> None:
    job = await forget_the_start(remote, created=timezone.now() - timedelta(days=1))
    polls = len(remote.polls)
    await registry.store().nudge([job])
    await until(lambda: len(remote.polls) > polls + 3)
    remote.looks[f"r-{job}"] = [Reading(State.SUCCEEDED)]
    assert (await end_of(job)).state is State.SUCCEEDED


class LaggingCopy:
    """A router to a copy of the jobs that cannot be asked: whoever reads there would be told what was."""

    def db_for_read(self, model: type[Model], **hints: object) -> str | None:
        return "copy" if model is Job else None

    def db_for_write(self, model: type[Model], **hints: object) -> str | None:
        return "default" if model is Job else None


async def test_a_copy_that_lags_is_not_asked(remote: Remote, settings: Any) -> None:
    settings.DATABASE_ROUTERS = ["tests.consumers.test_worker.LaggingCopy"]
    remote.default = [RUNNING]
    job = (await jobs.astart(owner="me", key="k")).job
    await until(lambda: remote.polls)
    assert (await jobs.astart(owner="me", key="k")).job == job
    assert [each.job for each in await jobs.alist_mine(owner="me")] == [job]
    await jobs.acancel(job, owner="me")
    assert (await end_of(job)).state is State.CANCELLED
    assert (await jobs.aretry(job, owner="me")).retry_of == job


@pytest.mark.parametrize("policy", [POLICY | {"cancel_patience": 200}])
async def test_the_patience_for_a_cancel_begins_with_it_and_ends(remote: Remote) -> None:
    away = Miss("unreachable", "Nobody there.")
    remote.default = [RUNNING, away]
    remote.cancel_look = away
    job = (await jobs.astart(owner="me")).job
    await until(lambda: len(remote.polls) > 2)
    await asyncio.sleep(0.25)  # longer than the patience for a cancel
    await jobs.acancel(job, owner="me")
    ended = await end_of(job)
    assert (ended.state, "may go on with it" in ended.message) == (State.CANCELLED, True)
    assert len(remote.cancels) > 1


async def test_a_start_is_shown_before_the_service_has_answered(remote: Remote) -> None:
    ear = Ear()
    await hub().watch("me", "", ear)
    remote.gate.clear()
    await jobs.astart(owner="me")
    await until(lambda: len(ear.heard) == 2)
    await hub().unwatch("me", "", ear)


async def test_a_cancel_of_what_never_reached_the_service_just_ends(remote: Remote) -> None:
    row = await a_row(remote="", state=State.CANCELLING)
    await reconcile.mend([row])
    ended = await end_of(str(row.pk))
    assert (ended.state, ended.message) == (State.CANCELLED, "Cancelled.")
    assert not remote.cancels


async def test_the_last_snapshot_is_newer_than_all_before_even_from_its_row(remote: Remote) -> None:
    remote.default = [RUNNING]
    job = (await jobs.astart(owner="me")).job
    await until(lambda: len(remote.polls) > 2)
    shown = (await jobs.aget(job, owner="me")).seq
    remote.looks[f"r-{job}"] = [Reading(State.SUCCEEDED)]
    await end_of(job)
    assert (await Job.objects.aget(pk=job)).seq > shown


async def test_waiting_for_the_database_is_no_attempt() -> None:
    outcome = JobWorker()._guard.later(Lease("k", "c", b"", 0, 0, 0, 3, nudged=True))
    assert isinstance(outcome, Again)
    assert (outcome.attempt, outcome.nudged) == (3, True)


async def test_who_logs_in_keeps_what_they_started(remote: Remote) -> None:
    remote.default = [Reading(State.RUNNING, 5)]
    request: HttpRequest = RequestFactory().get("/")
    request.session = session = SessionStore()
    ensure_owner(request)
    before = await owner_of_scope({"session": session})
    mine, others = [(await jobs.astart(owner=owner, key="k")).job for owner in (before, "session:other")]
    await until(lambda: remote.polls)
    user = await User.objects.acreate(username="u")
    earlier = (await jobs.astart(owner=f"user:{user.pk}", key="k")).job
    await sync_to_async(login)(request, user, backend="django.contrib.auth.backends.ModelBackend")
    after = await owner_of_scope({"user": user, "session": session})
    assert {snapshot.job for snapshot in await jobs.alist_mine(owner=after)} == {mine, earlier}
    assert (await jobs.astart(owner=after, key="k")).job == earlier
    assert await jobs.alist_mine(owner=before) == []
    assert [snapshot.job for snapshot in await jobs.alist_mine(owner="session:other")] == [others]
    ear = Ear()
    await hub().watch(after, mine, ear)
    await until(lambda: mine in ear.jobs)
    await hub().unwatch(after, mine, ear)


@pytest.fixture
def ability(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Give the adapter the two abilities of the test's parameters."""
    finds, starts_once = request.param
    monkeypatch.setattr(ScriptedService, "finds", finds)
    monkeypatch.setattr(ScriptedService, "starts_once", starts_once)


async def reseed(job: str, **fields: object) -> None:
    """Put a job back to where its worker died after the intent, and lost its entry."""
    await registry.store().remove([job])
    row = {"state": State.RUNNING, "started": timezone.now(), "finished": None, "remote": "", "result": None}
    await Job.objects.filter(pk=job).aupdate(**{**row, **fields})
    await reconcile.mend([await Job.objects.aget(pk=job)])


async def begun(remote: Remote) -> str:
    """Start a job and stop looking at it when the service has it."""
    remote.default = [RUNNING]
    started = await jobs.astart(owner="me")
    await until(lambda: remote.polls)
    return started.job


@pytest.mark.parametrize("ability", [(True, False), (True, True)], indirect=True)
async def test_a_start_that_may_have_been_heard_is_looked_for_first(remote: Remote, ability: None) -> None:
    job = await begun(remote)
    await reseed(job)
    remote.looks.clear()
    remote.default = [Reading(State.SUCCEEDED)]
    assert (await end_of(job)).state is State.SUCCEEDED
    assert remote.starts == {job: 1}


@pytest.mark.parametrize("ability", [(False, True)], indirect=True)
async def test_a_start_that_may_have_been_heard_is_made_again_under_the_same_key(remote: Remote, ability: None) -> None:
    job = await begun(remote)
    await reseed(job)
    await until(lambda: remote.starts[job] == 2)  # which is one to a service that starts once


@pytest.mark.parametrize("ability", [(False, False)], indirect=True)
async def test_a_start_that_may_have_been_heard_and_cannot_be_asked_for_fails(remote: Remote, ability: None) -> None:
    job = await begun(remote)
    await reseed(job)
    ended = await end_of(job)
    assert ended.error is not None
    assert (ended.state, ended.error.code) == (State.FAILED, "start_unknown")
    assert remote.starts == {job: 1}


@pytest.mark.parametrize("ability", [(False, False)], indirect=True)
@pytest.mark.parametrize("policy", [POLICY | {"unknown_start": "restart"}])
async def test_or_is_made_again_if_the_policy_says_so(remote: Remote, ability: None) -> None:
    job = await begun(remote)
    await reseed(job)
    await until(lambda: remote.starts[job] == 2)


@pytest.mark.parametrize("ability", [(False, False)], indirect=True)
@pytest.mark.parametrize("heard", [True, False])
async def test_what_surely_was_not_heard_may_be_said_again(remote: Remote, ability: None, heard: bool) -> None:
    remote.start_look = [Miss("unreachable", "Nobody there.", heard=heard)]
    started = await jobs.astart(owner="me")
    ended = await end_of(started.job)
    assert ended.state is (State.FAILED if heard else State.SUCCEEDED)
    assert remote.starts == ({} if heard else {started.job: 1})


@pytest.mark.parametrize("ability", [(True, False)], indirect=True)
async def test_a_start_that_a_stop_broke_off_is_looked_for_first(
    remote: Remote, engine: Engine, ability: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JobWorker, "drain", 10)
    remote.start_look = [Miss("unreachable", "Nobody there.", heard=False)]
    start = ScriptedService.start

    async def heard(self: ScriptedService, order: Order) -> Started | Miss:
        answer = await start(self, order)
        if remote.starts[order.job] == 1:
            await asyncio.Event().wait()
        return answer

    monkeypatch.setattr(ScriptedService, "start", heard)
    job = (await jobs.astart(owner="me")).job
    await until(lambda: remote.starts[job])
    await engine.stop()
    await engine.start()
    assert (await end_of(job)).state is State.SUCCEEDED
    assert remote.starts == {job: 1}


@pytest.mark.parametrize("ability", [(False, False), (True, False)], indirect=True)
@pytest.mark.parametrize("before", [[], [Miss("unreachable", "Nobody there.", heard=False)]])
async def test_a_remote_that_could_not_be_recorded_is_not_started_again(
    remote: Remote, ability: None, before: list[Miss | Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    update = QuerySet.update
    failures = 1

    def flaky(self: QuerySet[Any], **fields: Any) -> int:
        nonlocal failures
        if "remote" in fields and failures:
            failures -= 1
            raise DatabaseError("the database is away")
        return update(self, **fields)

    monkeypatch.setattr(QuerySet, "update", flaky)
    monkeypatch.setattr("progrock.consumers.outcomes.random.randint", lambda low, high: 5)
    remote.start_look = before
    job = (await jobs.astart(owner="me")).job
    assert (await end_of(job)).state is State.SUCCEEDED
    assert (remote.starts, failures) == ({job: 1}, 0)


async def test_an_end_that_a_stop_kept_from_being_told_is_told(
    remote: Remote, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JobWorker, "drain", 10)
    told: list[str] = []
    held = asyncio.Event()

    async def slow(sender: object, job: str, **kwargs: object) -> None:
        held.set()
        if not told:
            told.append("cut off")
            await asyncio.Event().wait()
        told.append(job)

    signals.finished.connect(slow)
    try:
        job = (await jobs.astart(owner="me")).job
        await asyncio.wait_for(held.wait(), 60)
        await engine.stop()
        # The service has forgotten it meanwhile.
        remote.default = remote.looks[f"r-{job}"] = [Miss("unreachable", "Nobody there.")]
        await engine.start()
        await until(lambda: told == ["cut off", job])
    finally:
        signals.finished.disconnect(slow)


@pytest.mark.parametrize("ability", [(False, False)], indirect=True)
async def test_a_cancel_of_what_cannot_be_asked_for_says_so(remote: Remote, ability: None) -> None:
    job = await begun(remote)
    await reseed(job, state=State.CANCELLING)
    ended = await end_of(job)
    assert ended.state is State.CANCELLED
    assert "may go on with it" in ended.message


async def test_of_two_starts_out_there_the_second_is_stopped(
    remote: Remote, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    remote.default = [RUNNING]

    async def other(self: ScriptedService, order: Order) -> Started:
        # Somebody else's start is recorded while this one is under way.
        await Job.objects.filter(pk=order.job).aupdate(remote="r-first")
        return Started("r-second")

    monkeypatch.setattr(ScriptedService, "start", other)
    started = await jobs.astart(owner="me")
    await until(lambda: remote.cancels == ["r-second"])
    await until(lambda: ["r-first"] in remote.polls)
    assert (await Job.objects.aget(pk=started.job)).remote == "r-first"
    twice = f"'scripted' started job {started.job} twice: r-first goes on, r-second is cancelled."
    assert [
        line.getMessage() for line in caplog.records if line.levelname == "ERROR" and line.name.startswith("progrock")
    ] == [twice]


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "nul\x00"])
async def test_a_remote_name_that_cannot_be_kept_is_nonsense(
    remote: Remote, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async def start(self: ScriptedService, order: Order) -> Started:
        return Started(name)

    monkeypatch.setattr(ScriptedService, "start", start)
    ended = await end_of((await jobs.astart(owner="me")).job)
    assert ended.error is not None
    assert ended.error.code == "nonsense"


async def test_what_the_database_does_not_take_ends_the_job_nevertheless(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.default = [Reading(State.SUCCEEDED, result={"too": "much"})]
    update = QuerySet.update

    def picky(self: QuerySet[Any], **fields: object) -> int:
        if fields.get("result"):
            raise DataError("no such text here")
        return update(self, **fields)

    monkeypatch.setattr(QuerySet, "update", picky)
    ended = await end_of((await jobs.astart(owner="me")).job)
    assert ended.error is not None
    assert (ended.error.code, ended.result) == ("nonsense", None)


@pytest.mark.parametrize("policy", [POLICY | {"expiry": 5_000}])
async def test_what_nobody_started_in_time_expires(remote: Remote) -> None:
    then = timezone.now() - timedelta(seconds=10)
    row = await Job.objects.acreate(service="scripted", owner="me", created=then, changed=then)
    await reconcile.mend([row])
    ended = await end_of(str(row.pk))
    assert ended.error is not None
    assert ended.error.code == "expired"
    assert not remote.starts


async def test_a_deadline_of_its_own_ends_a_job(remote: Remote) -> None:
    remote.default = [RUNNING]
    ended = await end_of((await jobs.astart(owner="me", deadline=50)).job)
    assert ended.error is not None
    assert ended.error.code == "deadline"


async def test_who_wants_to_know_is_told_of_the_start_and_of_changes(remote: Remote) -> None:
    remote.default = [RUNNING, Reading(State.RUNNING, 60), Reading(State.SUCCEEDED)]
    told: list[tuple[str, State]] = []

    def listen(name: str) -> Any:
        def receiver(job: str, snapshot: Snapshot, **kwargs: object) -> None:
            told.append((name, snapshot.state))

        getattr(signals, name).connect(receiver, weak=False, dispatch_uid=name)
        return receiver

    for name in ("started", "changed", "finished"):
        listen(name)
    try:
        await end_of((await jobs.astart(owner="me")).job)
        await until(lambda: len(told) >= 5)
    finally:
        for name in ("started", "changed", "finished"):
            getattr(signals, name).disconnect(dispatch_uid=name)
    assert told[0] == ("started", State.RUNNING)
    assert told[-1] == ("finished", State.SUCCEEDED)
    assert set(told[1:-1]) == {("changed", State.RUNNING)}


async def test_a_job_that_is_tried_again_runs_again(remote: Remote) -> None:
    remote.default = [Reading(State.FAILED, message="No luck")]
    first = await end_of((await jobs.astart(owner="me")).job)
    remote.default = [Reading(State.SUCCEEDED)]
    again = await jobs.aretry(first.job, owner="me")
    ended = await end_of(again.job)
    assert (ended.state, ended.attempt, ended.retry_of) == (State.SUCCEEDED, 2, first.job)
    assert remote.starts == {first.job: 1, again.job: 1}


async def test_a_job_made_again_shows_nothing_before_its_service_has_answered(remote: Remote) -> None:
    remote.default = [Reading(State.RUNNING, 45)]
    job = (await jobs.astart(owner="me")).job
    await until(lambda: shows(job, 45))
    ear = Ear()
    await hub().watch("me", job, ear)
    remote.say(*[Miss("unreachable", "Nobody there.")] * 3, Reading(State.RUNNING, 46), job=job)
    await reseed(job, remote=f"r-{job}")

    async def caught_up() -> bool:
        snapshot = await jobs.aget(job, owner="me")
        assert snapshot.seq == 0 or (snapshot.percent or 0) >= 45  # what has no seq replaces nothing
        return snapshot.percent == 46

    await until(caught_up)
    await until(lambda: ear.heard and json.loads(ear.heard[-1].body)["progress"] == 46)
    assert min(json.loads(update.body)["progress"] for update in ear.heard) >= 45
    await hub().unwatch("me", job, ear)


async def shows(job: str, percent: float) -> bool:
    return (await jobs.aget(job, owner="me")).percent == percent


async def test_a_nul_in_a_result_loses_itself_and_not_the_result(remote: Remote) -> None:
    remote.default = [Reading(State.SUCCEEDED, result={"a\x00": ["\x00", 1, "\\u0000"]})]
    ended = await end_of((await jobs.astart(owner="me")).job)
    assert ended.result == {"a\ufffd": ["\ufffd", 1, "\\u0000"]}


async def test_jobs_made_again_are_looked_at_together(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    remote.default = [RUNNING]
    monkeypatch.setattr(reconcile, "SPREAD", 0)
    now = timezone.now()
    fields = {"service": "scripted", "owner": "me", "state": State.RUNNING, "created": now, "changed": now}
    some = await Job.objects.abulk_create([Job(**fields, started=now, remote=f"r-{n}") for n in range(20)])
    await reconcile.mend(some)
    await until(lambda: sum(map(len, remote.polls)) >= 20)
    assert len(remote.polls) < 10
