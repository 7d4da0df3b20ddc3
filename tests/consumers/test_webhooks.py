"""Webhooks: the service's have their jobs looked at soon, nobody else's do anything, and none is believed."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from django.test import AsyncClient, override_settings

from progrock import jobs, registry, signing, standing, webhooks
from progrock.delay import MemoryStore, StoreAway
from progrock.protocol import Snapshot, State
from progrock.services import Order, Started
from progrock.step import Miss, Reading
from tests.conftest import until
from tests.consumers.conftest import POLICY
from tests.scripted import Remote, ScriptedService

pytestmark = pytest.mark.usefixtures("engine")

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
STANDARD: dict[str, Any] = {"form": "standard", "secrets": [SECRET], "job": "key", "remote": "id", "net": 60_000}
PLAIN = {"form": "shared", "secrets": ["open"], "header": "X-Token", "remote": "ids", "net": 60_000}
RUNNING = Reading(State.RUNNING, 30, "Working")
INTERVAL = 300


@pytest.fixture
def service(remote: Remote) -> Iterator[None]:
    policy = {**POLICY, "interval": INTERVAL}
    backend = "tests.scripted.ScriptedService"
    services = {
        "standard": {"BACKEND": backend, "POLICY": policy, "HOOK": STANDARD},
        "plain": {"BACKEND": backend, "POLICY": policy, "HOOK": PLAIN},
        "silent": {"BACKEND": backend, "POLICY": policy},
    }
    webhooks.counts.clear()
    webhooks._seen.clear()
    with override_settings(PROGROCK={"SERVICES": services, "PUBLIC_URL": "https://rock.example/prog"}):
        yield


async def send(
    said: object, more: dict[str, str] | None = None, *, name: str = "", off: float = 0, url: str = "standard/"
) -> int:
    """Send what the service `standard` would, and return the status that it gets.

    :param more: other headers.
    :param off: seconds that its clock is off.
    """
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    signed = signing.sign([signing.key(SECRET)], name or uuid.uuid4().hex, int(time.time() + off), body)
    headers = {**signed, **(more or {})}
    client = AsyncClient(enforce_csrf_checks=True)
    return (await client.post(f"/prog/hooks/{url}", body, content_type="application/json", headers=headers)).status_code


def counted(service: str = "standard") -> dict[str, int]:
    return {outcome: count for (name, outcome), count in webhooks.counts.items() if name == service}


async def waiting(remote: Remote, service: str = "standard") -> Snapshot:
    """Start a job, and let it be looked at until the next look is far away: the safety net's."""
    remote.default = [RUNNING]
    started = await jobs.astart(service, owner="me")
    await until(lambda: waits(started.job))
    return await jobs.aget(started.job, owner="me")


async def waits(job: str) -> bool:
    (entry,) = await registry.store().peek([job])
    run = standing.run_of(entry) if entry and not entry.held else None
    return run is not None and (run.snapshot.due or 0) > run.snapshot.at + 30_000


async def ended(job: str) -> bool:
    return (await jobs.aget(job, owner="me")).complete


@pytest.mark.parametrize("by", ["url", "job", "remote", "remotes"])
async def test_a_webhook_has_its_job_looked_at_now(remote: Remote, by: str) -> None:
    job = (await waiting(remote)).job
    assert len(remote.polls) == 1  # after the start, and then no more
    remote.say(Reading(State.SUCCEEDED), job=job)
    said = {"job": {"key": job}, "remote": {"id": f"r-{job}"}, "remotes": {"id": ["r-x", f"r-{job}"]}}.get(
        by, b"no JSON"
    )
    assert await send(said, url=f"standard/{job}/" if by == "url" else "standard/") == 202
    await until(lambda: ended(job))
    assert counted() == {"heard": 1}


async def test_what_a_webhook_says_is_not_believed(remote: Remote) -> None:
    job = (await waiting(remote)).job
    assert await send({"key": job, "status": "succeeded", "percent": 100}) == 202
    await until(lambda: len(remote.polls) == 2)
    snapshot = await jobs.aget(job, owner="me")
    assert (snapshot.state, snapshot.percent, snapshot.message) == (State.RUNNING, 30, "Working")


