"""The preset ogc-api-processes against a real pygeoapi."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from progrock import jobs
from progrock.protocol import State
from progrock.services import Order, Started
from progrock.step import Miss, Reading
from tests.conftest import until
from tests.remotes.conftest import Declare, Run, end_of
from tests.remotes.looks import end, look, looks, start, states
from tests.remotes.servers import PygeoapiServer
from tests.services.remote import Remote


@pytest.fixture(scope="module")
def server() -> Iterator[PygeoapiServer]:
    with PygeoapiServer() as server:
        yield server


@pytest.fixture
def options(server: PygeoapiServer) -> dict[str, Any]:
    call = "POST /processes/slow/execution"
    return {"preset": "ogc-api-processes", "base_url": server.url, "start": {"call": call}}


async def test_a_process_is_followed_to_its_result(declare: Declare, options: dict[str, Any]) -> None:
    service = declare(**options)
    readings = await end(service, await start(service, steps=4, pause=1))
    assert states(readings)[-2:] == [State.RUNNING, State.SUCCEEDED]
    seen = {(reading.percent, reading.message) for reading in readings}
    assert seen & {(25, "Counted to 1"), (50, "Counted to 2"), (75, "Counted to 3")}
    assert readings[-1].result == {"id": "count", "value": 4}


async def test_a_process_that_fails_says_why(declare: Declare, options: dict[str, Any]) -> None:
    service = declare(**options)
    ended = (await end(service, await start(service, steps=1, pause=0, fail="No more numbers")))[-1]
    assert ended.state is State.FAILED
    assert "No more numbers" in ended.message


async def test_it_calls_back_if_it_is_told_where(declare: Declare, options: dict[str, Any], played: Remote) -> None:
    played.say("POST /hook", {})
    json = "{inputs: params, subscriber: {successUri: hook, failedUri: hook}}"
    service = declare(**options | {"start": {**options["start"], "json": json}})
    started = await service.start(Order("a-job", {"steps": 1, "pause": 0.1}, f"{played.url}/hook"))
    assert isinstance(started, Started)
    await end(service, started.remote)
    await until(lambda: played.calls)
    assert (played.calls, played.asked[0].json) == (["POST /hook"], {"id": "count", "value": 1})


async def test_a_cancel_is_a_dismissal(server: PygeoapiServer, declare: Declare, options: dict[str, Any]) -> None:
    service = declare(**options)
    remote = await start(service, steps=50, pause=0.1)
    await looks(service, remote, lambda reading: reading.percent)
    cancelled = await service.cancel(remote)
    assert isinstance(cancelled, Reading)
    assert cancelled.state is State.CANCELLED
    assert remote.rpartition("/")[2] not in {job["jobID"] for job in server.get("/jobs?limit=100")["jobs"]}
    found = await look(service, remote)
    assert isinstance(found, Miss)
    assert found.code == "vanished"


async def test_what_it_refuses_is_a_miss(declare: Declare, options: dict[str, Any]) -> None:
    service = declare(**options | {"start": {"call": "POST /processes/none/execution"}})
    assert isinstance(await service.start(Order("a-job", {})), Miss)


async def test_the_engine_takes_jobs_to_their_end(run: Run, options: dict[str, Any]) -> None:
    await run(**options)
    long = await jobs.astart(owner="me", params={"steps": 500, "pause": 0.1})
    short = await jobs.astart(owner="me", params={"steps": 4, "pause": 0.1})
    ended = await end_of(short.job)
    assert (ended.state, ended.progress, ended.result) == (State.SUCCEEDED, 100, {"id": "count", "value": 4})

    async def counting() -> bool:
        return "Counted" in (await jobs.aget(long.job, owner="me")).message

    await until(counting)
    await jobs.acancel(long.job, owner="me")
    assert (await end_of(long.job)).state is State.CANCELLED
