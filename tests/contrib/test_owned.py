"""Whose job a task is: its message, the block or the request, the task that queues it, and the app have a say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from celery import Celery, signals
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpResponse
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject

from progrock import jobs, push
from progrock.contrib.celery import current, owned_by, owned_by_request, track_tasks
from progrock.contrib.celery_tracking import Tracking
from progrock.contrib.celery_words import retry_of
from progrock.exceptions import Unavailable
from progrock.models import Job
from progrock.testing import drain, rock
from tests.contrib.test_howtos import USED, end_of
from tests.push.conftest import engine as engine
from tests.push.conftest import services as services


@pytest.fixture
async def app(engine: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Celery]:
    """An app whose tasks are tracked, and which runs none of them."""
    for name in (*USED, "worker_init", "worker_process_shutdown"):
        monkeypatch.setattr(getattr(signals, name), "receivers", [])
    app = Celery("own", broker="memory://", set_as_current=False)
    whose = {"own.mine": "me", "own.odd": 7}
    track_tasks(
        app,
        owner=lambda name, args, kwargs: whose.get(name),
        title=lambda name, args, kwargs: f"{name} of {args[0]}",
        names=["own.mine", "own.odd", "own.theirs"],
    )
    yield app
    app.close()


async def queued(app: Celery, name: str = "own.theirs", **options: Any) -> Job | None:
    task = app.send_task(name, [3], **options)
    return await Job.objects.filter(pk=task.id).afirst()


def told(job: Job | None) -> tuple[str, str] | None:
    return (job.owner, job.title) if job else None


async def test_the_first_that_says_something_says_whose_it_is(app: Celery) -> None:
    assert told(await queued(app, "own.mine")) == ("me", "own.mine of 3")
    assert told(await queued(app)) is None
    with owned_by("you", title="Yours"):
        assert told(await queued(app, "own.mine")) == ("you", "Yours")
        header = {"headers": {"progrock": {"owner": "they"}}}
        assert told(await queued(app, "own.mine", **header)) == ("they", "own.mine of 3")
        with owned_by(None):
            assert told(await queued(app, "own.mine")) is None
        assert told(await queued(app, "own.not_named")) is None


@pytest.mark.parametrize("header", ["me", {"title": "A"}, {"owner": 7}, {"owner": ""}, {"owner": "\n"}])
async def test_what_makes_no_sense_is_not_tracked_and_stops_nothing(app: Celery, header: Any) -> None:
    assert await queued(app, "own.mine", headers={"progrock": header}) is None
    assert await queued(app, "own.odd") is None


@pytest.mark.parametrize("known", [True, False])
async def test_a_view_queues_for_whoever_asks_also_an_async_one(app: Celery, known: bool) -> None:
    user = await User.objects.acreate(username="me")
    request: Any = RequestFactory().get("/")
    request.session = SessionStore()
    request.user = SimpleLazyObject(lambda: User.objects.get(pk=user.pk)) if known else None
    found = []

    async def view(request: Any) -> HttpResponse:
        found.append(await queued(app))
        return HttpResponse()

    await owned_by_request(view)(request)
    (job,) = found
    assert job
    assert job.owner == f"user:{user.pk}" if known else job.owner.startswith("session:")


async def test_one_that_waits_can_be_cancelled_and_waits_no_longer(app: Celery) -> None:
    job = await queued(app, "own.mine")
    assert job
    await jobs.acancel(job.pk, owner="me")
    ended = await end_of(str(job.pk))
    assert ended.state == "cancelled"


async def test_a_task_goes_on_for_who_has_logged_in_since_it_was_queued(app: Celery) -> None:
    def mine() -> str:
        current().report(message="Going on")
        return "Done"

    job = (await push.acreate("Mine", owner="user:7")).job
    header = {"headers": {"progrock": {"owner": "session:before"}}}
    await sync_to_async(lambda: app.task(name="own.mine", shared=False)(mine).apply(task_id=job, **header))()
    ended = await end_of(job)
    assert (ended.owner, ended.result, ended.message) == ("user:7", "Done", "Done.")


async def test_a_task_that_began_without_a_database_tells_its_end(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = Tracking._begun
    away = [True]

    def refuse(self: Tracking, *said: Any) -> push.Tracked:
        if away and away.pop():
            raise Unavailable("away")
        return begun(self, *said)

    monkeypatch.setattr(Tracking, "_begun", refuse)
    job = (await push.acreate("Mine", owner="me")).job
    header = {"headers": {"progrock": {"owner": "me"}}}

    def mine() -> str:
        return "Done"

    task = app.task(name="own.mine", shared=False)(mine)
    await sync_to_async(lambda: task.apply(task_id=job, **header))()
    assert (await end_of(job)).result == "Done"
    assert not away


def test_why_and_when_a_task_is_tried_again_is_read_from_its_message() -> None:
    assert retry_of("It is tried again in 12 s: OSError: in 3 s: no") == (12, "OSError: in 3 s: no")
    assert retry_of("It is tried.") is None


def test_outside_of_a_task_there_is_a_job_of_which_nobody_hears(db: None) -> None:
    job = current()
    assert list(job.iterate([1, 2])) == [1, 2]
    job.report(message="Nobody hears")
    assert not job.cancelled
    assert not Job.objects.exists()
    assert isinstance(job, push.Tracked)


def test_in_a_test_own_tasks_are_jobs_too(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in USED:
        monkeypatch.setattr(getattr(signals, name), "receivers", [])
    app = Celery("own", broker="memory://", set_as_current=False)
    app.conf.update(task_always_eager=True, task_store_eager_result=False)
    track_tasks(app)

    def again(self: Any) -> str:
        if not self.request.retries:
            raise self.retry(countdown=0)
        return "Done"

    task = app.task(name="own.again", bind=True, shared=False)(again)
    with rock(), owned_by("me"):
        task.delay()
        (ended,) = drain()
    assert (ended.title, ended.state, ended.result) == ("Again", "succeeded", "Done")
