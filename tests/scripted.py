"""A remote service that does what the test says, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from progrock.exceptions import InvalidParams
from progrock.protocol import State
from progrock.services import File, Order, Service, Started
from progrock.step import Look, Miss, Reading


class Remote:
    """The other side: one for a test, whatever adapters speak to it."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.starts: Counter[str] = Counter()
        self.polls: list[list[str]] = []
        self.cancels: list[str] = []
        self.looks: dict[str, list[Look | Exception]] = {}
        self.default: list[Look | Exception] = [Reading(State.RUNNING, 50), Reading(State.SUCCEEDED, 100)]
        self.start_look: list[Miss | Exception] = []
        self.cancel_look: Look = Reading(State.CANCELLED)
        self.gate = asyncio.Event()
        self.gate.set()

    def next_look(self, remote: str) -> Look:
        looks = self.looks.setdefault(remote, list(self.default))
        look = looks.pop(0) if len(looks) > 1 else looks[0]
        if isinstance(look, Exception):
            raise look
        return look


remote = Remote()


class ScriptedService(Service):
    """Speaks to `remote`. Remote ids are job ids with `r-` before them."""

    finds = True
    starts_once = True

    def clean(self, params: dict[str, Any]) -> dict[str, Any]:
        if "bad" in params:
            raise InvalidParams("params: expected no 'bad', got one.")
        return params

    def title(self, params: dict[str, Any]) -> str:
        return str(params.get("title", ""))

    async def start(self, order: Order) -> Started | Miss:
        await remote.gate.wait()
        if remote.start_look:
            look = remote.start_look.pop(0)
            if isinstance(look, Exception):
                raise look
            return look
        remote.starts[order.job] += 1
        return Started(f"r-{order.job}", Reading(State.RUNNING, 0))

    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        remote.polls.append(list(remotes))
        await remote.gate.wait()
        return [remote.next_look(each) for each in remotes]

    async def cancel(self, remote_id: str) -> Look:
        remote.cancels.append(remote_id)
        return remote.cancel_look

    async def find(self, job: str) -> str | Miss | None:
        return f"r-{job}" if remote.starts[job] else None

    async def open(self, remote_id: str, headers: Mapping[str, str]) -> File | Miss:
        async def body() -> AsyncGenerator[bytes, None]:
            yield b"the file of "
            yield remote_id.encode()

        return File(200, {"Content-Type": "text/html", "X-Evil": "1"}, body())

    async def aclose(self) -> None: ...
