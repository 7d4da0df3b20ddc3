"""The consumer of `asgi.delay`: takes messages to be sent later, as Channels 1 had it, and sends what is due."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from typing import Any

from channels.exceptions import ChannelFull, InvalidChannelLayerError
from channels.layers import get_channel_layer

from . import trouble
from .consumer import SelfReschedulingConsumer
from .entry import Again, Dead, Done, Lease, NewEntry, Outcome
from .exceptions import InvalidMessage, NewerMessage
from .finish import end, finish
from .message import CHANNEL, check, entry_of, entry_refused, unpack
from .store import DelayStore

logger = logging.getLogger(__name__)

INTAKE = NewEntry("asgi.delay.intake", CHANNEL, b"")
"""The standing entry whose holder reads `asgi.delay`: of any number of relays, one. A second reader on one channel is
what layers deliver messages twice to."""
NEWER_EVERY, NEWER_MOST = 4_000, 200
"""How often, in milliseconds, and how many times a message of a newer version is offered to whoever is there."""


class Relay(SelfReschedulingConsumer):
    """Send what is due, at least once: twice only if it dies between the send and the settle.

    :param store: where the messages wait.
    :param layer: alias of the channel layer that `asgi.delay` is read from, and messages without a layer are sent to.
    """

    run_lease = 3_000  # a send is short, and who reads `asgi.delay` should be replaced soon
    attempts = None  # a layer that is away makes messages late; those that cannot be sent die at once
    send_most = 10
    """Seconds that a layer has to take a message. One that it takes later all the same is sent twice."""

    last_message = 0.2
    """Seconds that who reads `asgi.delay` waits for one more message when it is to stop."""

    def __init__(self, store: DelayStore, layer: str) -> None:
        super().__init__(store)
        self.channel_layer_alias = layer
        # Each send is some calls of the layer, on a connection of its own.
        self._sending = asyncio.Semaphore(20)
        self._intake_turn = asyncio.Lock()

    async def run(self) -> None:
        """Run until cancelled."""
        self._stopping: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def nothing() -> dict[str, Any]:
            # The channel itself is for the intake to read.
            await asyncio.Event().wait()
            raise AssertionError

        async def nobody(message: Mapping[str, Any]) -> None:
            """A relay has nobody to answer to."""

        await self({"type": "channel", "channel": CHANNEL}, nothing, nobody)

    async def step(self, lease: Lease) -> Outcome:
        if lease.key == INTAKE.key:
            return await self._take_in(lease)
        try:
            return await self._send(lease)
        except ChannelFull:
            return Again(random.randint(50, 500), attempt=lease.attempt)
        except NewerMessage as error:
            return _leave(lease, str(error))
        except (InvalidMessage, InvalidChannelLayerError) as error:
            return _refuse(lease, str(error))
        except (TypeError, ValueError, AssertionError) as error:
            return _refuse(lease, f"Expected a message that the layer can carry, got one it cannot: {error}.")
        except Exception as error:
            trouble.say(logger, "A layer takes no messages, trying again: %r", error)
            delay = min(5_000, 250 * 2 ** min(lease.attempt, 10))
            return Again(random.randint(delay // 2, delay), attempt=lease.attempt + 1)

    async def _send(self, lease: Lease) -> Outcome:
        message = unpack(lease.message)
        layer: Any = get_channel_layer(message.layer or self.channel_layer_alias)
        if layer is None:
            raise InvalidMessage(f"Expected the alias of a channel layer, got {message.layer!r}.")
        async with self._sending:
            if not self.holds(lease):
                # Somebody else's by now, as far as is known here; if it is not, it is still to be sent.
                return Again(0, attempt=lease.attempt)
            # A connection can be dead without a word, and would keep the place of all that come after it.
            async with asyncio.timeout(self.send_most):
                await layer.send(message.channel, message.content)
        return Done()

    async def _take_in(self, lease: Lease) -> Outcome:
        """Read `asgi.delay` for as long as the lease holds."""
        # One that lost its lease unnoticed ends first.
        async with self._intake_turn:
            reading = asyncio.create_task(self._read(lease))
            try:
                # Also while no message comes: somebody else may read by now.
                while self._reads(lease) and not reading.done():
                    either = [reading, self._stopping]
                    await asyncio.wait(either, timeout=self.run_lease / 3000, return_when=asyncio.FIRST_COMPLETED)
                # What a layer is just taking is lost if it is interrupted. Where there is much, this ends by itself.
                await asyncio.wait([reading], timeout=self.last_message)
            finally:
                # Only who has ended may be followed.
                await end([reading])
        if not reading.cancelled():
            reading.result()
        return Again(0)

    def _reads(self, lease: Lease) -> bool:
        return self.holds(lease) and not self._stopping.done()

    async def _read(self, lease: Lease) -> None:
        while self._reads(lease):
            message = await self._receive(lambda: self.channel_layer.receive(CHANNEL))
            # Received is gone from the channel: it is stored, whatever becomes of the lease.
            await finish(self._keep(_entry(message)))

    async def _keep(self, new: NewEntry) -> None:
        """Store an entry. Nothing more is received before."""
        while True:
            try:
                await self._store.schedule([new])
                return
            except Exception as error:
                trouble.say(logger, "Could not store a message of asgi.delay, trying again: %r", error)
                await asyncio.sleep(random.uniform(0.1, 0.5))

    async def _drain(self, channel: str) -> None:
        if not self._stopping.done():
            self._stopping.set_result(None)
        await super()._drain(channel)


def _refuse(lease: Lease, reason: str) -> Outcome:
    logger.error("The message %s is set aside: %s", lease.key, reason)
    return Dead(reason)


def _leave(lease: Lease, reason: str) -> Outcome:
    """Leave a message to a relay that knows its version; who finds none is set aside, to be revived one day."""
    if lease.attempt > NEWER_MOST:
        return _refuse(lease, reason)
    trouble.say(logger, "The message %s is left to a newer relay: %s", lease.key, reason)
    return Again(random.randint(NEWER_EVERY // 2, NEWER_EVERY), attempt=lease.attempt + 1)


def _entry(message: object) -> NewEntry:
    """Return the entry of what came in."""
    try:
        return entry_of(check(message))
    except InvalidMessage as error:
        return entry_refused(message, str(error))
