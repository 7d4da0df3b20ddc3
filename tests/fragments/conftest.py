"""A job that talks, templates of rows, and somebody who reads them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest
from django.conf import settings
from django.http import HttpResponse, StreamingHttpResponse
from django.test import override_settings

from progrock.fragments import Rows, signed
from progrock.fragments.rows import Mode
from progrock.protocol import Line
from progrock.testing import Reading, State
from tests.consumers.conftest import engine as engine
from tests.consumers.conftest import policy as policy
from tests.consumers.conftest import remote as remote
from tests.consumers.conftest import service as service
from tests.consumers.conftest import tell as tell
from tests.http.conftest import Caller
from tests.http.conftest import caller as caller
from tests.http.conftest import going as going
from tests.http.conftest import uncounted as uncounted

EVENTS = "text/event-stream"
EVIL = "<script>alert(1)</script>\r\n\r\nevent: close\rdata: x\n\n"


@pytest.fixture(autouse=True)
def templates() -> Iterator[None]:
    declared: Any = deepcopy(settings.TEMPLATES)
    declared[0]["DIRS"].append(Path(__file__).parent / "templates")
    with override_settings(TEMPLATES=declared):
        yield


def talk(count: int, at_once: int = 1) -> list[Any]:
    """Return looks of a job that says some lines more at each, and then ends."""
    said = [Line(f"line {n}", "info", {"n": n}) for n in range(1, count + 1)]
    steps = range(at_once, count + 1, at_once)
    return [
        *(Reading(State.RUNNING, 90 * n / count, lines=said[:n]) for n in steps),
        Reading(State.SUCCEEDED, 100, lines=said),
    ]


def at(job: str, template: str = "rows/row.html", mode: Mode = "append", **query: object) -> str:
    """Return where a job's rows are."""
    return f"jobs/{job}/fragments?show={signed(job, Rows(template, mode))}" + "".join(
        f"&{name}={value}" for name, value in query.items()
    )


class Told(NamedTuple):
    """An event of a stream of rows."""

    kind: str
    data: str
    id: str | None


async def told(response: HttpResponse) -> AsyncGenerator[Told, None]:
    """Yield the events of a stream, as an EventSource reads them."""
    assert response.headers["Content-Type"] == EVENTS
    buffer = ""
    async with aclosing(cast("Any", aiter(cast("StreamingHttpResponse", response)))) as chunks:
        async for chunk in chunks:
            buffer += chunk.decode().replace("\r\n", "\n").replace("\r", "\n")
            while "\n\n" in buffer:
                block, _, buffer = buffer.partition("\n\n")
                fields: dict[str, list[str]] = {}
                for line in block.split("\n"):
                    if not line.startswith(":"):
                        name, _, value = line.partition(":")
                        fields.setdefault(name, []).append(value.removeprefix(" "))
                if fields.keys() & {"data", "id"}:
                    kind = fields.get("event", ["message"])[-1] if "data" in fields else ""
                    yield Told(kind, "\n".join(fields.get("data", [])), fields.get("id", [None])[-1])
    assert buffer == ""


async def listen(caller: Caller, path: str, **headers: str) -> HttpResponse:
    return await caller.get(path, accept=EVENTS, **headers)


class Reader:
    """A page that shows rows as its events say."""

    def __init__(self) -> None:
        self.rows: list[str] = []
        self.cursor: str | None = None
        self.closed = False

    def take(self, event: Told) -> None:
        self.cursor = event.id or self.cursor
        if event.kind == "reset":
            self.rows = event.data.split("\n")
        elif event.kind == "message":
            self.rows.append(event.data)
        elif event.kind == "close":
            self.closed = True
