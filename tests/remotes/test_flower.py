"""The preset flower against a real Flower, with a real Celery worker behind it."""

from __future__ import annotations

import uuid
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest

from progrock import jobs
from progrock.protocol import State
from progrock.services import Order, Started
from progrock.step import Miss
from tests.conftest import until
from tests.remotes.conftest import Declare, Run, end_of
from tests.remotes.looks import end, looks, start, states
from tests.remotes.servers import FlowerServer


@pytest.fixture(scope="module")
def server() -> Iterator[FlowerServer]:
    with FlowerServer() as server:
        yield server


@pytest.fixture
def options(server: FlowerServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("FLOWER_CREDENTIALS", b64encode(server.CREDENTIALS.encode()).decode())
    return {
        "preset": "flower",
        "base_url": server.url,
        "headers": {"Authorization": "Basic ${FLOWER_CREDENTIALS}"},
        "start": {"call": "POST /api/task/send-task/work.count"},
    }


async def test_a_celery_task_is_followed_to_its_result(declare: Declare, options: dict[str, Any]) -> None:
    service = declare(**options)
    job = str(uuid.uuid4())
    started = await service.start(Order(job, {"steps": 50}))
    assert isinstance(started, Started)
    assert started.remote == job, "the name that we gave it"
    readings = await end(service, job)
    assert states(readings)[-2:] == [State.RUNNING, State.SUCCEEDED]
    assert readings[-1].result == {"count": 50}


async def test_who_is_not_known_is_told_so(declare: Declare, options: dict[str, Any]) -> None:
    found = await declare(**options | {"headers": {}}).start(Order(str(uuid.uuid4()), {}))
    assert isinstance(found, Miss)
    assert found.code == "auth"


async def test_a_celery_task_that_raises_says_why(declare: Declare, options: dict[str, Any]) -> None:
    service = declare(**options)
    ended = (await end(service, await start(service, steps=1, fail="No more numbers")))[-1]
    assert (ended.state, ended.message) == (State.FAILED, "ValueError('No more numbers')")


async def test_a_cancel_is_a_revoke(declare: Declare, options: dict[str, Any]) -> None:
    service = declare(**options)
    remote = await start(service, steps=1000)
    await looks(service, remote, lambda reading: reading.state is State.RUNNING)
    await service.cancel(remote)
    assert (await end(service, remote))[-1].state is State.CANCELLED


async def test_the_engine_takes_jobs_to_their_end(run: Run, options: dict[str, Any]) -> None:
    await run(**options)
    long = await jobs.astart(owner="me", params={"steps": 1000})
    short = await jobs.astart(owner="me", params={"steps": 3})
    ended = await end_of(short.job)
    assert (ended.state, ended.progress, ended.result) == (State.SUCCEEDED, 100, {"count": 3})

    async def running() -> bool:
        return (await jobs.aget(long.job, owner="me")).state is State.RUNNING

    await until(running)
    await jobs.acancel(long.job, owner="me")
    assert (await end_of(long.job)).state is State.CANCELLED
