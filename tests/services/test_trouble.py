"""A service in trouble, by every way to speak to it: what one look brings, and how jobs end.

The letters are the rows of the table of faults: E is the remote service, slow, broken or hostile.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from django.utils.module_loading import import_string
from msgspec.structs import replace

from progrock import jobs, registry, signals
from progrock.consumers.worker import JobWorker
from progrock.delay import HAND_OFF, Lease
from progrock.protocol import Snapshot, State
from progrock.services import Order, Service
from progrock.step import Look, Miss, Reading
from progrock.testing import StillGoing, adrain
from progrock.testing.hostile import hostile, http
from tests.conftest import until
from tests.services.adapters import ADAPTERS
from tests.services.site import LONG, QUICK, Site, playing
from tests.synth.process import SynthProcess

IN_TIME = r"The service did not answer in time\."
NO_SENSE = r"The (service|synth)'s answer (made no sense|does not say how the job stands).*"
UNKNOWN = r"The (service|synth) does not know this (job|track) any more\."


@pytest.fixture(scope="module")
def process() -> Iterator[SynthProcess]:
    with SynthProcess() as process:
        yield process


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def timeout(request: pytest.FixtureRequest) -> int:
    """Wait long for an answer, unless it is known that none will come."""
    trouble = request.node.callspec.params.get("trouble", {})
    return 300 if trouble.get("kind") in ("hang", "drip") or trouble.get("ms", 0) >= 1_000 else 5_000


@pytest.fixture
async def service(process: SynthProcess, adapter: str, timeout: int) -> AsyncIterator[Service]:
    path, options = ADAPTERS[adapter]
    service: Service = import_string(path)(**options, base_url=process.url, timeout=timeout)
    yield service
    await service.aclose()
    process.trouble()


@pytest.fixture
async def site(process: SynthProcess, adapter: str, timeout: int, transactional_db: None) -> AsyncIterator[Site]:
    path, options = ADAPTERS[adapter]
    async with playing(process, path, {**options, "timeout": timeout}, {}) as site:
        yield site


async def look(process: SynthProcess, service: Service, **trouble: Any) -> Look:
    """Return what a look at a running job brings that runs into trouble."""
    render = process.call("POST", "/v1/renders", LONG).json["id"]
    process.trouble({"on": ["status"], **trouble})
    (look,) = await service.poll([render])
    return look


# By row: the trouble, the code of the miss, and what a person reads.
MISSES: list[tuple[str, dict[str, Any], str, str]] = [
    ("E02", {"kind": "hang"}, "unreachable", IN_TIME),
    ("E02", {"kind": "latency", "ms": 2_000}, "unreachable", IN_TIME),
    ("E03", {"kind": "drip", "ms": 50}, "unreachable", IN_TIME),
    ("E04", {"kind": "reset"}, "unreachable", r"The service broke off in the middle of its answer\."),
    ("E04", {"kind": "lost-reply"}, "unreachable", r"The service cannot be reached\."),
    ("E07", {"kind": "garbage", "body": "html"}, "nonsense", NO_SENSE),
    ("E07", {"kind": "garbage", "body": "empty"}, "nonsense", NO_SENSE),
    ("E07", {"kind": "garbage", "body": "truncated"}, "nonsense", NO_SENSE),
    ("E07", {"kind": "garbage", "body": "null"}, "nonsense", NO_SENSE),
    ("E07", {"kind": "garbage", "body": "[]"}, "nonsense", NO_SENSE),
    ("E09", {"kind": "garbage", "body": "huge"}, "nonsense", r"The service's answer was far too long\."),
    ("E09", {"kind": "garbage", "body": "zeros"}, "nonsense", r"The service's answer was far too long\."),
    ("E10", {"kind": "garbage", "body": "gzip"}, "nonsense", NO_SENSE),
    ("E11", {"kind": "garbage", "body": "deep"}, "nonsense", NO_SENSE),
    ("E13", {"kind": "garbage", "body": "nan"}, "nonsense", NO_SENSE),
    ("E16", {"kind": "forget"}, "vanished", UNKNOWN),
    ("E17", {"kind": "status", "status": 401}, "auth", r".* does not accept our credentials \(it answered 401\)\."),
    ("E17", {"kind": "status", "status": 403}, "auth", r".* does not accept our credentials \(it answered 403\)\."),
    ("E18", {"kind": "status", "status": 429}, "unreachable", r"The service is busy and asks us to wait\."),
    ("E19", {"kind": "status", "status": 500}, "unreachable", r"The service is in trouble \(it answered 500\)\."),
    ("E19", {"kind": "status", "status": 503}, "unreachable", r"The service is in trouble \(it answered 503\)\."),
    ("E21", {"kind": "redirect", "to": "http://127.0.0.1:1/latest"}, "nonsense", r".* was not expected \(302\)\."),
    ("E25", {"kind": "stranger", "id": "somebody-else"}, "nonsense|vanished", r".*"),
]


@pytest.mark.parametrize(("row", "trouble", "code", "message"), MISSES)
async def test_a_look_that_goes_wrong_is_a_miss(
    process: SynthProcess, service: Service, row: str, trouble: dict[str, Any], code: str, message: str
) -> None:
    found = await look(process, service, **trouble)
    assert isinstance(found, Miss), found
    assert re.fullmatch(code, found.code), found
    assert re.fullmatch(message, found.message), found


# By row: the trouble, and what a look brings nevertheless.
READINGS: list[tuple[str, dict[str, Any], object]] = [
    ("E02", {"kind": "latency", "ms": 50}, 0),
    ("E13", {"kind": "percent", "done": -5, "total": 100}, -5),
    ("E13", {"kind": "percent", "done": 150, "total": 100}, 150),
    ("E13", {"kind": "percent", "done": "abc", "total": 100}, None),
    ("E13", {"kind": "percent", "done": None}, None),
    ("E13", {"kind": "percent", "done": [1], "total": {}}, None),
    ("E13", {"kind": "percent", "done": True, "total": 100}, None),
    ("E13", {"kind": "percent", "done": 1, "total": 0}, None),
    ("E13", {"kind": "percent", "done": 10**400, "total": 100}, None),
    ("E24", {"kind": "state", "state": "pondering"}, 0),
    ("E24", {"kind": "state", "state": "\u2603\n" * 1_000}, 0),
    ("E24", {"kind": "state", "state": "RUNNING"}, 0),
]


@pytest.mark.parametrize(("row", "trouble", "percent"), READINGS)
async def test_a_look_that_says_odd_things_is_a_reading_nevertheless(
    process: SynthProcess, service: Service, row: str, trouble: dict[str, Any], percent: object
) -> None:
    found = await look(process, service, **trouble)
    assert isinstance(found, Reading), found
    assert found.state is State.RUNNING
    assert found.percent == pytest.approx(percent, abs=1) if percent is not None else not found.percent


# What a service asks us to wait, and the milliseconds that this is.
WAITS = [
    (5, 5_000),
    ("Fri, 31 Dec 1999 23:59:59 GMT", 0),
    ("Fri, 31 Dec 9999 23:59:59 GMT", None),
    (-1, None),
    (10**12, None),
    ("soon", None),
]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("asked", "wait"), WAITS)
async def test_e18_what_a_service_asks_us_to_wait_is_read(
    process: SynthProcess, service: Service, status: int, asked: object, wait: int | None
) -> None:
    found = await look(process, service, kind="status", status=status, retry_after=asked)
    assert isinstance(found, Miss)
    assert found.again == wait


GAVE_UP = r"Gave up after \d+ seconds without an answer\. "

# By row: the trouble that every look runs into, by which code the job fails, with which words, after how many looks.
ENDS: list[tuple[str, dict[str, Any], str, str, int | None]] = [
    ("E02", {"kind": "hang"}, "unreachable", GAVE_UP + IN_TIME, None),
    ("E04", {"kind": "reset"}, "unreachable", GAVE_UP + r"The service broke off .*", None),
    ("E07", {"kind": "garbage", "body": "html"}, "nonsense", NO_SENSE, 5),
    ("E09", {"kind": "garbage", "body": "zeros"}, "nonsense", r"The service's answer was far too long\.", 5),
    ("E10", {"kind": "garbage", "body": "gzip"}, "nonsense", NO_SENSE, 5),
    ("E11", {"kind": "garbage", "body": "deep"}, "nonsense", NO_SENSE, 5),
    ("E16", {"kind": "forget"}, "vanished", UNKNOWN, 3),
    (
        "E17",
        {"kind": "status", "status": 401},
        "auth",
        r"Gave up after \d+ seconds\. .* our credentials \(.* 401\)\.",
        None,
    ),
    ("E18", {"kind": "status", "status": 429, "retry_after": 10**12}, "unreachable", GAVE_UP + r".* busy and .*", None),
    (
        "E19",
        {"kind": "status", "status": 500},
        "unreachable",
        GAVE_UP + r"The service is in trouble \(.* 500\)\.",
        None,
    ),
    ("E24", {"kind": "state", "state": "pondering"}, "deadline", r"It was not finished within 60 seconds\.", None),
    ("E25", {"kind": "stranger", "id": "another"}, "nonsense|vanished", r".*", None),
    ("E28", {"kind": "latency", "ms": 0}, "deadline", r"It was not finished within 60 seconds\.", None),
]


@pytest.mark.parametrize(("row", "trouble", "code", "message", "looks"), ENDS)
async def test_a_job_whose_every_look_goes_wrong_fails_for_a_reason(
    site: Site, row: str, trouble: dict[str, Any], code: str, message: str, looks: int | None
) -> None:
    ended = await site.end(LONG, {"on": ["status"], **trouble})
    assert ended.state is State.FAILED
    assert ended.error is not None
    assert re.fullmatch(code, ended.error.code), ended
    assert re.fullmatch(message, ended.message), ended.message
    assert ended.message == ended.error.message
    assert looks is None or site.hits() == looks
    assert site.starts() == 1


# By row: the trouble that a job gets over.
PASSES: list[tuple[str, dict[str, Any]]] = [
    ("E02", {"kind": "hang", "times": 2}),
    ("E03", {"kind": "drip", "ms": 50, "times": 2}),
    ("E04", {"kind": "reset", "times": 4}),
    ("E07", {"kind": "garbage", "body": "html", "times": 4}),
    ("E13", {"kind": "percent", "done": -5}),
    ("E13", {"kind": "percent", "done": 150, "total": 1}),
    ("E13", {"kind": "percent", "done": "abc"}),
    ("E13", {"kind": "percent", "done": None}),
    ("E14", {"kind": "backwards"}),
    ("E15", {"kind": "state", "state": "succeeded", "times": 1}),
    ("E16", {"kind": "status", "status": 404, "times": 2}),
    ("E17", {"kind": "status", "status": 403, "times": 1}),
    ("E18", {"kind": "status", "status": 429, "retry_after": 5, "times": 2}),
    ("E18", {"kind": "status", "status": 429, "retry_after": -1, "times": 2}),
    ("E18", {"kind": "status", "status": 429, "retry_after": 10**12, "times": 1}),
    ("E18", {"kind": "status", "status": 429, "retry_after": "soon", "times": 2}),
    ("E19", {"kind": "status", "status": 500, "times": 4}),
    ("E24", {"kind": "state", "state": "pondering", "times": 3}),
    ("E25", {"kind": "stranger", "id": "another", "times": 2}),
    ("E30", {"kind": "status", "status": 503, "retry_after": "Fri, 31 Dec 9999 23:59:59 GMT", "times": 1}),
]


@pytest.mark.parametrize(("row", "trouble"), PASSES)
async def test_a_job_gets_over_what_passes(site: Site, row: str, trouble: dict[str, Any]) -> None:
    ended = await site.end(QUICK, {"on": ["status"], **trouble})
    assert (ended.state, ended.progress, ended.error) == (State.SUCCEEDED, 100, None), ended
    assert (ended.misses, ended.percent) == (0, 100)
    assert site.hits() == trouble.get("times", site.hits())
    assert site.starts() == 1


# By row: the trouble at the start that a job gets over, and how many renders there are then.
STARTS: list[tuple[str, dict[str, Any]]] = [
    ("A18", {"kind": "lost-reply", "times": 2}),
    ("E02", {"kind": "hang", "times": 2}),
    ("E03", {"kind": "drip", "ms": 50, "times": 1}),
    ("E04", {"kind": "reset", "times": 1}),
    ("E07", {"kind": "garbage", "body": "html", "times": 1}),
    ("E07", {"kind": "garbage", "body": "truncated", "times": 1}),
    ("E09", {"kind": "garbage", "body": "zeros", "times": 1}),
    ("E17", {"kind": "status", "status": 401, "times": 1}),
    ("E18", {"kind": "status", "status": 429, "retry_after": 5, "times": 2}),
    ("E19", {"kind": "status", "status": 503, "times": 3}),
    ("E24", {"kind": "state", "state": "pondering", "times": 1}),
]


@pytest.mark.parametrize(("row", "trouble"), STARTS)
async def test_a_start_that_goes_wrong_is_made_once(site: Site, row: str, trouble: dict[str, Any]) -> None:
    ended = await site.end(QUICK, {"on": ["start"], **trouble})
    assert ended.state is State.SUCCEEDED, ended
    assert site.starts() == 1


@pytest.mark.parametrize(
    ("trouble", "code", "message"),
    [
        ({"kind": "status", "status": 400}, "refused", r"The service refused the call \(it answered 400\)\."),
        ({"kind": "status", "status": 404}, "refused", r".+"),
        ({"kind": "status", "status": 401}, "auth", r"Gave up after \d+ seconds\. .* our credentials .*"),
        ({"kind": "status", "status": 500}, "unreachable", GAVE_UP + r"The service is in trouble \(.* 500\)\."),
    ],
)
async def test_a_start_that_cannot_be_made_fails_for_a_reason(
    site: Site, trouble: dict[str, Any], code: str, message: str
) -> None:
    ended = await site.end(QUICK, {"on": ["start"], **trouble})
    assert ended.error is not None
    assert (ended.state, ended.error.code) == (State.FAILED, code)
    assert re.fullmatch(message, ended.message), ended.message
    assert site.starts() == 0


# By row: the trouble of a file, the code of the miss, and what a person reads.
FILES: list[tuple[str, dict[str, Any], str, str]] = [
    ("E02", {"kind": "hang"}, "unreachable", IN_TIME),
    ("E04", {"kind": "lost-reply"}, "unreachable", r"The service cannot be reached\."),
    ("E16", {"kind": "status", "status": 404}, "vanished", r"The service does not know this job any more\."),
    ("E17", {"kind": "status", "status": 403}, "auth", r".* does not accept our credentials \(it answered 403\)\."),
    ("E18", {"kind": "status", "status": 429}, "unreachable", r"The service is busy and asks us to wait\."),
    ("E19", {"kind": "status", "status": 500}, "unreachable", r"The service is in trouble \(it answered 500\)\."),
    ("E21", {"kind": "redirect", "to": "http://127.0.0.1:1/latest"}, "nonsense", r".* was not expected \(302\)\."),
]


@pytest.mark.parametrize(("row", "trouble", "code", "message"), FILES)
async def test_a_file_that_cannot_be_had_is_a_miss(
    process: SynthProcess, service: Service, row: str, trouble: dict[str, Any], code: str, message: str
) -> None:
    process.trouble({"on": ["file"], **trouble})
    opened = await service.open("render", {})
    assert isinstance(opened, Miss), opened
    assert opened.code == code
    assert re.fullmatch(message, opened.message), opened


async def test_e14_what_goes_back_is_not_shown_and_said_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    shown: list[float | None] = []

    def see(snapshot: Snapshot, **kwargs: object) -> None:
        shown.append(snapshot.percent)

    backwards = [{"kind": "percent", "done": done, "total": 100, "times": 1, "on": ["status"]} for done in (50, 20, 10)]
    signals.changed.connect(see)
    try:
        await site.end(LONG, *backwards)
    finally:
        signals.changed.disconnect(see)
    assert shown[1:5] == [50, 50, 50, 50]
    said = [line.getMessage() for line in caplog.records if line.name == "progrock.consumers.oddities"]
    assert said == ["'synth': a job went back from 50 to 20 percent; 50 stays shown."]


async def test_e13_percentages_that_are_none_are_said_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    await site.end(LONG, {"kind": "percent", "done": 150, "total": 100, "on": ["status"]})
    said = [line.getMessage() for line in caplog.records if line.name == "progrock.consumers.oddities"]
    assert said == ["'synth': expected a percentage from 0 to 100, got 150."]


async def test_e17_an_alarm_is_raised_once_and_looks_are_rare(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        await site.start(LONG)
    site.synth.trouble({"kind": "status", "status": 401, "on": ["status"]})
    assert {ended.error.code for ended in await adrain() if ended.error} == {"auth"}
    (alarm,) = [line.getMessage() for line in caplog.records if line.levelno >= logging.ERROR]
    assert alarm.startswith("'synth': The service does not accept our credentials (it answered 401). All its jobs")
    assert site.hits() <= 3 * 4


async def test_e18_what_is_asked_for_is_waited(site: Site) -> None:
    await site.end(QUICK, {"kind": "status", "status": 429, "retry_after": 7, "times": 2, "on": ["status"]})
    assert 14_000 <= site.passed() <= 30_000


async def test_e18_what_cannot_be_meant_is_not_waited(site: Site) -> None:
    """It would be the end of every job of the service."""
    await site.end(QUICK, {"kind": "status", "status": 429, "retry_after": 10**12, "times": 2, "on": ["status"]})
    assert site.passed() <= 10_000


@pytest.mark.parametrize("on", ["start", "status", "cancel"])
async def test_e21_nobody_is_called_whom_a_redirect_names(site: Site, on: str) -> None:
    async with hostile(http(b"{}")) as other:
        site.synth.trouble({"kind": "redirect", "to": f"http://{other.host}:{other.port}/latest", "on": [on]})
        job = await site.start(LONG)
        if on == "cancel":
            await some_steps(3)
            await jobs.acancel(job, owner="me")
        (ended,) = await adrain()
        assert ended.state is (State.CANCELLED if on == "cancel" else State.FAILED)
        assert other.calls == 0


async def test_e16_a_job_that_is_forgotten_is_not_the_others_trouble(site: Site) -> None:
    gone, *others = [await site.start(LONG) for _ in range(4)]
    await some_steps(8)
    renders = await site.remotes()
    site.synth.trouble({"kind": "forget", "ids": [renders[gone]], "times": 1})
    await some_steps(40)
    for job in (gone, *others):
        snapshot = await jobs.aget(job, owner="me")
        assert snapshot.state is (State.FAILED if job == gone else State.RUNNING)
        assert (snapshot.error.code if snapshot.error else "") == ("vanished" if job == gone else "")


async def test_e29_a_cancel_that_fails_for_a_while_is_tried_again(site: Site) -> None:
    job = await cancelled(site, {"kind": "status", "status": 500, "times": 2})
    (ended,) = await adrain()
    assert (ended.state, ended.message) == (State.CANCELLED, "Session called off")
    assert site.hits() == 2
    render = (await site.remotes())[job]
    assert site.synth.call("GET", f"/v1/renders/{render}").json["state"] == "cancelled"


@pytest.mark.parametrize(("status", "why"), [(500, "in trouble"), (405, "refused the call"), (401, "credentials")])
async def test_e29_a_cancel_that_never_gets_through_ends_and_tells_the_truth(site: Site, status: int, why: str) -> None:
    await cancelled(site, {"kind": "status", "status": status})
    (ended,) = await adrain()
    assert ended.state is State.CANCELLED
    assert re.fullmatch(rf"Cancelled, but the service may go on with it: .*{why}.*", ended.message)


async def cancelled(site: Site, trouble: dict[str, Any]) -> str:
    """Return a job that is asked to end while the service has trouble with that."""
    site.synth.trouble()
    job = await site.start(LONG)
    await some_steps(3)
    site.synth.trouble({"on": ["cancel"], **trouble})
    await jobs.acancel(job, owner="me")
    return job


async def some_steps(most: int = 1) -> None:
    """Take so many steps of jobs that go on."""
    with pytest.raises(StillGoing):
        await adrain(most=most)


@pytest.fixture
async def calling(process: SynthProcess, adapter: str, transactional_db: None) -> AsyncIterator[Site]:
    """Set up a site whose service calls back, so that it is looked at rarely."""
    async with playing(process, *ADAPTERS[adapter], {"deadline": 600_000}, hook=True) as site:
        yield site


async def test_webhooks_that_come_twice_have_a_job_looked_at_once(calling: Site) -> None:
    job = await calling.start(LONG)
    await some_steps(3)
    calling.clock.advance(5_000)
    before = calling.looks(), calling.passed()
    for _ in range(3):
        assert await calling.call(job, state="running") == "heard"
    await some_steps()
    assert (calling.looks(), calling.passed()) == (before[0] + 1, before[1])
    await some_steps()
    assert calling.passed() >= before[1] + 20_000


async def test_webhooks_out_of_order_are_not_believed(calling: Site) -> None:
    """The one that tells of the end overtakes the end, and the one that tells of a beginning comes after it."""
    job = await calling.start(LONG)
    await some_steps(3)
    calling.clock.advance(5_000)
    assert await calling.call(job, state="succeeded") == "heard"
    await some_steps()
    assert (await jobs.aget(job, owner="me")).state is State.RUNNING
    calling.synth.trouble({"kind": "state", "state": "succeeded", "on": ["status"]})
    calling.clock.advance(5_000)
    assert await calling.call(job, state="succeeded") == "heard"
    (ended,) = await adrain()
    calling.synth.trouble()
    looks = calling.looks()
    assert await calling.call(job, state="running") == "unknown"
    assert await adrain() == []
    assert await jobs.aget(job, owner="me") == ended
    assert (ended.state, calling.looks()) == (State.SUCCEEDED, looks)


async def test_e23_of_two_renders_for_one_job_the_second_is_stopped(
    process: SynthProcess, adapter: str, transactional_db: None, caplog: pytest.LogCaptureFixture
) -> None:
    """The first worker's start is slow, and the second looks for what has not begun yet."""
    async with playing(process, *ADAPTERS[adapter], {}) as site:
        process.trouble({"kind": "latency", "ms": 3_000, "times": 1}, {"kind": "twice", "on": ["start"]})
        job = await site.start(LONG)
        site.clock.advance(HAND_OFF)
        await registry.store().announce(registry.CHANNEL, "both", 1, HAND_OFF)
        (lease,) = await registry.store().lease(1, HAND_OFF)
        slow = asyncio.create_task(_step(lease))
        await until(site.hits)
        await _step(replace(lease, attempt=2))
        assert not slow.done()
        await slow
        assert site.starts() == 2
        (alarm,) = [line.getMessage() for line in caplog.records if line.levelno >= logging.ERROR]
        told = re.fullmatch(rf"'synth' started job {job} twice: (\w+) goes on, (\w+) is cancelled\.", alarm)
        assert told
        assert (await site.remotes())[job] == told[1]
        assert [site.synth.call("GET", f"/v1/renders/{each}").json["state"] for each in told.groups()] == [
            "running",
            "cancelled",
        ]


