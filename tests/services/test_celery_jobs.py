"""Celery tasks through the whole engine: from a start to the row, with the worker there, killed, and away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pytest
from django.test import override_settings

from progrock import embedded, jobs
from progrock.delay import Relay
from progrock.embedded import Engine
from progrock.models import Job
from progrock.protocol import Snapshot, State
from tests.services import celery_app
from tests.services.celery_worker import Studio, studio
from tests.until import until

ME = "me"


@pytest.fixture(scope="module")
def rooms() -> Iterator[Studio]:
    with studio() as made:
        yield made


@pytest.fixture
async def engine(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(Relay, "last_message", 0.01)
    monkeypatch.setattr(embedded, "_lock_path", lambda: None)
    policy = {"interval": 20, "retry": 10, "retry_most": 100, "cancel_patience": 1_000, "deadline": 20_000}
    services = {
        name: {
            "BACKEND": "progrock.services.celery.CeleryService",
            "OPTIONS": {"app": f"{celery_app.__name__}.app", "name": f"{celery_app.__name__}.{name}", **options},
            "POLICY": policy,
        }
        for name, options in OPTIONS.items()
    }
    with override_settings(PROGROCK={"SERVICES": services}):
        engine = Engine()
        await engine.start()
        yield
        await engine.stop()


OPTIONS: dict[str, dict[str, Any]] = {"record": {}, "play": {}, "scratch": {}, "count": {"timeout": 500}}
pytestmark = pytest.mark.usefixtures("engine")


async def end_of(job: str) -> Snapshot:
    async def ended() -> bool:
        return (await jobs.aget(job, owner=ME)).complete

    await until(ended)
    return await jobs.aget(job, owner=ME)


async def says(job: str, message: str) -> bool:
    return (await jobs.aget(job, owner=ME)).message == message


async def test_a_task_is_a_job_from_its_start_to_its_row(rooms: Studio) -> None:
    job = (await jobs.astart("record", {"gate": "tape"}, owner=ME)).job
    await until(lambda: says(job, "Track 3"))
    snapshot = await jobs.aget(job, owner=ME)
    assert (snapshot.state, snapshot.percent, snapshot.title) == (State.RUNNING, 37.5, "Record")
    rooms.let("tape")
    ended = await end_of(job)
    assert (ended.state, ended.message, ended.result) == (State.SUCCEEDED, "Done.", "Done")
    row = await Job.objects.aget(pk=job)
    assert (row.remote, row.result) == (job, "Done")


async def test_a_task_that_fails_fails_its_job(rooms: Studio) -> None:
    ended = await end_of((await jobs.astart("scratch", owner=ME)).job)
    assert ended.error
    assert (ended.state, ended.error.code) == (State.FAILED, "remote")
    assert ended.error.message == "ValueError: The record is scratched., 7"


async def test_a_task_that_waits_is_cancelled_and_one_that_runs_is_waited_for(rooms: Studio) -> None:
    running = [(await jobs.astart("play", {"gate": "needle"}, owner=ME)).job for _ in range(2)]
    for job in running:
        await until(partial(says, job, "A Celery worker is at it."))
    waiting = (await jobs.astart("play", {"gate": "never"}, owner=ME)).job
    await until(lambda: says(waiting, "Waiting for a Celery worker."))
    await jobs.acancel(waiting, owner=ME)
    assert (await end_of(waiting)).state is State.CANCELLED
    await jobs.acancel(running[0], owner=ME)
    await until(lambda: says(running[0], "It has begun, and cannot be stopped."))
    for _ in running:
        rooms.let("needle")
    ended = await end_of(running[0])
    assert (ended.state, ended.message) == (State.SUCCEEDED, "It was finished before it could be cancelled.")
    assert (await end_of(running[1])).result == "Played"


async def test_a_start_that_may_have_been_heard_is_made_once(rooms: Studio) -> None:
    """The broker takes it, but says so too late."""
    rooms.redis.cli("CLIENT", "PAUSE", 800, "WRITE")
    celery_app.app.conf.broker_transport_options = {"socket_timeout": 5}
    try:
        job = (await jobs.astart("count", {"key": "counted"}, owner=ME)).job
        ended = await end_of(job)
    finally:
        celery_app.app.conf.broker_transport_options = {}
    ran = int(rooms.redis.cli("GET", "counted") or 0)
    if ended.state is State.SUCCEEDED:
        assert ran == 1
    else:
        assert ended.error
        assert ended.error.code == "start_unknown"
        assert ran <= 1


async def test_a_killed_worker_ends_the_job_at_its_deadline() -> None:
    with studio() as rooms:
        job = (await jobs.astart("play", {"gate": "never"}, owner=ME, deadline=3_000)).job
        await until(lambda: says(job, "A Celery worker is at it."))
        rooms.worker.kill()
        ended = await end_of(job)
        assert ended.error
        assert (ended.state, ended.error.code) == (State.FAILED, "deadline")
        # What was told to nobody is nobody's: the job says so, and goes on as soon as there is a worker.
        late = (await jobs.astart("record", {"gate": "tape"}, owner=ME)).job
        await until(lambda: says(late, "Waiting for a Celery worker."))
        rooms.begin()
        rooms.let("tape")
        assert (await end_of(late)).state is State.SUCCEEDED


async def test_a_cancel_that_no_worker_hears_ends_all_the_same() -> None:
    with studio() as rooms:
        rooms.worker.kill()
        job = (await jobs.astart("play", {"gate": "never"}, owner=ME)).job
        await until(lambda: says(job, "Waiting for a Celery worker."))
        await jobs.acancel(job, owner=ME)
        ended = await end_of(job)
        assert (ended.state, ended.message) == (
            State.CANCELLED,
            "Cancelled, but the service may go on with it: No Celery worker has taken note of it yet.",
        )


async def test_a_broker_that_is_away_is_waited_for() -> None:
    with studio() as rooms:
        rooms.redis.kill()
        job = (await jobs.astart("count", {"key": "counted"}, owner=ME)).job
        await until(lambda: says(job, "Celery's broker cannot be reached."))
        rooms.redis.start()
        assert (await end_of(job)).state is State.SUCCEEDED
        assert rooms.redis.cli("GET", "counted") == "1"
