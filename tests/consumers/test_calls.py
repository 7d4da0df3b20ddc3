"""How many calls a service gets, in the worker's own steps; time is the test's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import override_settings

from progrock import jobs, registry, signals, standing, testing
from progrock.consumers.worker import JobWorker
from progrock.delay import Again
from progrock.models import Job
from progrock.politeness import Answer, Ask, MemoryLimits
from progrock.protocol import Snapshot, State
from progrock.services import Order, Started
from progrock.services.breaker import FAILURES
from progrock.step import Look, Miss, Reading
from progrock.testing import Remote, ScriptedService, adrain, rock

pytestmark = pytest.mark.usefixtures("transactional_db")
SECOND = 1_000_000
MINUTE = 60 * SECOND
DEAD = Miss("unreachable", "Nobody there.")

calls: list[tuple[int, str]] = []
"""When, and for which job, the service was called; in microseconds since the test began."""


class One(ScriptedService):
    """Asks for one job with each call."""

    batch = 1
    begun = 0
    answer: Callable[[int, str], Look] = staticmethod(lambda at, job: Reading(State.RUNNING))

    async def start(self, order: Order) -> Started | Miss:
        look = self._call(f"r-{order.job}")
        return look if isinstance(look, Miss) else Started(f"r-{order.job}", look)

    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        return [self._call(each) for each in remotes]

    async def cancel(self, remote_id: str) -> Look:
        look = self._call(remote_id)
        return look if isinstance(look, Miss) else Reading(State.CANCELLED)

    def _call(self, remote_id: str) -> Look:
        at = registry.store()._now() - One.begun  # type: ignore[attr-defined]
        calls.append((at, remote_id))
        return One.answer(at, remote_id)


class Many(One):
    """Asks for ten jobs with each call."""

    batch = 10

    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        looks: list[Look] = []
        for at in range(0, len(remotes), 10):
            some = remotes[at : at + 10]
            looks += [self._call(",".join(some))] * len(some)
        return looks


Site = Callable[..., Remote]


@pytest.fixture
def site() -> Iterator[Site]:
    """Declare one service, and take all steps by the test's clock."""
    with rock() as remote:
        calls.clear()
        One.begun = remote.clock.now
        stack: list[override_settings] = []

        def declare(service: type[One], limits: dict[str, Any] | None = None, **policy: int) -> Remote:
            backend = f"{service.__module__}.{service.__qualname__}"
            declared = {"BACKEND": backend, "LIMITS": limits, "POLICY": {"interval": 1_000, **policy}}
            setting = override_settings(
                PROGROCK={"SERVICES": {"s": declared}, "MAX_UNFINISHED": 10_000, "MAX_STARTS_PER_MINUTE": None}
            )
            setting.enable()
            stack.append(setting)
            return remote

        yield declare
        for setting in stack:
            setting.disable()


@pytest.fixture
async def shown() -> AsyncIterator[list[Snapshot]]:
    """All that was told of running jobs."""
    seen: list[Snapshot] = []

    async def note(sender: object, snapshot: Snapshot, **kwargs: Any) -> None:
        seen.append(snapshot)

    signals.changed.connect(note)
    yield seen
    signals.changed.disconnect(note)


async def running(count: int, remote: Remote) -> list[Job]:
    """Have jobs that were started already, and are to be looked at now."""
    now = datetime.fromtimestamp(remote.clock.now / SECOND, UTC)
    begun = {"service": "s", "owner": "me", "state": State.RUNNING, "created": now, "changed": now, "started": now}
    rows = [Job(remote=f"r-{number}", **begun) for number in range(count)]
    await Job.objects.abulk_create(rows)
    await registry.store().schedule([standing.entry_for(row, 0) for row in rows])
    return rows


def at_most(rate: float, burst: int) -> bool:
    """Whether the calls are never more than the bucket had."""
    times = sorted(at for at, _ in calls)
    return all(
        later - first + 1 <= burst + (times[later] - times[first]) / SECOND * rate + 0.001
        for first in range(len(times))
        for later in range(first, len(times))
    )


