"""The engine in the test's own loop, and somebody who speaks HTTP to it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any, cast

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.test import AsyncClient

from progrock.http import bounds
from progrock.testing import Reading, Remote, State
from tests.consumers.conftest import engine as engine
from tests.consumers.conftest import policy as policy
from tests.consumers.conftest import remote as remote
from tests.consumers.conftest import service as service
from tests.consumers.conftest import tell as tell

PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class Caller:
    """One browser, or program, with its cookies."""

    def __init__(self) -> None:
        self.http = AsyncClient()

    async def get(self, path: str, **headers: str) -> HttpResponse:
        return cast("HttpResponse", await self.http.get(f"/prog/{path}", headers=_spelled(headers)))

    async def post(self, path: str, body: object = None, **headers: str) -> HttpResponse:
        text = body if isinstance(body, str | bytes) else json.dumps({} if body is None else body)
        kind = headers.pop("content_type", "application/json")
        return cast(
            "HttpResponse",
            await self.http.post(f"/prog/{path}", text, content_type=kind, headers=_spelled(headers)),
        )

    async def form(self, path: str, fields: dict[str, str] | None = None, **headers: str) -> HttpResponse:
        text = "&".join(f"{name}={value}" for name, value in (fields or {}).items())
        headers.setdefault("accept", PAGE["Accept"])
        return await self.post(path, text, content_type="application/x-www-form-urlencoded", **headers)

    async def start(self, **body: Any) -> str:
        response = await self.post("jobs/", body)
        assert response.status_code == 202, response.content
        return str(response.json()["job"])  # type: ignore[attr-defined]

    async def snapshot(self, job: str) -> dict[str, Any]:
        return said(await self.get(f"jobs/{job}/"))

    async def complete(self, job: str) -> dict[str, Any]:
        """Return how a job ended, as soon as it has."""
        after = 0
        for _ in range(100):
            snapshot = said(await self.get(f"jobs/{job}/?wait=10&after={after}"))
            if snapshot["complete"]:
                return snapshot
            after = snapshot["seq"]
        raise AssertionError(f"not over within a hundred updates: {snapshot}")


def said(response: HttpResponse, status: int = 200) -> dict[str, Any]:
    """Return the JSON of a response that has the status."""
    assert response.status_code == status, response.content
    found: dict[str, Any] = json.loads(response.content)
    return found


def refused(response: HttpResponse, status: int, code: str) -> str:
    """Return the detail of the problem that a response is."""
    assert response.headers["Content-Type"] == "application/problem+json"
    told = said(response, status)
    assert (told["status"], told["code"], told["type"]) == (status, code, "about:blank")
    assert told["title"]
    return str(told["detail"])


def _spelled(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


class Event(dict[str, Any]):
    """A frame that came as an event, with its id."""

    id: str | None = None


async def events(response: HttpResponse) -> AsyncGenerator[Event, None]:
    """Yield the frames of a stream; comments are left out."""
    assert response.headers["Content-Type"] == "text/event-stream"
    streaming = cast("StreamingHttpResponse", response)
    buffer = ""
    async with aclosing(cast("Any", aiter(streaming))) as chunks:
        async for chunk in chunks:
            buffer += chunk.decode()
            while "\n\n" in buffer:
                block, _, buffer = buffer.partition("\n\n")
                fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
                if "data" in fields:
                    event = Event(json.loads(fields["data"]))
                    event.id = fields.get("id")
                    yield event
    assert buffer == ""


@pytest.fixture(autouse=True)
def uncounted() -> Iterator[None]:
    bounds.forget()
    yield
    assert not bounds._open
    bounds.forget()


@pytest.fixture
def caller() -> Caller:
    return Caller()


@pytest.fixture
def going(remote: Remote) -> Remote:
    """A remote whose jobs go on for ever, at half."""
    remote.say(Reading(State.RUNNING, 50))
    return remote
