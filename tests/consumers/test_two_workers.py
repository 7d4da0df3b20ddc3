"""Two workers, one Redis, and a server that counts: what is promised to a service, as the service sees it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pytest
from aiohttp import web
from channels.layers import get_channel_layer
from django.test import override_settings
from django.utils import timezone

from progrock import jobs, registry, standing
from progrock.consumers.worker import JobWorker
from progrock.delay import Scheduler
from progrock.models import Job
from progrock.protocol import State
from progrock.services import Client, File, Order, Service, Started
from progrock.step import Look, Miss, Reading
from progrock.updates import hub
from tests.conftest import until
from tests.ear import Ear
from tests.redis import RedisServer

pytestmark = pytest.mark.usefixtures("transactional_db")


class Plain(Service):
    """One GET a job."""

    def __init__(self, base_url: str) -> None:
        self.http = Client(base_url, timeout=9_000)

    async def start(self, order: Order) -> Started | Miss:
        raise AssertionError("expected no start")

    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        return await asyncio.gather(*map(self._look, remotes))

    async def _look(self, remote: str) -> Look:
        reply = await self.http.call("GET", f"/jobs/{remote}")
        return reply if isinstance(reply, Miss) else Reading(State(reply.body["state"]))

    async def cancel(self, remote: str) -> Look:
        raise AssertionError("expected no cancel")

    async def open(self, remote: str, headers: Mapping[str, str]) -> File | Miss:
        raise AssertionError("expected no file to be opened")

    async def aclose(self) -> None:
        await self.http.aclose()


class Worker(JobWorker):
    """One of two."""

    running: asyncio.Task[None]


class Remote:
    """A server that says when it was asked, and how many asked at once."""

    def __init__(self) -> None:
        self.calls: list[float] = []
        self.busy = self.busiest = 0
        self.takes = 0.0
        """Seconds that an answer takes."""
        self.sticks = False
        """Whether the next call is answered only when the gate opens."""
        self.gate = asyncio.Event()
        self.answer: Callable[[float], web.Response] = lambda at: web.json_response({"state": "running"})
        self.url = ""

    async def look(self, request: web.Request) -> web.Response:
        at = asyncio.get_running_loop().time()
        self.calls.append(at)
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            await asyncio.sleep(self.takes)
            if self.sticks:
                self.sticks = False
                await self.gate.wait()
            return self.answer(at)
        finally:
            self.busy -= 1


@pytest.fixture
async def remote() -> AsyncIterator[Remote]:
    remote = Remote()
    app = web.Application()
    app.router.add_get("/jobs/{remote}", remote.look)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    remote.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    yield remote
    remote.gate.set()
    await runner.cleanup()


Site = Callable[..., Awaitable[list[Worker]]]


@pytest.fixture
async def site(redis: RedisServer, remote: Remote) -> AsyncIterator[Site]:
    """Run a scheduler and two workers beside the test, with some jobs to look at."""
    stack: list[override_settings] = []
    running: list[asyncio.Task[None]] = []

    async def start(count: int, limits: dict[str, Any] | None = None, *, slots: int = 0, **policy: int) -> list[Worker]:
        backend = f"{Plain.__module__}.{Plain.__qualname__}"
        options = {"base_url": remote.url}
        declared = {"BACKEND": backend, "OPTIONS": options, "LIMITS": limits, "POLICY": {"interval": 50, **policy}}
        setting = override_settings(PROGROCK={"SERVICES": {"s": declared}, "STORE": redis.url})
        setting.enable()
        stack.append(setting)
        now = timezone.now()
        begun = {"service": "s", "owner": "me", "state": State.RUNNING, "created": now, "changed": now, "started": now}
        rows = [Job(remote=f"r-{number}", **begun) for number in range(count)]
        await Job.objects.abulk_create(rows)
        await registry.store().schedule([standing.entry_for(row, 0) for row in rows])
        workers = [Worker(), Worker()]
        for worker in workers:
            worker.slots = slots or count // 10  # so that each has its share
            scope = {"type": "channel", "channel": registry.CHANNEL}
            # Starts are nobody's here: one channel in memory has one reader.
            work = worker(scope, asyncio.get_running_loop().create_future, partial(asyncio.sleep, 0))
            worker.running = asyncio.ensure_future(work)
            running.append(worker.running)
        await until(lambda: all(hasattr(worker, "channel_name") for worker in workers))
        scheduler = Scheduler(registry.store(), get_channel_layer(registry.WORK_LAYER))
        running.append(asyncio.ensure_future(scheduler.run()))
        return workers

    yield start
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await registry.aclose()
    for setting in stack:
        setting.disable()


async def all_ended() -> bool:
    return not await Job.objects.filter(finished__isnull=True).aexists()


def both_called(workers: Sequence[Worker]) -> bool:
    return all(worker._calls._turns for worker in workers)


async def test_two_workers_keep_to_one_rate(site: Site, remote: Remote) -> None:
    rate, burst = 40, 10
    workers = await site(60, {"rate": rate, "burst": burst})
    await until(lambda: len(remote.calls) >= 90)
    assert both_called(workers)
    calls = list(remote.calls)
    # A call is counted before it is made, and takes a moment to get there.
    slack = 0.1
    for first in range(0, len(calls), 5):
        for later in range(first, len(calls)):
            # What was granted may be held up until there is a burst more; two rates would let through twice as many.
            assert later - first + 1 <= 2 * burst + (calls[later] - calls[first] + slack) * rate
    # What comes while the machine does something else is lost beyond the burst.
    lost = sum(max(0.0, after - before - burst / rate) for before, after in itertools.pairwise(calls))
    assert len(calls) >= (calls[-1] - calls[0] - lost) * rate * 0.7
    remote.answer = lambda at: web.json_response({"state": "succeeded"})
    await until(all_ended)


async def test_two_workers_have_so_many_calls_under_way_and_no_more(site: Site, remote: Remote) -> None:
    remote.takes = 0.03
    workers = await site(40, {"concurrency": 4})
    await until(lambda: len(remote.calls) >= 60)
    assert both_called(workers)
    assert remote.busiest == 4
    remote.answer = lambda at: web.json_response({"state": "succeeded"})
    await until(all_ended)


async def test_a_worker_that_stops_gives_back_its_permits(site: Site, remote: Remote) -> None:
    remote.sticks = True
    workers = await site(20, {"concurrency": 4}, slots=20)
    await until(lambda: remote.busy)
    for worker in workers:
        worker.running.cancel()
    await asyncio.wait([worker.running for worker in workers])

    async def given_back() -> bool:
        return not await registry._polite().command("HLEN", "{polite.s}:permits")

    await until(given_back, within=5)  # long before they end by themselves


async def test_a_call_that_takes_long_keeps_no_other_from_being_made(site: Site, remote: Remote) -> None:
    remote.sticks = True
    await site(20, {"concurrency": 4}, slots=20)
    await until(lambda: remote.busy)
    await until(lambda: len(remote.calls) >= 60, 8)  # the call is given up after nine seconds
    assert remote.busiest <= 4
    remote.gate.set()
    remote.answer = lambda at: web.json_response({"state": "succeeded"})
    await until(all_ended)


async def test_what_one_web_process_marks_is_known_to_all_workers(site: Site, remote: Remote) -> None:
    await site(10, unwatched=60_000)
    await until(lambda: len(remote.calls) == 10)
    row = await Job.objects.aget(remote="r-7")
    ear = Ear()
    assert await hub().watch("me", str(row.pk), ear)
    await jobs.ahasten([await jobs.aget(row.pk, owner="me")])
    await until(lambda: len(remote.calls) >= 20)
    assert {update.job for update in ear.heard} == {str(row.pk)}
    await hub().unwatch("me", str(row.pk), ear)
    remote.answer = lambda at: web.json_response({"state": "succeeded"})
    await registry.store().nudge([str(each.pk) async for each in Job.objects.all()])
    await until(all_ended)


async def test_a_429_with_retry_after_is_obeyed_by_a_worker_for_all_its_jobs(site: Site, remote: Remote) -> None:
    """E18, by a real answer: each worker hears it once, and is silent until then."""
    workers = await site(40)
    await until(lambda: len(remote.calls) >= 80)
    refused: list[float] = []

    def refuse(at: float) -> web.Response:
        refused.append(at)
        return web.Response(status=429, headers={"Retry-After": "3"})

    remote.answer = refuse
    await until(lambda: all(worker._calls.dead("s") for worker in workers))
    heard = len(remote.calls)
    remote.answer = lambda at: web.json_response({"state": "succeeded"})
    await until(all_ended)
    held = [at for at in remote.calls[heard:] if at < refused[0] + 3]
    assert len(held) <= sum(worker.slots for worker in workers)  # those that were on their way
    assert not await Job.objects.exclude(state=State.SUCCEEDED).aexists()


async def test_counts_that_are_lost_or_spoilt_stop_nothing(site: Site, remote: Remote) -> None:
    await site(20, {"rate": 100, "concurrency": 5})
    await until(lambda: len(remote.calls) >= 30)
    keys = await registry._polite().command("KEYS", "{polite.*")
    await registry._polite().command("DEL", *keys)
    await registry._polite().command("SET", "{polite.s}:bucket", "no hash")  # other hands
    calls = len(remote.calls)
    await until(lambda: len(remote.calls) >= calls + 30)
    remote.answer = lambda at: web.json_response({"state": "succeeded"})
    await until(all_ended)
