"""What can be done with a job, before any worker has it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.db import DatabaseError
from django.test import override_settings
from django.utils import timezone
from msgspec.structs import replace

from progrock import jobs, registry
from progrock.delay import HAND_OFF, NewEntry
from progrock.delay.entry import from_channel
from progrock.exceptions import InvalidParams, NotFound, TooMany, Unavailable, UnknownService
from progrock.models import Job
from progrock.protocol import Snapshot, State
from progrock.step import begin

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def service() -> Iterator[None]:
    with override_settings(PROGROCK={"SERVICES": {"scripted": {"BACKEND": "tests.scripted.ScriptedService"}}}):
        yield


async def test_a_start_is_a_row_and_an_entry() -> None:
    snapshot = await jobs.astart("scripted", {"a": 1}, owner="me")
    row = await Job.objects.aget(pk=snapshot.job)
    assert (row.owner, row.params, row.state) == ("me", {"a": 1}, "pending")
    (entry,) = await registry.store().peek([snapshot.job])
    assert entry is not None
    run = jobs.run_of(entry)
    assert run is not None
    assert (run.owner, run.snapshot) == ("me", snapshot)


async def test_the_same_key_is_the_same_job_for_the_same_owner_only() -> None:
    first = await jobs.astart(owner="me", key="k")
    again = await jobs.astart(owner="me", key="k")
    other = await jobs.astart(owner="you", key="k")
    assert first == again
    assert other.job != first.job
    assert await Job.objects.acount() == 2


async def test_no_key_is_never_the_same_job() -> None:
    assert (await jobs.astart(owner="me")).job != (await jobs.astart(owner="me")).job


@pytest.mark.parametrize(
    ("service_name", "params", "error", "says"),
    [
        ("sinth", {}, UnknownService, "Expected one of the services 'scripted', got 'sinth'."),
        (None, {"bad": 1}, InvalidParams, "expected no 'bad'"),
        (None, {"a": "x" * 9_000}, InvalidParams, "at most 8192 bytes"),
    ],
)
async def test_a_start_that_cannot_be_is_refused_and_leaves_nothing(
    service_name: str | None, params: dict[str, object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        await jobs.astart(service_name, params, owner="me")
    assert await Job.objects.acount() == 0
    assert await registry.store().depth() == 0


async def test_a_database_that_is_away_refuses_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(self: Job, **kwargs: object) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr(Job, "save", away)
    with pytest.raises(Unavailable):
        await jobs.astart(owner="me")
    assert await registry.store().depth() == 0


async def test_a_schedule_that_is_away_does_not_refuse_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(entries: object) -> None:
        raise ConnectionError("away")

    monkeypatch.setattr(registry.store(), "schedule", away)
    snapshot = await jobs.astart(owner="me")
    assert await Job.objects.filter(pk=snapshot.job).aexists()
    assert "starts late" in caplog.text


async def test_nobody_sees_or_cancels_what_is_not_theirs() -> None:
    mine = await jobs.astart(owner="me")
    for job in (mine.job, str(uuid.uuid4())):
        with pytest.raises(NotFound):
            await jobs.aget(job, owner="you")
        with pytest.raises(NotFound):
            await jobs.acancel(job, owner="you")
    assert await jobs.alist_mine(owner="you") == []
    assert (await Job.objects.aget(pk=mine.job)).state == "pending"


async def test_a_live_job_is_read_from_its_entry() -> None:
    snapshot = await jobs.astart(owner="me")
    await _replace_entry(snapshot.job, 42.0)
    assert (await jobs.aget(snapshot.job, owner="me")).progress == 42
    assert [job.progress for job in await jobs.alist_mine(owner="me")] == [42]
    with pytest.raises(NotFound):
        await jobs.aget(snapshot.job, owner="you")


async def test_a_row_that_has_ended_wins_over_an_entry_that_is_held() -> None:
    snapshot = await jobs.astart(owner="me")
    await _replace_entry(snapshot.job, 42.0)
    store = registry.store()
    await store.announce(registry.CHANNEL, "w", 1, 60_000)
    await store.nudge([snapshot.job])
    await store.renew(await store.lease(1, 1_000), 1_000, "w")
    now = timezone.now()
    await Job.objects.filter(pk=snapshot.job).aupdate(state=State.SUCCEEDED, started=now, finished=now, changed=now)
    assert (await jobs.aget(snapshot.job, owner="me")).state is State.SUCCEEDED
    assert (await jobs.alist_mine(owner="me"))[0].state is State.SUCCEEDED


async def test_the_newest_come_first_and_not_all_of_them() -> None:
    started = [(await jobs.astart(owner="me")).job for _ in range(5)]
    assert [snapshot.job for snapshot in await jobs.alist_mine(owner="me", limit=3)] == started[:1:-1]


def test_the_sync_doors_open_from_a_plain_thread() -> None:
    snapshot = jobs.start(owner="me", key="k")
    assert jobs.get(snapshot.job, owner="me") == snapshot
    assert jobs.list_mine(owner="me") == [snapshot]
    assert jobs.cancel(snapshot.job, owner="me").state is State.CANCELLING


async def _replace_entry(job: str, percent: float) -> None:
    """Do what a first step does to the entry."""
    store = registry.store()
    (entry,) = await store.peek([job])
    assert entry is not None
    run = jobs.run_of(entry)
    assert run is not None
    assert entry.due is not None
    run = begin(run, entry.due)
    run = replace(run, snapshot=replace(run.snapshot, percent=percent))
    await store.remove([job])
    await store.schedule([NewEntry(job, registry.CHANNEL, jobs._encode(run), 60_000)])


async def test_the_same_start_at_the_same_time_is_one_job(monkeypatch: pytest.MonkeyPatch) -> None:
    first = await jobs.astart(owner="me", key="k")
    find = jobs.afind
    blind = 1

    async def too_early(key: str, *, owner: str) -> Snapshot | None:
        nonlocal blind
        if blind:
            blind -= 1
            return None
        return await find(key, owner=owner)

    monkeypatch.setattr(jobs, "afind", too_early)
    assert await jobs.astart(owner="me", key="k") == first


async def test_each_owner_has_a_limit_of_their_own(settings: Any) -> None:
    settings.PROGROCK = settings.PROGROCK | {"MAX_UNFINISHED": 1}
    await jobs.astart(owner="me")
    await jobs.astart(owner="you")
    with pytest.raises(TooMany):
        await jobs.astart(owner="me")


async def test_a_start_is_told_and_handed_over_and_due_again_if_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, Snapshot]] = []

    async def publish(snapshots: Iterable[tuple[str, Snapshot]]) -> None:
        told.extend(snapshots)

    monkeypatch.setattr("progrock.updates.publish", publish)
    snapshot = await jobs.astart(owner="me")
    assert told == [("me", snapshot)]
    (lease,) = from_channel(await get_channel_layer("work").receive(registry.CHANNEL))
    assert (lease.key, lease.at, lease.receipt - lease.due) == (snapshot.job, lease.due, HAND_OFF * 1000)


async def test_a_cancel_is_seen_at_once_and_makes_the_row_young() -> None:
    snapshot = await jobs.astart(owner="me")
    await _replace_entry(snapshot.job, 42.0)
    old = timezone.now() - timedelta(hours=1)
    await Job.objects.filter(pk=snapshot.job).aupdate(changed=old)
    await jobs.acancel(snapshot.job, owner="me")
    assert [(job.state, job.progress) for job in await jobs.alist_mine(owner="me")] == [(State.CANCELLING, 42)]
    assert (await Job.objects.aget(pk=snapshot.job)).changed > old


def test_an_entry_made_again_knows_its_remote_and_since_when_it_runs() -> None:
    then = timezone.now() - timedelta(hours=1)
    row = Job(service="s", owner="me", state="running", remote="r", created=then, changed=then, started=then)
    run = jobs._decode_run(jobs.entry_for(row, 0).message)
    assert (run.remote, run.started) == ("r", int(then.timestamp() * 1_000_000))


async def test_a_database_that_is_away_is_said_to_who_asks_for_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(self: object) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr("django.db.models.QuerySet.afirst", away)
    with pytest.raises(Unavailable):
        await jobs.afind("k", owner="me")
