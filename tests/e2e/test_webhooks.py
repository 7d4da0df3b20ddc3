"""Webhooks over real HTTP: to a web server, with worker, scheduler and Redis beside it."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from progrock import signing
from tests.conftest import until
from tests.e2e.conftest import connect
from tests.e2e.hooked import NET
from tests.e2e.server import ServerProcess
from tests.redis import RedisServer
from tests.synth.process import SynthProcess

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
INTERVAL = 0.2
"""Seconds, as in the project's settings."""


@pytest.fixture
def hooked(synth: SynthProcess, redis: RedisServer, folder: Path) -> Iterator[ServerProcess]:
    more = {"DJANGO_SETTINGS_MODULE": "tests.e2e.hooked", "SYNTH_HOOK_SECRET": SECRET}
    with ServerProcess(synth.url, folder, redis=redis.url, more=more) as server:
        yield server


async def send(server: ServerProcess, body: bytes, *, path: str = "", key: str = SECRET, chunked: bool = False) -> int:
    """Send a webhook of the synth's, as it would, and return the status."""

    def post() -> int:
        headers = signing.sign([signing.key(key)], uuid.uuid4().hex, int(time.time()), body)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        pieces = iter([body[:5], body[5:]]) if chunked else body
        try:
            # No cookie, no token: what counts is who signed it.
            connection.request("POST", f"/prog/hooks/synth/{path}", pieces, headers, encode_chunked=chunked)
            return connection.getresponse().status
        finally:
            connection.close()

    return await asyncio.to_thread(post)


async def test_a_webhook_ends_a_job_that_nobody_would_look_at_for_long(
    hooked: ServerProcess, synth: SynthProcess
) -> None:
    client = await connect(hooked)
    job = (await client.ask({"action": "start", "params": {"mode": "clock", "length": 12}}))["job"]

    def render() -> dict[str, Any]:
        (found,) = synth.call("GET", f"/v1/renders?key={job}").json["renders"]
        return dict(found)

    def polls() -> int:
        return int(synth.call("GET", "/v1/stats").json["requests"]["batch"])

    async def is_over_here() -> bool:
        (shown,) = (await client.ask({"action": "list"}))["jobs"]
        return bool(shown["complete"])

    def far(frame: dict[str, Any]) -> bool:
        return bool(frame.get("job") == job and (frame.get("due") or 0) - frame["at"] > NET // 2)

    await client.hear_until(far)
    said = json.dumps({"id": render()["id"], "state": "succeeded"}).encode()
    # It lies, and is not believed; it has the job looked at nevertheless.
    assert await send(hooked, said) == 202
    assert not (await client.hear_until(far))[-1]["complete"]
    # Nor does it make us ask more often than we would.
    began, asked, sent = time.monotonic(), polls(), 0
    while time.monotonic() - began < 1:
        assert set(await asyncio.gather(*(send(hooked, said) for _ in range(10)))) == {202}
        sent += 10
    # Looks that were held up come closer together.
    assert 1 <= polls() - asked <= 2 * (time.monotonic() - began) / INTERVAL + 2 < sent
    await until(lambda: render()["state"] == "succeeded")
    assert not await is_over_here()
    # Chunks, or forged, or too long: daphne passes all on, and the view sees to them.
    assert await send(hooked, said, key="whsec_" + base64.b64encode(bytes(32)).decode()) == 401
    assert await send(hooked, b" " * 70_000, chunked=True) == 413
    assert not await is_over_here()
    began = time.monotonic()
    assert await send(hooked, said, chunked=True) == 202
    ended = (await client.hear_until(lambda frame: frame.get("job") == job and bool(frame.get("complete"))))[-1]
    taken = time.monotonic() - began
    assert ended["state"] == "succeeded"
    assert taken < NET / 1000 / 4
    await client.connection.close()