class Sure(JobWorker):
    """A worker that takes its leases for good ones."""

    def holds(self, lease: Lease) -> bool:
        return True


async def _step(lease: Lease) -> None:
    async for _ in Sure().steps([lease]):
        pass


@pytest.fixture
def at(adapter: str) -> Callable[[str], Service]:
    """Make the adapter of a synth that is at another URL."""
    path, options = ADAPTERS[adapter]
    return lambda url: import_string(path)(**options, base_url=url, timeout=10_000, connect_timeout=200)


async def ask(service: Service) -> Miss:
    """Return what looking at a job is answered, and starting one too."""
    try:
        (look,) = await service.poll(["somebody"])
        start = await service.start(Order("job", dict(LONG)))
    finally:
        await service.aclose()
    assert isinstance(look, Miss)
    assert isinstance(start, Miss)
    assert (start.code, start.message) == (look.code, look.message)
    return start


async def test_e01_a_connection_that_does_not_come_about_is_given_up_soon(at: Callable[[str], Service]) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, ExitStack() as waiting:
        for _ in range(3):  # who is let wait fills the queue; of whom comes then the kernel takes no notice
            caller = waiting.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(deaf.getsockname())
        began = asyncio.get_running_loop().time()
        miss = await ask(at(f"http://127.0.0.1:{deaf.getsockname()[1]}"))
        assert asyncio.get_running_loop().time() - began < 5
    # Whoever did not answer the door has heard nothing.
    assert (miss.code, miss.message, miss.heard) == ("unreachable", "The service cannot be reached.", False)


async def test_e05_a_name_that_nobody_knows(at: Callable[[str], Service], monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    miss = await ask(at("http://render.example"))
    assert (miss.code, miss.message, miss.heard) == ("unreachable", "The service cannot be reached.", False)


async def test_e06_a_certificate_that_nobody_vouches_for(at: Callable[[str], Service], tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        miss = await ask(at(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    assert (miss.code, miss.heard) == ("unreachable", False)
    assert heard == []


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X-Many: y\r\n" * 100_000,
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"y" * 1_000_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX-Two: a\rb\nc: d\x00\r\n",
        b"HTTP/1.1 200 " + b"K" * 100_000 + b"\r\n",
    ],
    ids=["many", "long", "broken", "reason"],
)
async def test_e26_headers_that_no_decent_server_sends(at: Callable[[str], Service], reply: bytes) -> None:
    async with hostile(reply + b"Content-Length: 2\r\n\r\n{}") as remote:
        miss = await ask(at(f"http://{remote.host}:{remote.port}"))
    assert miss.code == "nonsense"
    assert "y" * 10 not in miss.message


def self_signed(folder: Path) -> Path:
    """Write a certificate that nobody vouches for, with its key, and return where."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / "self-signed.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM) + secret)
    return path
