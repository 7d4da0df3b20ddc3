"""An addressee of webhooks: an HTTP server that remembers what it gets, and answers as it is told."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from aiohttp import web


class Letter(NamedTuple):
    """One webhook that came."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def name(self) -> str:
        """Its id."""
        return self.headers["webhook-id"]

    @property
    def says(self) -> dict[str, Any]:
        """Its body."""
        said: dict[str, Any] = json.loads(self.body)
        return said


class Letterbox:
    """`async with Letterbox() as box: ... box.url`.

    `answers` are the statuses of the next answers, and 204 after them. While `gate` is clear, there is no answer.

    :param tls: what it is behind TLS, if it is.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.letters: list[Letter] = []
        self.answers: list[int] = []
        self.headers: dict[str, str] = {}
        self.waiting = 0
        self.waiting_most = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._take)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls).start()
        self.port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def names(self) -> list[str]:
        """The ids of what came, in order."""
        return [letter.name for letter in self.letters]

    async def _take(self, request: web.Request) -> web.Response:
        self.letters.append(Letter(request.path_qs, request.headers.copy(), await request.read()))
        status = self.answers.pop(0) if self.answers else 204
        self.waiting += 1
        self.waiting_most = max(self.waiting_most, self.waiting)
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
        return web.Response(status=status, headers=self.headers)
