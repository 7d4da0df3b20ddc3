"""The demo's adapter against the real synth, in and out of trouble."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from config.synth import SynthService
from progrock.exceptions import InvalidParams
from progrock.protocol import State
from progrock.services import File, Order, Started
from progrock.step import Miss, Reading
from tests.conftest import until
from tests.synth.process import SynthProcess


@pytest.fixture(scope="module")
def process() -> Iterator[SynthProcess]:
    with SynthProcess() as process:
        yield process


@pytest.fixture
async def synth(process: SynthProcess) -> AsyncIterator[SynthService]:
    service = SynthService(process.url, timeout=2_000)
    yield service
    await service.aclose()
    process.call("DELETE", "/v1/trouble")


async def start(synth: SynthService, job: str = "", **params: Any) -> str:
    params = {"mode": "clock", "length": 30, **params}
    started = await synth.start(Order(job or str(uuid.uuid4()), synth.clean(params)))
    assert isinstance(started, Started)
    return started.remote


async def look(synth: SynthService, remote: str) -> Reading:
    (reading,) = await synth.poll([remote])
    assert isinstance(reading, Reading)
    return reading


async def test_a_start_says_what_it_is(synth: SynthService) -> None:
    started = await synth.start(Order(str(uuid.uuid4()), {"seed": 1, "meter": "7/8", "tempo": 142, "mode": "clock"}))
    assert isinstance(started, Started)
    assert started.reading.title.endswith(" — 7/8, 142 bpm")


async def test_the_same_job_is_started_once(synth: SynthService) -> None:
    order = Order(str(uuid.uuid4()), synth.clean({"mode": "clock"}))
    first, again = await synth.start(order), await synth.start(order)
    assert isinstance(first, Started)
    assert isinstance(again, Started)
    assert first.remote == again.remote
    assert await synth.find(order.job) == first.remote
    assert await synth.find(str(uuid.uuid4())) is None


async def test_many_are_looked_at_with_one_call(process: SynthProcess, synth: SynthService) -> None:
    remotes = [await start(synth) for _ in range(5)]
    looks = await synth.poll([*remotes, "no-such-id"])
    assert [type(look) for look in looks] == [Reading] * 5 + [Miss]
    assert isinstance(looks[-1], Miss)
    assert looks[-1].code == "vanished"


async def test_a_render_ends_with_a_file(synth: SynthService) -> None:
    remote = await start(synth, mode="render", length=0.5, pace=10)
    readings: list[Reading] = []

    async def ended() -> bool:
        readings.append(await look(synth, remote))
        return readings[-1].state.complete

    await until(ended)
    assert (readings[-1].state, readings[-1].file, readings[-1].percent) == (State.SUCCEEDED, "audio/wav", 100)
    opened = await synth.open(remote, {"Range": "bytes=0-3"})
    assert isinstance(opened, File)
    assert (opened.status, b"".join([chunk async for chunk in opened.body])) == (206, b"RIFF")


async def test_a_cancel_is_answered_with_the_end(synth: SynthService) -> None:
    remote = await start(synth)
    for _ in range(2):
        reading = await synth.cancel(remote)
        assert isinstance(reading, Reading)
        assert reading.state is State.CANCELLED


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        ({"kind": "status", "status": 500}, "unreachable"),
        ({"kind": "status", "status": 429, "retry_after": 3}, "unreachable"),
        ({"kind": "garbage", "body": "html"}, "nonsense"),
        ({"kind": "garbage", "body": "truncated"}, "nonsense"),
        ({"kind": "garbage", "body": "deep"}, "nonsense"),
        ({"kind": "garbage", "body": "huge"}, "nonsense"),
        ({"kind": "garbage", "body": "empty"}, "nonsense"),
        ({"kind": "garbage", "body": "nan"}, "nonsense"),
        ({"kind": "garbage", "body": "[]"}, "nonsense"),
        ({"kind": "garbage", "body": "null"}, "nonsense"),
        ({"kind": "garbage", "body": '{"renders": [1], "unknown": {}}'}, "nonsense"),
        ({"kind": "garbage", "body": '{"renders": [{"id": "another"}], "unknown": []}'}, "nonsense"),
        ({"kind": "hang"}, "unreachable"),
        ({"kind": "drip"}, "unreachable"),
        ({"kind": "reset"}, "unreachable"),
        ({"kind": "forget"}, "vanished"),
    ],
)
async def test_trouble_is_a_miss_with_a_reason(
    process: SynthProcess, synth: SynthService, trouble: dict[str, Any], code: str
) -> None:
    remote = await start(synth)
    process.trouble({"on": ["status"], **trouble})
    (found,) = await synth.poll([remote])
    assert isinstance(found, Miss), found
    assert found.code == code
    if "retry_after" in trouble:
        assert found.again == 3_000


@pytest.mark.parametrize("done", [-5, "abc", None, [1], True])
async def test_numbers_that_are_none_are_passed_on_as_unknown(
    process: SynthProcess, synth: SynthService, done: object
) -> None:
    remote = await start(synth)
    process.trouble({"kind": "percent", "on": ["status"], "done": done, "total": 100})
    reading = await look(synth, remote)
    assert reading.percent in (None, -5)


async def test_a_state_that_is_not_known_is_taken_for_running(process: SynthProcess, synth: SynthService) -> None:
    remote = await start(synth)
    process.trouble({"kind": "state", "on": ["status"], "state": "pondering"})
    assert (await look(synth, remote)).state is State.RUNNING


@pytest.mark.parametrize(
    "params",
    [
        {"tempo": "x"},
        {"tempo": 10_000},
        {"meter": "4/4"},
        {"meter": "\ud800"},
        {"length": -1},
        {"length": 1e9},
        {"seed": -1},
        {"colour": 1},
        {"\ud800": 1},
    ],
)
def test_parameters_that_cannot_be_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(InvalidParams, match=r"^params: "):
        SynthService("http://127.0.0.1:1").clean(params)


def test_every_start_has_a_seed_of_its_own() -> None:
    synth = SynthService("http://127.0.0.1:1")
    assert synth.clean({})["seed"] != synth.clean({})["seed"]
    assert synth.clean({"seed": "7", "tempo": "90", "length": "2.5"}) == {"seed": 7, "tempo": 90, "length": 2.5}
    assert synth.clean({"seed": 7, "tempo": 90}) == {"seed": 7, "tempo": 90}


@pytest.mark.parametrize("error", [{"code": "tape-snapped", "message": "The tape snapped."}, "The tape snapped."])
async def test_why_a_render_failed_is_told_in_words(process: SynthProcess, synth: SynthService, error: object) -> None:
    remote = await start(synth)
    failed = {"renders": [{"id": remote, "state": "failed", "message": "x", "error": error}], "unknown": []}
    process.trouble({"kind": "garbage", "on": ["status"], "body": json.dumps(failed)})
    reading = await look(synth, remote)
    assert (reading.state, reading.message) == (State.FAILED, "The tape snapped.")