async def test_a_flood_is_looked_at_no_more_often_than_the_policy_has_it(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = (await waiting(remote)).job
    nudges: list[str] = []
    nudge = MemoryStore.nudge

    async def counted_nudge(self: MemoryStore, keys: Iterable[str]) -> int:
        nudges.extend(keys := list(keys))
        return await nudge(self, keys)

    monkeypatch.setattr(MemoryStore, "nudge", counted_nudge)
    began, polls, sent = time.monotonic(), len(remote.polls), 0
    while time.monotonic() - began < 4 * INTERVAL / 1000 or sent < 60 or len(remote.polls) - polls < 2:
        assert await send({"key": job}) == 202
        sent += 1
    taken = time.monotonic() - began
    assert len(nudges) < min(sent, 6 * taken * 1000 / INTERVAL)
    assert 2 <= len(remote.polls) - polls <= taken * 1000 / INTERVAL + 1
    # The last of them is not lost: it may be the one that tells the end.
    remote.say(Reading(State.SUCCEEDED), job=job)
    await send({"key": job})
    await until(lambda: ended(job))


async def test_a_webhook_during_a_look_is_heard_after_it(remote: Remote) -> None:
    job = (await waiting(remote)).job
    remote.gate.clear()
    await send({"key": job})
    await until(lambda: len(remote.polls) == 2)
    remote.say(RUNNING, Reading(State.SUCCEEDED), job=job)
    await send({"key": job})
    remote.gate.set()
    await until(lambda: ended(job))
    assert len(remote.polls) == 3


async def test_one_that_overtakes_the_answer_to_the_start_is_made_up_for(remote: Remote) -> None:
    """Nobody knows its name yet; the first look does not wait for another."""
    remote.default = [Reading(State.SUCCEEDED)]
    remote.gate.clear()
    started = await jobs.astart("standard", owner="me")
    assert await send({"id": f"r-{started.job}"}) == 202
    assert counted() == {"unknown": 1}
    remote.gate.set()
    await until(lambda: ended(started.job))


async def test_a_cancel_does_not_wait_for_the_net(remote: Remote) -> None:
    job = (await waiting(remote)).job
    remote.cancel_look = RUNNING
    await jobs.acancel(job, owner="me")
    await until(lambda: len(remote.cancels) > 1)
    remote.cancel_look = Reading(State.CANCELLED)
    await send({"key": job})
    await until(lambda: ended(job))


async def test_a_service_that_calls_back_when_it_is_told_to_stop_is_not_told_again_for_it(remote: Remote) -> None:
    job = (await waiting(remote)).job
    remote.cancel_look = Reading(State.RUNNING, again=25_000)
    began = time.monotonic()
    await jobs.acancel(job, owner="me")

    async def heard() -> bool:
        (entry,) = await registry.store().peek([job])
        return entry is not None and not entry.held and not entry.stale

    await until(heard)
    for _ in range(20):
        assert await send({"key": job}) == 202
        await until(heard)
    assert 1 <= len(remote.cancels) <= 1 + (time.monotonic() - began) * 1000 / INTERVAL
    remote.cancel_look = Reading(State.CANCELLED)
    assert await send({"key": job}) == 202  # the last look may be over, and the next is 25 s away
    await until(lambda: ended(job))


async def test_the_same_webhook_again_does_nothing(remote: Remote) -> None:
    job = (await waiting(remote)).job
    assert await send({"key": job}, name="msg_1") == 202
    await until(lambda: len(remote.polls) == 2)
    await until(lambda: waits(job))
    before = await registry.store().peek([job])
    for off in (0, 200):  # as it was, or signed anew
        assert await send({"key": job}, name="msg_1", off=off) == 202
    assert await registry.store().peek([job]) == before
    assert counted() == {"heard": 1, "repeated": 2}


async def test_names_of_webhooks_are_kept_in_a_bounded_room(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "_SEEN_MOST", 3)
    monkeypatch.setattr(webhooks, "_seen", {})
    for name in ("a", "b", "c", "d", "b", "a"):
        await send({}, name=name)
    assert counted() == {"unknown": 5, "repeated": 1}
    assert len(webhooks._seen) == 3


@pytest.mark.parametrize(
    ("said", "more", "off", "status", "outcome"),
    [
        ({}, {"webhook-signature": "v1,AAAA"}, 0, 401, "forged"),
        ({}, {"webhook-signature": ""}, 0, 401, "forged"),
        ({}, {"webhook-id": "other"}, 0, 401, "forged"),
        ({}, {}, -301, 401, "stale"),
        ({}, {}, 360, 401, "stale"),
        (b"not JSON", {}, 0, 400, "malformed"),
        (b"", {}, 0, 400, "malformed"),
        (b'{"id": "\\ud800"}', {}, 0, 400, "malformed"),
        ({"id": ["x"] * 501}, {}, 0, 400, "malformed"),
        (b" " * 65_537, {}, 0, 413, "too long"),
        (b" " * 65_537, {"Content-Length": "2"}, 0, 413, "too long"),
        (b'{"key": "x"}' + b" " * 65_524, {}, 0, 202, "unknown"),
        ({"id": "no such"}, {}, 0, 202, "unknown"),
        ({"id": ["\x00", "", "x" * 201, 1.5, None]}, {}, 0, 202, "unknown"),
        ({"key": str(uuid.uuid4())}, {}, 0, 202, "unknown"),
        ({"key": "reconcile"}, {}, 0, 202, "unknown"),
    ],
)
async def test_what_is_not_the_services_does_nothing_and_is_counted(
    remote: Remote, said: object, more: dict[str, str], off: int, status: int, outcome: str
) -> None:
    job = (await waiting(remote)).job
    before = await registry.store().peek([job])
    if isinstance(said, dict) and status == 401:
        said = {"key": job}
    assert await send(said, more, off=off) == status
    assert counted() == {outcome: 1}
    assert await registry.store().peek([job]) == before


async def test_a_job_of_another_service_is_none_of_its_business(remote: Remote) -> None:
    job = (await waiting(remote, "plain")).job
    before = await registry.store().peek([job])
    for said in ({"key": job}, {"id": f"r-{job}"}):
        assert await send(said) == 202
    assert await send({}, url=f"standard/{job}/") == 202
    assert counted() == {"unknown": 3}
    assert await registry.store().peek([job]) == before


@pytest.mark.parametrize("where", ["silent/", "none/", "standard/nonsense/", f"none/{uuid.uuid4()}/"])
async def test_where_nobody_calls_back_nothing_is_found(where: str) -> None:
    assert await send({}, url=where) == 404
    assert sum(webhooks.counts.values()) == 0


async def test_it_is_told_and_not_asked(async_client: AsyncClient) -> None:
    assert (await async_client.get("/prog/hooks/standard/")).status_code == 405


async def test_a_shared_secret_opens_as_well(remote: Remote) -> None:
    job = (await waiting(remote, "plain")).job
    remote.say(Reading(State.SUCCEEDED), job=job)
    said = {"ids": [f"r-{job}"]}
    assert await send(said, {"X-Token": "shut"}, url="plain/") == 401
    assert await send(said, {"X-Token": "open"}, url="plain/") == 202
    await until(lambda: ended(job))
    assert counted("plain") == {"forged": 1, "heard": 1}


async def test_with_the_schedule_away_it_is_to_be_sent_again(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    job = (await waiting(remote)).job
    remote.say(Reading(State.SUCCEEDED), job=job)

    async def away(self: object, keys: object) -> int:
        raise StoreAway("Gone.")

    with monkeypatch.context() as patch:
        patch.setattr(type(registry.store()), "nudge", away)
        assert await send({"key": job}, name="msg_1") == 503
    assert await send({"key": job}, name="msg_1") == 202
    await until(lambda: ended(job))


async def test_of_many_that_are_forged_one_line_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    webhooks._said_at = float("-inf")
    for _ in range(20):
        assert await send({}, {"webhook-signature": "v1,AAAA"}) == 401
    said = [line for line in caplog.messages if "webhook" in line]
    assert said[0] == "A webhook for the service 'standard' is forged (1 so far)."
    assert len(said) <= 3
    assert counted() == {"forged": 20}


async def test_the_service_is_told_where_to_call(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    orders: list[Order] = []

    async def start(self: ScriptedService, order: Order) -> Started | Miss:
        orders.append(order)
        return Started(f"r-{order.job}", Reading(State.SUCCEEDED))

    monkeypatch.setattr(ScriptedService, "start", start)
    told = await jobs.astart("standard", owner="me")
    untold = await jobs.astart("silent", owner="me")
    for each in (told, untold):
        await until(lambda each=each: ended(each.job))  # type: ignore[misc]
    assert {order.job: order.hook for order in orders} == {
        told.job: f"https://rock.example/prog/hooks/standard/{told.job}/",
        untold.job: "",
    }
