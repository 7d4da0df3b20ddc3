"""A remote HTTP API that answers as a test says, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import msgspec
from aiohttp import web

HANG = object()
"""Said instead of an answer: there is none, until the client leaves."""


class Asked(msgspec.Struct, frozen=True):
    """One request: what came."""

    method: str
    path: str
    """As it stood in the request line, with its query."""
    headers: Mapping[str, str]
    raw: list[tuple[str, str]]
    """The headers, each as often as it came."""
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return msgspec.json.decode(self.body)


class Remote:
    """`async with Remote() as remote: remote.say("GET /jobs/1", {"state": "running"})`."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._answers: dict[str, list[web.Response | None]] = defaultdict(list)
        self._runner = web.ServerRunner(web.Server(self._answer, handler_cancellation=True))
        self._port = 0

    async def __aenter__(self) -> Remote:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        (address,) = self._runner.addresses
        self._port = address[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def calls(self) -> list[str]:
        """What it was asked: methods and paths."""
        return [f"{asked.method} {asked.path}" for asked in self.asked]

    def say(self, call: str, json: object = None, status: int = 200, *, text: bytes = b"", **headers: str) -> None:
        """Answer a call with this, after what was said to answer before; the last is answered for ever.

        :param call: method and path with its query.
        :param headers: with underscores for hyphens.
        """
        if json is HANG:
            self._answers[call].append(None)
            return
        body = text if json is None else msgspec.json.encode(json)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._answers[call].append(web.Response(body=body, status=status, headers=named))

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = list(request.headers.items())
        asked = Asked(request.method, request.raw_path, dict(headers), headers, await request.read())
        self.asked.append(asked)
        answers = self._answers.get(f"{asked.method} {asked.path}")
        if not answers:
            return web.Response(status=404)
        said = answers.pop(0) if len(answers) > 1 else answers[0]
        if said is None:
            await asyncio.Event().wait()  # cancelled when the client leaves, or this server stops
            raise AssertionError
        # A response is sent once only.
        return web.Response(body=said.body, status=said.status, headers=said.headers)
