"""The small HTTP port of a process that has none: `/healthz`, `/readyz` and `/metrics` of a worker or a scheduler."""

from __future__ import annotations

import argparse
import ipaddress
import logging
from types import TracebackType
from typing import NamedTuple, Self

from aiohttp import web

from .. import registry
from .guard import shows_token
from .prometheus import TYPE, page
from .readiness import ready, told

logger = logging.getLogger(__name__)

_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_END = 1.0
"""Seconds that requests have to end when the process does."""


class Address(NamedTuple):
    """Where a port is opened."""

    host: str
    port: int


def address_of(text: str) -> Address:
    """Return `PORT`, on this host only, or `HOST:PORT`, as an address.

    :raises argparse.ArgumentTypeError: if it is none.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    try:
        ipaddress.ip_address(host)
        number = int(port) if port.isascii() and port.isdecimal() else -1
    except ValueError:
        number = -1
    if not 0 <= number <= 65_535 or text.startswith(":"):
        raise argparse.ArgumentTypeError(
            f"expected PORT or ADDRESS:PORT, such as 9100 or 0.0.0.0:9100, got {text!a:.80}"
        )
    return Address(host, number)


class NoPort(Exception):
    """The port cannot be opened, or must not be."""


class Port:
    """An HTTP port, open as long as it is entered; without an address, none.

    :param address: where.
    :param schedule: whether its metrics say how the schedule stands.
    :raises NoPort: if others than this host could read the metrics, and there is no token.
    """

    def __init__(self, address: Address | None, *, schedule: bool) -> None:
        if address and not registry.conf().metrics_token and not ipaddress.ip_address(address.host).is_loopback:
            raise NoPort(
                f"--metrics: expected PROGROCK['METRICS_TOKEN'] for a port on {address.host}, got none. "
                "Without it, the port can be on 127.0.0.1 only."
            )
        self._address = address
        self._schedule = schedule
        self._runner: web.AppRunner | None = None
        self.number = 0
        """Where it is: another than asked for, if that was 0."""

    async def __aenter__(self) -> Self:
        """Open it.

        :raises NoPort: if it is taken, or not this host's.
        """
        if self._address is None:
            return self
        application = web.Application(client_max_size=1)
        for path, answer in (("/healthz", self._healthz), ("/readyz", self._readyz), ("/metrics", self._metrics)):
            application.router.add_get(path, answer)
        self._runner = web.AppRunner(
            application, access_log=None, handle_signals=False, shutdown_timeout=_END, keepalive_timeout=30
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, *self._address, backlog=16).start()
        except OSError as error:
            await self._runner.cleanup()
            raise NoPort(f"--metrics: {self._address.host}:{self._address.port} cannot be opened: {error}") from error
        self.number = int(self._runner.addresses[0][1])
        logger.info("Metrics are at http://%s:%d/metrics", self._address.host, self.number)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n", headers=_HEADERS)

    async def _readyz(self, request: web.Request) -> web.Response:
        wrong = await ready()
        return web.Response(text=told(wrong), status=503 if wrong else 200, headers=_HEADERS)

    async def _metrics(self, request: web.Request) -> web.Response:
        # With no token, it is on this host only: whoever is here.
        if registry.conf().metrics_token and not shows_token(request.headers.get("Authorization", "")):
            headers = {**_HEADERS, "WWW-Authenticate": "Bearer"}
            return web.Response(
                text="Expected the METRICS_TOKEN of the settings as a bearer.\n", status=401, headers=headers
            )
        text = await page(schedule=self._schedule)
        return web.Response(body=text.encode(), headers={**_HEADERS, "Content-Type": TYPE})
