"""Runs channel consumers in a process: what Channels' worker does, but bounded, never raising, draining.

Channels' own drains a channel into an unbounded queue, of which a SIGTERM loses all, and one exception ends it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from . import trouble
from .finish import end, together

logger = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]


class Layer(Protocol):
    """What is needed of a channel layer."""

    async def receive(self, channel: str, /) -> dict[str, Any]: ...


class Worker:
    """One instance of an ASGI application for each channel, which takes a message when it is ready for one.

    :param application: serves scopes of type `channel`.
    :param channels: what to listen on.
    :param channel_layer: where.
    :param drain: seconds that a message already taken has to be finished when the worker stops.
    """

    def __init__(
        self, application: Application, channels: Sequence[str], channel_layer: Layer, *, drain: float = 3
    ) -> None:
        self._application = application
        self._channels = channels
        self._layer = channel_layer
        self._drain = drain

    async def run(self) -> None:
        """Run until cancelled.

        :raises Exception: what an application raised before it asked for a message: it cannot serve its channel.
        """
        await together(*(self._serve(channel) for channel in self._channels))

    async def _serve(self, channel: str) -> None:
        while True:
            mail = _Mail(self._layer, channel)
            instance = asyncio.ensure_future(
                self._application({"type": "channel", "channel": channel}, mail.receive, _nobody)
            )
            try:
                await asyncio.wait([instance])
            except asyncio.CancelledError:
                await self._stop(instance, mail)
                raise
            error = instance.exception()
            if error is not None and not mail.asked:
                raise error
            if error is not None:
                logger.error("A consumer of %s failed, the next one takes over.", channel, exc_info=error)
            if not mail.taken:
                # The next one will hardly get further at once.
                await asyncio.sleep(random.uniform(0.5, 1.5))

    async def _stop(self, instance: asyncio.Future[None], mail: _Mail) -> None:
        """Let the consumer finish the message that it has, then cancel it, and wait for it to clean up."""
        mail.closed = True
        idle = asyncio.ensure_future(mail.idle.wait())
        # Whoever asks to stop a second time wants it now.
        with suppress(asyncio.CancelledError):
            waiting: list[asyncio.Future[Any]] = [idle, instance]
            await asyncio.wait(waiting, timeout=self._drain, return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()
        while not instance.done():
            with suppress(asyncio.CancelledError):
                await end([instance], every=self._drain)
        if not instance.cancelled() and (error := instance.exception()) is not None:
            logger.error("A consumer failed while it stopped.", exc_info=error)


class _Mail:
    """What one application instance receives."""

    def __init__(self, layer: Layer, channel: str) -> None:
        self._layer = layer
        self._channel = channel
        self.asked = False
        self.taken = False
        self.closed = False
        self.idle = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        self.asked = True
        self.idle.set()
        while not self.closed:
            try:
                message = await self._layer.receive(self._channel)
            except Exception as error:
                trouble.say(logger, "Cannot receive from %s, trying again: %r", self._channel, error)
                await asyncio.sleep(random.uniform(0.5, 1.5))
            else:
                self.idle.clear()
                self.taken = True
                return message
        await asyncio.Event().wait()
        raise AssertionError


async def _nobody(message: dict[str, Any]) -> None:
    """A worker has nobody to answer to."""
