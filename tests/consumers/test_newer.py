"""Entries of a version above the worker's own: left to a newer worker, and not dropped."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from django.utils import timezone

from progrock import jobs, reconcile, registry, standing
from progrock.consumers import newer
from progrock.delay import Entry, NewEntry
from progrock.models import Job
from progrock.protocol import State
from progrock.step import Reading
from tests.conftest import until
from tests.scripted import Remote

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newer, "EVERY", 20)


async def entry_of(key: str) -> Entry | None:
    return (await registry.store().peek([key]))[0]


async def schedule(key: str, message: bytes) -> None:
    await registry.store().schedule([NewEntry(key, registry.CHANNEL, message)], replace=True)


async def row(**fields: Any) -> Job:
    now = timezone.now()
    return await Job.objects.acreate(service="scripted", owner="me", created=now, changed=now, **fields)


def of_the_future(job: Job, **changes: Any) -> bytes:
    """Return a job's entry as a version to come may have it: not all of it makes sense to us."""
    carried = msgspec.msgpack.decode(standing.entry_for(job, 0).message)
    return msgspec.msgpack.encode({**carried, "version": 2, "remote": {"name": "r-7", "since": 3}, **changes})


async def test_a_job_is_left_as_it_is_and_shown_by_its_row(remote: Remote, caplog: pytest.LogCaptureFixture) -> None:
    job = await row(state=State.RUNNING, remote="r-7", started=timezone.now())
    key, message = str(job.pk), of_the_future(job)
    await schedule(key, message)
    await until(lambda: "left to a newer worker: it is version 2 of 'run'" in caplog.text)
    await until(lambda: _waits(key))
    entry = await entry_of(key)
    assert entry is not None
    assert (entry.message, entry.attempt) == (message, 1)
    assert (await jobs.aget(job.pk, owner="me")).state is State.RUNNING
    assert await reconcile.mend([job]) == (0, 0)
    assert remote.polls == []


async def _waits(key: str) -> bool:
    entry = await entry_of(key)
    return entry is not None and not entry.held and not entry.stale


async def test_a_job_that_no_newer_worker_takes_goes_on_from_its_row(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newer, "PATIENCE", 0)
    remote.looks["r-7"] = [Reading(State.SUCCEEDED, 100)]
    job = await row(state=State.RUNNING, remote="r-7", started=timezone.now())
    await schedule(str(job.pk), of_the_future(job))
    await until(lambda: Job.objects.filter(pk=job.pk, state=State.SUCCEEDED).aexists())
    assert not remote.starts


async def test_one_that_is_over_is_forgotten(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newer, "PATIENCE", -1)
    job = await row(state=State.CANCELLED, finished=timezone.now())
    await schedule(str(job.pk), of_the_future(job))
    await until(lambda: _gone(str(job.pk)))
    assert remote.polls == []


async def _gone(key: str) -> bool:
    return await entry_of(key) is None


async def test_a_kind_that_nobody_knows_is_set_aside_and_can_be_revived(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newer, "OFFERS", 2)
    message = msgspec.msgpack.encode({"type": "digest", "of": [1, 2]})
    await schedule("digest", message)
    await until(lambda: registry.store().dead(1))
    (dead,) = await registry.store().dead(1)
    assert dead.message == message
    assert "no newer worker takes it" in dead.reason
    assert "left to a newer worker" in caplog.text
    assert await registry.store().revive(["digest"]) == 1


async def test_the_reconciler_goes_on_whoever_wrote_its_entry() -> None:
    await schedule(reconcile.KEY, msgspec.msgpack.encode({"type": "sweep", "version": 2, "after": 7}))

    async def swept() -> bool:
        entry = await entry_of(reconcile.KEY)
        carried = msgspec.msgpack.decode(entry.message) if entry else {}
        return carried.get("version") == 1 and bool(carried["full_at"])

    await until(swept)


async def test_what_a_newer_version_only_added_is_read(remote: Remote) -> None:
    remote.default = [Reading(State.SUCCEEDED, 100)]
    job = await row()
    carried = msgspec.msgpack.decode(standing.entry_for(job, 0).message)
    await schedule(str(job.pk), msgspec.msgpack.encode({**carried, "mood": "blue"}))
    await until(lambda: Job.objects.filter(pk=job.pk, state=State.SUCCEEDED).aexists())


async def test_what_the_version_before_wrote_is_read(remote: Remote) -> None:
    """It knew of no version."""
    remote.default = [Reading(State.SUCCEEDED, 100)]
    job = await row()
    carried = msgspec.msgpack.decode(standing.entry_for(job, 0).message)
    assert carried.pop("version") == carried["snapshot"].pop("version") == 1
    await schedule(str(job.pk), msgspec.msgpack.encode(carried))
    await until(lambda: Job.objects.filter(pk=job.pk, state=State.SUCCEEDED).aexists())
