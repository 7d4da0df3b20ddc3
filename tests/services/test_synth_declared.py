"""The real synth without an adapter of its own: settings alone do what `config/synth.py` does."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from django.test import override_settings

from progrock import jobs
from progrock.delay import Relay
from progrock.embedded import Engine
from progrock.protocol import Snapshot, State
from progrock.services import File, HTTPService, Order, Started
from progrock.step import Look, Miss, Reading
from progrock.testing import drain, rock
from tests.conftest import until
from tests.synth.process import SynthProcess

SYNTH: dict[str, Any] = {
    "start": {"call": "POST /renders", "json": "params", "key": "Idempotency-Key"},
    "status": {"call": "GET /renders/{remote}"},
    "cancel": {"call": "DELETE /renders/{remote}"},
    "find": {"call": "GET /renders?key={job}", "at": "renders[0]"},
    "file": {"call": "GET /renders/{remote}/file"},
    "reading": {
        "remote": "id",
        "state": "state",
        "done": "done",
        "total": "total",
        "message": "message",
        "title": "join(' — ', [title, meter])",
        "result": "{title: title, meter: meter, tempo: tempo, seed: seed, length: length}",
        "error": "error.message || error",
        "file": "file && 'audio/wav'",
    },
    "states": {"queued": "pending"},
}
BATCH = {**SYNTH, "batch": {"call": "POST /renders/status", "json": "{ids: remotes}", "each": "renders"}}


@pytest.fixture(scope="module")
def process() -> Iterator[SynthProcess]:
    with SynthProcess() as process:
        yield process


@pytest.fixture(params=[SYNTH, BATCH], ids=["one by one", "batch"])
async def synth(request: pytest.FixtureRequest, process: SynthProcess) -> AsyncIterator[HTTPService]:
    service = HTTPService(base_url=f"{process.url}/v1", timeout=2_000, **request.param)
    yield service
    await service.aclose()
    process.call("DELETE", "/v1/trouble")


async def start(synth: HTTPService, job: str = "", **params: Any) -> str:
    params = {"mode": "clock", "length": 30, "seed": 1, **params}
    started = await synth.start(Order(job or str(uuid.uuid4()), synth.clean(params)))
    assert isinstance(started, Started), started
    return started.remote


async def look(synth: HTTPService, remote: str) -> Look:
    (look,) = await synth.poll([remote])
    return look


async def test_a_start_says_what_it_is(synth: HTTPService) -> None:
    started = await synth.start(Order(str(uuid.uuid4()), {"seed": 1, "meter": "7/8", "mode": "clock"}))
    assert isinstance(started, Started)
    assert started.reading.title.endswith(" — 7/8")


async def test_the_same_job_is_started_once_and_found(synth: HTTPService) -> None:
    job = str(uuid.uuid4())
    remote = await start(synth, job)
    assert await start(synth, job) == remote
    assert await synth.find(job) == remote
    assert await synth.find(str(uuid.uuid4())) is None


async def test_many_are_looked_at(synth: HTTPService) -> None:
    remotes = [await start(synth) for _ in range(5)]
    looks = await synth.poll([*remotes, "no-such-id"])
    assert [type(each) for each in looks] == [Reading] * 5 + [Miss]
    assert isinstance(looks[-1], Miss)
    assert looks[-1].code == "vanished"


async def test_a_render_ends_with_a_result_and_a_file(synth: HTTPService) -> None:
    remote = await start(synth, mode="render", length=0.5, pace=10)
    found: list[Look] = []

    async def ended() -> bool:
        found.append(await look(synth, remote))
        return isinstance(found[-1], Reading) and found[-1].state.complete

    await until(ended)
    assert isinstance(found[-1], Reading)
    assert (found[-1].state, found[-1].file, found[-1].percent) == (State.SUCCEEDED, "audio/wav", 100)
    assert found[-1].result["seed"] == 1
    opened = await synth.open(remote, {"Range": "bytes=0-3"})
    assert isinstance(opened, File)
    assert (opened.status, b"".join([chunk async for chunk in opened.body])) == (206, b"RIFF")


async def test_a_cancel_is_answered_with_the_end(synth: HTTPService) -> None:
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
        ({"kind": "status", "status": 403}, "auth"),
        ({"kind": "garbage", "body": "html"}, "nonsense"),
        ({"kind": "garbage", "body": "truncated"}, "nonsense"),
        ({"kind": "garbage", "body": "deep"}, "nonsense"),
        ({"kind": "garbage", "body": "huge"}, "nonsense"),
        ({"kind": "garbage", "body": "empty"}, "nonsense"),
        ({"kind": "garbage", "body": "nan"}, "nonsense"),
        ({"kind": "garbage", "body": "[]"}, "nonsense"),
        ({"kind": "garbage", "body": "null"}, "nonsense"),
        ({"kind": "hang"}, "unreachable"),
        ({"kind": "drip"}, "unreachable"),
        ({"kind": "reset"}, "unreachable"),
        ({"kind": "forget"}, "vanished"),
    ],
)
async def test_trouble_is_a_miss_with_a_reason(
    process: SynthProcess, synth: HTTPService, trouble: dict[str, Any], code: str
) -> None:
    remote = await start(synth)
    process.trouble({"on": ["status"], **trouble})
    found = await look(synth, remote)
    assert isinstance(found, Miss), found
    assert found.code == code
    if "retry_after" in trouble:
        assert found.again == 3_000


@pytest.mark.parametrize("trouble", ["status", "lost-reply", "hang", "garbage"])
async def test_a_start_in_trouble_is_found_if_it_was_heard(
    process: SynthProcess, synth: HTTPService, trouble: str
) -> None:
    job = str(uuid.uuid4())
    more: dict[str, dict[str, Any]] = {"status": {"status": 503}, "garbage": {"body": "html"}}
    process.trouble({"kind": trouble, "on": ["start"], "times": 1, **more.get(trouble, {})})
    order = Order(job, {"mode": "clock", "length": 30, "seed": 1})
    answer = await synth.start(order)
    assert isinstance(answer, Miss)
    assert answer.heard
    found = await synth.find(job)
    assert (found is None) == (trouble in ("status", "hang"))
    again = await synth.start(order)
    assert isinstance(again, Started)
    assert again.remote == (found or again.remote)


async def test_why_a_render_failed_is_told_in_words(process: SynthProcess, synth: HTTPService) -> None:
    remote = await start(synth)
    failed = {"id": remote, "state": "failed", "message": "x", "error": {"code": "c", "message": "The tape snapped."}}
    body = failed if synth.batch == 1 else {"renders": [failed], "unknown": []}
    process.trouble({"kind": "garbage", "on": ["status"], "body": json.dumps(body)})
    assert await look(synth, remote) == Reading(State.FAILED, message="The tape snapped.")


@pytest.fixture
async def engine(
    process: SynthProcess, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Engine]:
    monkeypatch.setattr(Relay, "last_message", 0.01)
    declared = {
        "BACKEND": "progrock.services.HTTPService",
        "OPTIONS": {"base_url": f"{process.url}/v1", **BATCH},
        "POLICY": {"interval": 50},
    }
    with override_settings(PROGROCK={"SERVICES": {"synth": declared}}):
        engine = Engine()
        await engine.start()
        yield engine
        await engine.stop()
    process.call("DELETE", "/v1/trouble")


async def end_of(job: str) -> Snapshot:
    async def ended() -> bool:
        return (await jobs.aget(job, owner="me")).complete

    await until(ended)
    return await jobs.aget(job, owner="me")


@pytest.mark.usefixtures("engine")
async def test_a_whole_life_by_settings_alone(process: SynthProcess) -> None:
    starts = process.call("GET", "/v1/stats").json["starts"]
    process.trouble(
        {"kind": "lost-reply", "on": ["start"], "times": 1}, {"kind": "garbage", "body": "html", "times": 2}
    )
    job = (await jobs.astart(params={"mode": "clock", "length": 1, "seed": 3}, owner="me")).job
    ended = await end_of(job)
    assert (ended.state, ended.progress, ended.error) == (State.SUCCEEDED, 100, None)
    assert ended.result is not None
    assert ended.result["seed"] == 3
    assert process.call("GET", "/v1/stats").json["starts"] == starts + 1


@pytest.mark.usefixtures("engine")
async def test_a_cancel_by_settings_alone() -> None:
    job = (await jobs.astart(params={"mode": "clock", "length": 60, "seed": 3}, owner="me")).job

    async def moved() -> bool:
        return bool((await jobs.aget(job, owner="me")).heard)

    await until(moved)
    await jobs.acancel(job, owner="me")
    assert (await end_of(job)).state is State.CANCELLED


@pytest.mark.django_db
def test_tests_of_others_need_no_service() -> None:
    declared = {"BACKEND": "progrock.services.HTTPService", "OPTIONS": {"base_url": "http://127.0.0.1:1", **BATCH}}
    with override_settings(PROGROCK={"SERVICES": {"synth": declared}}), rock() as remote:
        job = jobs.start(params={"seed": 3}, owner="me").job
        (ended,) = drain()
    assert (ended.job, ended.state) == (job, State.SUCCEEDED)
    assert remote.starts == {job: 1}
