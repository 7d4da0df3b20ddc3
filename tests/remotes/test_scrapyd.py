"""The preset scrapyd against a real Scrapyd, whose spider reads pages from Scrapyd itself."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest

from progrock import jobs
from progrock.protocol import State
from progrock.services import Order, Started
from progrock.step import Miss, Reading
from tests.conftest import until
from tests.remotes.conftest import Declare, Run, end_of
from tests.remotes.looks import end, looks, start, states
from tests.remotes.servers import ScrapydServer
from tests.services.remote import Remote


@pytest.fixture(scope="module")
def server() -> Iterator[ScrapydServer]:
    with ScrapydServer() as server:
        yield server


@pytest.fixture
def options(server: ScrapydServer) -> dict[str, Any]:
    return {"preset": "scrapyd", "base_url": server.url}


@pytest.fixture
def crawl(server: ScrapydServer) -> dict[str, Any]:
    """What a crawl of three pages is started with."""
    return {"spider": "pages", "url": server.url + server.ready, "pages": 3, "pause": 0.1}


async def test_a_crawl_is_followed_to_its_end(declare: Declare, options: dict[str, Any], crawl: dict[str, Any]) -> None:
    service = declare(**options)
    job = str(uuid.uuid4())
    assert service.finds
    assert await service.find(job) is None
    started = await service.start(Order(job, crawl))
    assert isinstance(started, Started)
    assert started.remote == job, "the name that we gave it"
    assert await service.find(job) == job
    readings = await end(service, job)
    assert states(readings)[-2:] == [State.RUNNING, State.SUCCEEDED]
    assert {reading.title for reading in readings} == {"pages"}
    assert readings[-1].result == {"items": f"/items/default/pages/{job}.jl", "log": f"/logs/default/pages/{job}.log"}


async def test_params_say_nothing_of_project_settings_or_name(
    declare: Declare, options: dict[str, Any], crawl: dict[str, Any], played: Remote
) -> None:
    played.say("POST /schedule.json", {"status": "ok", "jobid": "the-job"})
    bad = {"project": "x", "jobid": "y", "setting": "FEEDS={}", "priority": "9", "_version": "1"}
    started = await declare(**options | {"base_url": played.url}).start(Order("the-job", crawl | bad))
    assert isinstance(started, Started)
    sent = parse_qs(played.asked[0].body.decode())
    assert sent == {key: [str(value)] for key, value in {**crawl, "project": "default", "jobid": "the-job"}.items()}


async def test_one_call_tells_of_all(declare: Declare, options: dict[str, Any], crawl: dict[str, Any]) -> None:
    service = declare(**options)
    one, two = await start(service, **crawl), await start(service, **crawl)
    found = await service.poll([two, "nobody", one])
    assert [type(each) for each in found] == [Reading, Miss, Reading]
    assert isinstance(found[1], Miss)
    assert found[1].code == "vanished"
    for remote in (one, two):
        await end(service, remote)


async def test_a_crawl_that_runs_is_cancelled(
    server: ScrapydServer, declare: Declare, options: dict[str, Any], crawl: dict[str, Any]
) -> None:
    service = declare(**options)
    remote = await start(service, **crawl | {"pages": 1000})
    await looks(service, remote, lambda reading: reading.state is State.RUNNING)
    cancelled = await service.cancel(remote)
    assert isinstance(cancelled, Reading)
    assert cancelled.state is State.CANCELLED
    await until(lambda: server.get("/listjobs.json")["running"] == [])


async def test_a_cancel_that_comes_too_late_says_how_it_ended(
    declare: Declare, options: dict[str, Any], crawl: dict[str, Any]
) -> None:
    service = declare(**options)
    remote = await start(service, **crawl)
    await end(service, remote)
    found = await service.cancel(remote)
    assert isinstance(found, Reading)
    assert found.state is State.SUCCEEDED


async def test_what_it_refuses_is_a_miss_with_its_reason(
    declare: Declare, options: dict[str, Any], crawl: dict[str, Any]
) -> None:
    service = declare(**options)
    found = await service.start(Order(str(uuid.uuid4()), crawl | {"spider": "none"}))
    assert isinstance(found, Miss)
    assert "spider 'none' not found" in found.message


async def test_the_engine_takes_jobs_to_their_end(
    server: ScrapydServer, run: Run, options: dict[str, Any], crawl: dict[str, Any]
) -> None:
    await run(**options)
    short = await jobs.astart(owner="me", params=crawl)
    long = await jobs.astart(owner="me", params=crawl | {"pages": 1000})
    ended = await end_of(short.job)
    assert (ended.state, ended.title) == (State.SUCCEEDED, "pages")
    await jobs.acancel(long.job, owner="me")
    assert (await end_of(long.job)).state is State.CANCELLED
    await until(lambda: server.get("/listjobs.json")["running"] == [])


async def test_a_crawl_that_is_forgotten_is_failed_with_its_reason(
    server: ScrapydServer, run: Run, options: dict[str, Any], crawl: dict[str, Any]
) -> None:
    """Scrapyd keeps what is over and what runs in memory."""
    await run(**options)
    started = await jobs.astart(owner="me", params=crawl | {"pages": 1000})

    async def seen() -> bool:
        return (await jobs.aget(started.job, owner="me")).title == "pages"

    async def missed() -> int:
        return (await jobs.aget(started.job, owner="me")).misses

    await until(seen)
    await until(lambda: server.get("/listjobs.json")["running"])
    server.kill()
    await until(missed)
    server.start()
    ended = await end_of(started.job)
    assert ended.error
    assert (ended.state, ended.error.code) == (State.FAILED, "vanished")