def ends(after: int) -> None:
    One.answer = staticmethod(lambda at, job: Reading(State.SUCCEEDED if at >= after else State.RUNNING))


async def test_no_more_calls_are_made_than_the_rate_allows(site: Site, shown: list[Snapshot]) -> None:
    remote = site(One, {"rate": 10, "burst": 5})
    ends(20 * SECOND)
    await running(100, remote)
    ended = await adrain()
    assert {each.state for each in ended} == {State.SUCCEEDED}
    assert at_most(10, 5)
    assert len(calls) == pytest.approx(5 + 10 * max(at for at, _ in calls) / SECOND, rel=0.1)
    assert {each.misses for each in shown} == {0}


async def test_everybody_has_a_turn_and_asks_at_most_twice_for_it(site: Site, shown: list[Snapshot]) -> None:
    remote = site(One, {"rate": 10, "burst": 1})
    ends(30 * SECOND)
    rows = await running(100, remote)
    await adrain()
    looked = {row.remote: sum(1 for _, job in calls if job == row.remote) for row in rows}
    assert {3, 4, 5} >= set(looked.values())  # 30 s, ten a second, a hundred jobs, and the last look of each
    assert len(shown) <= 2.2 * len(calls)


async def test_the_look_that_is_put_off_says_when_it_is_due(site: Site, shown: list[Snapshot]) -> None:
    remote = site(One, {"rate": 2, "burst": 1})
    ends(1_900_000)
    await running(3, remote)
    await adrain()
    put_off = [(each.due or 0) - One.begun // 1000 for each in shown if each.heard != each.at]
    assert put_off
    assert {due % 500 for due in put_off} == {0}
    assert [at // 1000 for at, _ in calls][:4] == [0, 500, 1_000, 1_500]


async def test_a_call_for_many_is_one(site: Site) -> None:
    remote = site(Many, {"rate": 1, "burst": 2})
    ends(0)
    await running(45, remote)
    await adrain()
    assert [len(job.split(",")) for _, job in calls] == [10, 10, 10, 10, 5]
    assert [at // 1000 for at, _ in calls] == [0, 0, 1_000, 2_000, 3_000]


async def test_starts_wait_for_their_turn_and_no_clock_runs_meanwhile(site: Site, shown: list[Snapshot]) -> None:
    site(One, {"rate": 1, "burst": 1}, deadline=3_000, patience=2_000)
    One.answer = staticmethod(lambda at, job: Reading(State.SUCCEEDED))
    started = [await jobs.astart(owner="me") for _ in range(10)]
    ended = await adrain()
    assert {each.state for each in ended} == {State.SUCCEEDED}
    assert [at // SECOND for at, _ in calls] == list(range(10))
    waiting = [each for each in shown if each.job == started[-1].job and each.state is State.PENDING]
    assert [(each.due or 0) - One.begun // 1000 for each in waiting] == [9_000]


async def test_a_start_that_waits_for_its_turn_says_so_to_who_asks(site: Site) -> None:
    remote = site(One, {"rate": 0.1, "burst": 1})
    one, two = [await jobs.astart(owner="me") for _ in range(2)]
    One.answer = staticmethod(lambda at, job: Reading(State.SUCCEEDED))
    with pytest.raises(AssertionError, match="Expected all jobs to end within 2 steps"):
        await adrain(most=2)
    waiting = await jobs.aget(two.job, owner="me")
    assert (waiting.state, waiting.due) == (State.PENDING, remote.clock.now // 1000 + 10_000)
    assert (await jobs.aget(one.job, owner="me")).state is State.SUCCEEDED


async def test_a_start_that_waits_too_long_for_its_turn_expires(site: Site) -> None:
    site(One, {"rate": 0.001, "burst": 1}, expiry=60_000)
    One.answer = staticmethod(lambda at, job: Reading(State.SUCCEEDED))
    for _ in range(2):
        await jobs.astart(owner="me")
    ended = await adrain()
    assert [each.error and each.error.code for each in ended] == [None, "expired"]
    assert len(calls) == 1


async def test_what_may_have_been_started_is_looked_for_though_it_was_put_off(site: Site) -> None:
    remote = site(One, {"rate": 1, "burst": 1})
    One.answer = staticmethod(lambda at, job: Reading(State.SUCCEEDED))
    await running(1, remote)
    now = datetime.fromtimestamp(remote.clock.now / SECOND, UTC)
    lost = await Job.objects.acreate(
        service="s", owner="me", state=State.RUNNING, created=now, changed=now, started=now
    )
    remote.starts[str(lost.pk)] = 1
    await registry.store().schedule([standing.entry_for(lost, 1)])
    await adrain()
    assert [job for at, job in calls if at > 0] == [f"r-{lost.pk}"]  # a look: it was found, and not started


async def test_a_start_that_was_put_off_is_made_once_though_its_entry_forgot_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = site(One, {"rate": 1, "burst": 1})
    ends(0)
    await running(1, remote)
    await adrain()
    orders: list[Order] = []

    async def start(self: One, order: Order) -> Started:
        orders.append(order)
        return Started(f"r-{order.job}")

    monkeypatch.setattr(One, "start", start)
    lost = (await jobs.astart(owner="me")).job
    with pytest.raises(AssertionError):
        await adrain(most=1)
    assert (await jobs.aget(lost, owner="me")).state is State.PENDING
    # The worker began it and died, and with it went the last second of the store: the entry is as it was put off.
    remote.starts[lost] = 1
    began = datetime.fromtimestamp(remote.clock.now / SECOND, UTC)
    await Job.objects.filter(pk=lost).aupdate(state=State.RUNNING, started=began)
    await adrain()
    assert orders == []
    assert calls[-1][1] == f"r-{lost}"


async def test_a_deadline_holds_though_there_is_no_turn(site: Site) -> None:
    remote = site(One, {"rate": 0.01, "burst": 1}, deadline=30_000)
    One.answer = staticmethod(lambda at, job: Reading(State.RUNNING))
    await running(3, remote)
    ended = await adrain()
    assert {each.error and each.error.code for each in ended} == {"deadline"}
    assert remote.clock.now - One.begun < 31 * SECOND
    assert len(calls) == 1 + 3  # and each was told to stop


async def test_a_cancel_goes_before_all_who_wait(site: Site) -> None:
    remote = site(One, {"rate": 1, "burst": 1})
    ends(100 * SECOND)
    rows = await running(50, remote)
    with pytest.raises(AssertionError):
        await adrain(most=50)
    ((_, first),) = calls
    row = next(each for each in rows if each.remote != first)
    await jobs.acancel(row.pk, owner="me")
    (ended, *_) = await adrain()
    assert (ended.job, ended.state) == (str(row.pk), State.CANCELLED)
    assert [job for _, job in calls].index(row.remote) == 1
    assert at_most(1, 1)


async def test_who_is_nudged_before_its_turn_keeps_it(site: Site) -> None:
    remote = site(One, {"rate": 1, "burst": 1})
    ends(0)
    rows = await running(4, remote)
    with pytest.raises(AssertionError):
        await adrain(most=4)
    await registry.store().nudge([str(row.pk) for row in rows])
    await adrain()
    assert [at // SECOND for at, _ in calls] == [0, 1, 2, 3]


async def test_a_start_that_is_nudged_before_its_turn_keeps_it(site: Site) -> None:
    remote = site(One, {"rate": 1, "burst": 1})
    ends(0)
    await running(2, remote)
    with pytest.raises(AssertionError):
        await adrain(most=2)
    started = await jobs.astart(owner="me")
    with pytest.raises(AssertionError):
        await adrain(most=1)
    await registry.store().nudge([started.job])
    await adrain()
    assert [at // SECOND for at, _ in calls] == [0, 1, 2]


async def test_a_job_that_takes_its_workers_down_is_given_up_though_it_is_put_off(site: Site) -> None:
    remote = site(One, {"rate": 0.1, "burst": 1})
    ends(0)
    rows = await running(3, remote)
    store, key = registry.store(), str(rows[2].pk)
    await store.announce(registry.CHANNEL, "a worker", 100, 10**6)
    (lease,) = [
        each for each in await store.renew(await store.lease(9, 5_000), 1, "a worker") if each and each.key == key
    ]
    await store.settle([(lease, Again(6_000, attempt=4))])
    await store.announce(registry.CHANNEL, "a worker", 0, 0)
    with pytest.raises(AssertionError):
        await adrain(most=3)
    (entry,) = await store.peek([key])
    assert entry is not None
    assert entry.attempt == 4


async def test_without_limits_nobody_is_asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def take(self: MemoryLimits, service: str, limit: object, ask: Ask) -> Answer:
        asked.append(service)
        return Answer(ask.first, ask.due, ask.fresh)

    monkeypatch.setattr(MemoryLimits, "take", take)
    remote = site(One)
    ends(5 * SECOND)
    await running(10, remote)
    await adrain()
    assert asked == []
    remote = site(One, {"rate": 1})
    await running(10, remote)
    await adrain()
    assert asked


async def test_a_batch_of_steps_is_one_word_to_the_limits(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    asks: list[Ask] = []
    take = MemoryLimits.take

    async def noted(self: MemoryLimits, service: str, limit: Any, ask: Ask) -> Answer:
        asks.append(ask)
        return await take(self, service, limit, ask)

    monkeypatch.setattr(MemoryLimits, "take", noted)
    remote = site(One, {"rate": 1_000})
    One.answer = staticmethod(lambda at, job: Reading(State.SUCCEEDED))
    rows = await running(20, remote)
    for row in rows[:5]:
        await jobs.acancel(row.pk, owner="me")
    for _ in range(5):
        await jobs.astart(owner="me")
    await adrain()
    assert sorted((ask.first, ask.fresh) for ask in asks) == [(0, 5), (5, 15)]  # starts come by another way


@pytest.mark.parametrize("trouble", [ConnectionError("gone"), None])
async def test_limits_that_are_away_stop_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, trouble: Exception | None
) -> None:
    async def take(self: MemoryLimits, *args: object) -> Answer:
        if trouble is not None:
            raise trouble
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(MemoryLimits, "take", take)
    monkeypatch.setattr("progrock.consumers.turns.ANSWER_MOST", 0.02)
    remote = site(One, {"rate": 0.001, "concurrency": 1})
    ends(3 * SECOND)
    await running(5, remote)
    assert {each.state for each in await adrain()} == {State.SUCCEEDED}


async def test_a_dead_service_gets_probes_alone_and_no_job_fails_of_it(site: Site) -> None:
    remote = site(One, retry_most=30_000)

    def answer(at: int, job: str) -> Look:
        if 5 * SECOND <= at < 125 * SECOND:
            return DEAD
        return Reading(State.SUCCEEDED if at >= 125 * SECOND else State.RUNNING)

    One.answer = staticmethod(answer)
    await running(1_000, remote)
    ended = await adrain(100_000)
    assert [each.state for each in ended] == [State.SUCCEEDED] * 1_000
    during = [at for at, _ in calls if 5 * SECOND <= at < 125 * SECOND]
    probes = [at for at in during if at > during[FAILURES - 1]]
    assert 4 <= len(probes) <= 14  # after half a second, then 1, 2, 4, 8, 16, 30, each half of it at least


async def test_a_service_that_stays_dead_fails_its_jobs_when_patience_ends(site: Site) -> None:
    remote = site(One, patience=60_000)
    One.answer = staticmethod(lambda at, job: DEAD)
    await running(20, remote)
    ended = await adrain()
    assert {each.error and each.error.code for each in ended} == {"unreachable"}
    assert all(each.message.endswith("Nobody there.") for each in ended)
    assert 60 * SECOND <= remote.clock.now - One.begun < 63 * SECOND


async def test_one_job_that_the_service_stumbles_over_fails_no_other(site: Site) -> None:
    remote = site(One)
    ends(10 * MINUTE)
    healthy = One.answer
    One.answer = staticmethod(lambda at, job: DEAD if job == "r-0" else healthy(at, job))
    await running(3, remote)
    ended = await adrain(100_000)
    assert {each.state for each in ended if each.job} == {State.SUCCEEDED, State.FAILED}
    assert [each.state for each in ended].count(State.FAILED) == 1


@pytest.mark.parametrize("wait", [5_000, 90_000])
async def test_a_service_that_asks_to_wait_is_left_alone_by_all_until_then(site: Site, wait: int) -> None:
    """E18: a 429 or 503 with Retry-After."""
    remote = site(One)
    asked: list[int] = []

    def answer(at: int, job: str) -> Look:
        if at >= 10 * SECOND and not asked:
            asked.append(at)
            return Miss("unreachable", "The service is busy and asks us to wait.", wait, heard=False)
        return Reading(State.SUCCEEDED if asked and at > asked[0] else State.RUNNING)

    One.answer = staticmethod(answer)
    await running(200, remote)
    ended = await adrain(100_000)
    assert [each.state for each in ended] == [State.SUCCEEDED] * 200
    after = [at for at, _ in calls if at > asked[0]]
    assert min(after) >= asked[0] + wait * 1000
    assert min(after) < asked[0] + (wait + 1_000) * 1000


async def test_a_service_that_asks_for_longer_than_patience_is_not_called_for_it(site: Site) -> None:
    remote = site(One, patience=60_000)
    One.answer = staticmethod(lambda at, job: Miss("unreachable", "Busy.", 86_400_000, heard=False))
    await running(10, remote)
    ended = await adrain()
    assert {each.error and each.error.code for each in ended} == {"unreachable"}
    assert len(calls) == 10  # those of the first batch, before anybody knew


async def test_a_burst_of_500s_fails_nothing(site: Site) -> None:
    """E19: thirty seconds of them, each job with a back-off of its own."""
    remote = site(Many)
    One.answer = staticmethod(
        lambda at, job: (
            DEAD if 2 * SECOND < at < 32 * SECOND else Reading(State.SUCCEEDED if at > 40 * SECOND else State.RUNNING)
        )
    )
    await running(100, remote)
    ended = await adrain(100_000)
    assert [each.state for each in ended] == [State.SUCCEEDED] * 100
    assert remote.clock.now - One.begun < 2 * MINUTE
    assert len([at for at, _ in calls if 3 * SECOND < at < 32 * SECOND]) <= 15


async def test_a_start_is_answered_by_the_breaker_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = testing.lives._Alone()
    monkeypatch.setattr(testing.lives, "_Alone", lambda: worker)
    remote = site(One)
    One.answer = staticmethod(lambda at, job: DEAD if at < 20 * SECOND else Reading(State.SUCCEEDED))
    await running(10, remote)
    with pytest.raises(AssertionError):
        await adrain(most=10)
    count = len(calls)
    started = await jobs.astart(owner="me")
    with pytest.raises(AssertionError):
        await adrain(most=1)
    shown = await jobs.aget(started.job, owner="me")
    assert (len(calls), shown.misses, shown.message) == (count, 1, "Nobody there.")
    assert {each.state for each in await adrain()} == {State.SUCCEEDED}


async def test_a_thousand_that_began_together_are_not_looked_at_together(site: Site) -> None:
    remote = site(One, interval=1_000)
    ends(8 * SECOND)
    await running(1_000, remote)
    await adrain(100_000)
    settled = [at for at, _ in calls if 5 * SECOND <= at < 8 * SECOND]
    tenths = [sum(1 for at in settled if at // 100_000 == tenth) for tenth in range(50, 80)]
    assert len(settled) == pytest.approx(3_000, rel=0.1)
    assert max(tenths) < 170  # a hundred is even, a thousand is all at once


async def test_jobs_that_one_call_asks_for_stay_together(site: Site) -> None:
    remote = site(Many)
    ends(8 * SECOND)
    await running(20, remote)
    await adrain()
    assert {len(job.split(",")) for _, job in calls} == {10}


def test_a_worker_keeps_its_breakers_to_itself() -> None:
    one, two = JobWorker()._calls, JobWorker()._calls
    for _ in range(5):
        one._breakers["s"].failed(DEAD, registry.policy("s"), 1, 0.5)
    assert one.dead("s")
    assert not two.dead("s")
