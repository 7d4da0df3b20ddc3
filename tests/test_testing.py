"""What users test their jobs with: no Redis, no process, no sleep."""

from __future__ import annotations

import time
import unittest
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.test import TestCase, TransactionTestCase, override_settings
from django.utils import timezone

from progrock import history, jobs, reconcile, registry, signals
from progrock.exceptions import InvalidParams
from progrock.models import Job
from progrock.protocol import Snapshot, State
from progrock.step import Miss, Reading
from progrock.testing import Clock, Remote, StillGoing, adrain, drain, rock
from tests.documents import code

DAY = 86_400_000
SETTING = {
    "SERVICES": {
        "scripted": {"BACKEND": "tests.scripted.ScriptedService", "POLICY": {"interval": 10_000, "deadline": DAY}}
    }
}
RUNNING = Reading(State.RUNNING, 10, "Working")


@pytest.fixture(autouse=True)
def setting() -> Iterator[None]:
    with override_settings(PROGROCK=SETTING):
        yield


@pytest.fixture
def remote() -> Iterator[Remote]:
    with rock() as remote:
        yield remote


class InATransaction(TestCase):
    """Django's TestCase: all of it in a transaction that is never committed."""

    def setUp(self) -> None:
        self.remote = self.enterContext(rock())

    def test_a_job_is_taken_to_its_end(self) -> None:
        started = jobs.start(owner="me")
        (ended,) = drain()
        assert (ended.job, ended.state) == (started.job, State.SUCCEEDED)
        assert self.remote.starts == {started.job: 1}
        assert jobs.get(started.job, owner="me").state is State.SUCCEEDED

    def test_a_cancel_reaches_the_remote(self) -> None:
        started = jobs.start(owner="me")
        self.remote.say(RUNNING)
        with pytest.raises(StillGoing):
            drain(most=3)
        jobs.cancel(started.job, owner="me")
        assert [ended.state for ended in drain()] == [State.CANCELLED]
        assert self.remote.cancels == [f"r-{started.job}"]

    def test_on_commit_is_no_second_start(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            started = jobs.start(owner="me")
        assert [ended.job for ended in drain()] == [started.job]
        assert self.remote.starts == {started.job: 1}

    async def test_the_async_twin_is_the_same(self) -> None:
        started = await jobs.astart(owner="me")
        assert [ended.job for ended in await adrain()] == [started.job]


class WithCommits(TransactionTestCase):
    """Django's TransactionTestCase: everything is committed."""

    def setUp(self) -> None:
        self.remote = self.enterContext(rock())

    def test_a_job_is_taken_to_its_end(self) -> None:
        with transaction.atomic():
            started = jobs.start(owner="me")
        assert [ended.state for ended in drain()] == [State.SUCCEEDED]
        assert self.remote.starts == {started.job: 1}

    async def test_the_async_twin_is_the_same(self) -> None:
        started = await jobs.astart(owner="me")
        assert [ended.job for ended in await adrain()] == [started.job]


@pytest.mark.django_db(transaction=True)
async def test_jobs_that_are_due_together_are_looked_at_together(remote: Remote) -> None:
    started = [(await jobs.astart(owner="me")).job for _ in range(20)]
    ended = await adrain()
    assert sorted(each.job for each in ended) == sorted(started)
    assert [len(batch) for batch in remote.polls] == [20, 20]


@pytest.mark.django_db(transaction=True)
async def test_each_job_follows_its_own_script(remote: Remote) -> None:
    lucky, unlucky = [(await jobs.astart(owner="me")).job for _ in range(2)]
    remote.say(Miss("unreachable", "Nobody there."), Reading(State.FAILED, message="No tape."), job=unlucky)
    ended = {each.job: each for each in await adrain()}
    assert ended[lucky].state is State.SUCCEEDED
    assert (ended[unlucky].state, ended[unlucky].message) == (State.FAILED, "No tape.")


@pytest.mark.django_db(transaction=True)
async def test_the_first_step_is_taken_at_once_and_the_next_when_it_is_due(remote: Remote) -> None:
    seen: list[tuple[State, int]] = []
    began = remote.clock.now

    def see(snapshot: Snapshot, **kwargs: object) -> None:
        seen.append((snapshot.state, (remote.clock.now - began) // 1000))

    for signal in (signals.started, signals.changed, signals.finished):
        signal.connect(see)
    try:
        await jobs.astart(owner="me")
        await adrain()
    finally:
        for signal in (signals.started, signals.changed, signals.finished):
            signal.disconnect(see)
    running = State.RUNNING
    assert seen == [(running, 0), (running, 0), (running, 10_000), (State.SUCCEEDED, 20_000)]


@pytest.mark.django_db(transaction=True)
async def test_a_deadline_of_a_day_takes_no_day(remote: Remote) -> None:
    remote.say(RUNNING)
    began = remote.clock.now
    started = await jobs.astart(owner="me")
    with pytest.raises(StillGoing, match=f"{started.job} of 'scripted' \\(running\\)"):
        await adrain(most=5)
    remote.clock.advance(DAY)
    real = time.monotonic()
    (ended,) = await adrain()
    assert time.monotonic() - real < 60
    assert ended.error is not None
    assert ended.error.code == "deadline"
    assert remote.clock.now - began >= DAY * 1000
    assert remote.cancels == [f"r-{started.job}"]


@pytest.mark.django_db(transaction=True)
async def test_a_deadline_comes_look_by_look_too(remote: Remote) -> None:
    remote.say(RUNNING)
    await jobs.astart(owner="me", deadline=3_600_000)
    (ended,) = await adrain()
    assert ended.error is not None
    assert ended.error.code == "deadline"
    assert len(remote.polls) > 100


@pytest.mark.django_db(transaction=True)
async def test_a_job_that_a_receiver_starts_is_drained_with_it(remote: Remote) -> None:
    async def encore(snapshot: Snapshot, **kwargs: object) -> None:
        await jobs.astart(owner="me", key="encore")

    signals.finished.connect(encore)
    try:
        first = await jobs.astart(owner="me")
        assert [each.job for each in await adrain()] == [first.job, str((await Job.objects.aget(key="encore")).pk)]
    finally:
        signals.finished.disconnect(encore)


@pytest.mark.django_db(transaction=True)
async def test_the_standing_entries_do_not_keep_it_from_ending(remote: Remote) -> None:
    await registry.store().stand(reconcile.standing())
    await jobs.astart(owner="me")
    assert len(await adrain()) == 1
    assert await adrain() == []


@pytest.mark.django_db(transaction=True)
async def test_what_jobs_of_another_test_took_is_forgotten() -> None:
    now = timezone.now()
    past = {"service": "scripted", "owner": "me", "state": State.SUCCEEDED, "created": now, "changed": now}
    with rock():
        for _ in range(6):
            await Job.objects.acreate(**past, started=now - timedelta(seconds=10), finished=now)
        assert await history.ausual("scripted") == 10_000
        await Job.objects.all().adelete()
    with rock():
        assert await history.ausual("scripted") == 0


@pytest.mark.django_db(transaction=True)
async def test_a_service_goes_on_to_check_its_parameters_and_to_name_its_jobs(remote: Remote) -> None:
    with pytest.raises(InvalidParams):
        await jobs.astart(params={"bad": 1}, owner="me")
    assert (await jobs.astart(params={"title": "A song"}, owner="me")).title == "A song"


@pytest.mark.django_db(transaction=True)
async def test_what_is_not_in_a_tests_hands_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="rock"):
        await adrain()


def test_nothing_is_left_behind(remote: Remote, settings: Any) -> None:
    assert registry.clock is remote.clock
    with rock() as inner:
        assert inner.starts == {}
    with override_settings(PROGROCK=SETTING):
        assert isinstance(registry.clock, Clock)
    registry.clock = None
    with rock():
        store, layer = registry.store(), get_channel_layer("work")
    assert registry.clock is None
    assert registry.store() is not store
    assert get_channel_layer("work") is not layer


@pytest.mark.django_db(transaction=True)
async def test_a_project_on_redis_needs_none(settings: Any) -> None:
    away = "redis://127.0.0.1:1/0"
    layer = {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [away]}}
    settings.PROGROCK = {**SETTING, "STORE": away}
    settings.CHANNEL_LAYERS = {"default": layer, "work": layer}
    with rock():
        await jobs.astart(owner="me")
        assert [ended.state for ended in await adrain()] == [State.SUCCEEDED]


def test_a_clock_stands_still_and_never_steps_back() -> None:
    clock = Clock()
    then = clock()
    clock.advance(1_500)
    assert clock() == then + 1_500_000
    with pytest.raises(ValueError, match="0 or more"):
        clock.advance(-1)


def test_a_script_has_a_look() -> None:
    with pytest.raises(ValueError, match="one look"):
        Remote().say()


@pytest.mark.django_db
def test_the_how_to_works() -> None:
    scope = _how_to("testcase")
    case = scope["Orders"]
    try:
        with override_settings(PROGROCK={"SERVICES": {"press": SETTING["SERVICES"]["scripted"]}}):
            result = unittest.TestLoader().loadTestsFromTestCase(case).run(unittest.TestResult())
    finally:
        signals.finished.disconnect(scope["tell"])
    assert (result.testsRun, result.failures, result.errors) == (5, [], [])


@pytest.mark.django_db(transaction=True)
async def test_the_how_to_works_with_pytest() -> None:
    scope = _how_to("pytest")
    try:
        with override_settings(PROGROCK={"SERVICES": {"press": SETTING["SERVICES"]["scripted"]}}), rock() as remote:
            await scope["test_two_jobs_are_looked_at_with_one_call"](remote)
    finally:
        signals.finished.disconnect(scope["tell"])
    assert len(remote.starts) == 2


@pytest.mark.django_db
def test_the_how_to_works_with_code_that_tracks_itself() -> None:
    case = _how_to("trackcase", "tracks")["Restock"]
    with override_settings(PROGROCK={}):
        result = unittest.TestLoader().loadTestsFromTestCase(case).run(unittest.TestResult())
    assert (result.testsRun, result.failures, result.errors) == (2, [], [])


def _how_to(block: str, code_of_yours: str = "yours") -> dict[str, Any]:
    scope: dict[str, Any] = {"__name__": __name__}
    for label in (code_of_yours, block):
        exec(code("howto/test-your-jobs.md", label), scope)
    return scope
