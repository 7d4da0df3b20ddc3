"""What is counted at the edges: sockets, starts that come too fast, replies of services, breakers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from channels.testing import WebsocketCommunicator
from django.test import AsyncClient

from progrock import counts, jobs
from progrock.consumers.calls import Calls
from progrock.consumers.receiver import Receiver
from progrock.exceptions import NotComplete
from progrock.metrics import page
from progrock.services import Client
from progrock.services.breaker import FAILURES
from progrock.services.client import Reply
from progrock.step import Miss, Reading
from progrock.testing import State
from tests.consumers.conftest import engine as engine
from tests.consumers.conftest import policy as policy
from tests.consumers.conftest import remote as remote
from tests.consumers.conftest import service as service
from tests.consumers.conftest import tell as tell
from tests.metrics.exposition import Page, Series
from tests.scripted import Remote


async def test_sockets_and_starts_that_come_too_fast(
    engine: object, remote: Remote, limit: Callable[..., None]
) -> None:
    limit(max_starts_per_minute=5)
    remote.default = [Reading(State.RUNNING, 20)]
    open_before, refused, sent = counts.SOCKETS.value(), counts.REFUSED.value("too_many"), counts.SENT.value()
    socket = WebsocketCommunicator(Receiver.as_asgi(), "/prog/")
    assert (await socket.connect())[0]
    assert counts.SOCKETS.value() - open_before == 1
    for _ in range(6):
        await socket.send_json_to({"action": "start", "service": "scripted"})
    frames = [await socket.receive_json_from(5) for _ in range(7)]
    while not any(frame["type"] == "error" for frame in frames):
        frames.append(await socket.receive_json_from(5))
        assert len(frames) < 500
    assert counts.REFUSED.value("too_many") - refused == 1
    while frames[-1]["type"] != "updates":
        frames.append(await socket.receive_json_from(5))
        assert len(frames) < 500
    assert counts.SENT.value() > sent
    await socket.disconnect()
    assert counts.SOCKETS.value() == open_before


async def test_a_start_that_is_refused_over_http_is_counted_once(
    engine: object, remote: Remote, limit: Callable[..., None]
) -> None:
    limit(max_starts_per_minute=5)
    remote.default = [Reading(State.RUNNING, 20)]
    browser, refused = AsyncClient(), counts.REFUSED.value("too_many")
    answers = [await browser.post("/prog/jobs/", "{}", content_type="application/json") for _ in range(6)]
    assert [each.status_code for each in answers] == [202] * 5 + [429]
    assert counts.REFUSED.value("too_many") - refused == 1


async def test_replies_are_counted_by_service_and_status(service: None) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Oops\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    before = counts.REPLIES.value("scripted", "503"), counts.CALLS.count("scripted", "unreachable")
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        client = Client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        try:
            said: Reply | Miss = await Calls().ask("scripted", client.call("GET", "/"))
        finally:
            await client.aclose()
    assert isinstance(said, Miss)
    assert counts.REPLIES.value("scripted", "503") - before[0] == 1
    assert counts.CALLS.count("scripted", "unreachable") - before[1] == 1
    assert counts.asking.get() == counts.OTHER


async def test_a_breaker_that_is_open_is_said(service: None) -> None:
    calls = Calls()
    for _ in range(FAILURES):
        room = await calls.room("scripted", 1, 1_000_000)
        room.heard(Miss("unreachable", "No."))
    said = Page(await page(schedule=False))
    assert said.samples[Series("progrock_breaker_open", (("service", "scripted"),))] == 1
    await calls.aclose()
    assert Series("progrock_breaker_open", (("service", "scripted"),)) not in Page(await page(schedule=False)).samples


async def test_a_retry_that_is_refused_is_counted(engine: object, remote: Remote) -> None:
    remote.default = [Reading(State.RUNNING, 20)]
    started = await jobs.astart(owner="me")
    before = counts.REFUSED.value("not_complete")
    with pytest.raises(NotComplete):
        await jobs.aretry(started.job, owner="me")
    assert counts.REFUSED.value("not_complete") - before == 1
