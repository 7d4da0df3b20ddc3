"""The loop that hands what is due to the workers."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from . import counts, trouble
from .entry import Again, Lease, NewEntry, to_channel
from .finish import finish, side_by_side
from .store import DelayStore

logger = logging.getLogger(__name__)


HAND_OFF = 5_000
"""Milliseconds that a worker has to renew what it was handed: what a lost message costs."""


class Layer(Protocol):
    """What is needed of a channel layer."""

    async def send(self, channel: str, message: dict[str, Any], /) -> None: ...


class Scheduler:
    """Lease what is due, send it in batches, sleep until more is due. Any number may run on one store.

    :param store: where the entries wait.
    :param layer: the channel layer that carries leases to workers.
    :param standing: entries that must always exist.
    :param batch: how many leases one message carries at most.
    :param hand_off: milliseconds that a worker has for its first renew.
    :param gap: milliseconds between two leases at least, of all schedulers together, so that batches form; a full
        one is followed by the next at once.
    :param cap: milliseconds to sleep at most: what a lost wake-up costs.
    """

    beat_ttl = 5_000
    """Milliseconds that a heartbeat lasts; it comes every fifth of that."""

    def __init__(
        self,
        store: DelayStore,
        layer: Layer,
        *,
        standing: Sequence[NewEntry] = (),
        batch: int = 250,
        hand_off: int = HAND_OFF,
        gap: int = 50,
        cap: int = 1_000,
    ) -> None:
        self._store = store
        self._layer = layer
        self._standing = standing
        self._batch = batch
        self._hand_off = hand_off
        self._gap = gap
        self._cap = cap
        self.name = f"{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:6]}"
        self._beat_at = float("-inf")
        self._away = False

    async def run(self) -> None:
        """Run until cancelled. What was leased by then is sent or given back, if the layer takes it within a second."""
        try:
            while True:
                try:
                    leased = await self._tick()
                    if self._away:
                        self._away = False
                        logger.info("The delay store answers again.")
                    if leased < self._batch:
                        await self._store.sleep(self._cap)
                except Exception as error:
                    # The store is away, or talks nonsense: entries get late, and somebody is told.
                    trouble.say(logger, "The delay store does not answer: %r", error)
                    self._away = True
                    await asyncio.sleep(random.uniform(0.05, 0.5))
        finally:
            await self._sign_off()

    async def run_once(self) -> None:
        """Hand out what is due now, and return."""
        try:
            while await self._tick():
                pass
        finally:
            await self._sign_off()

    async def _tick(self) -> int:
        """Hand out one batch of what is due, and return how many it was."""
        beaten = await self._beat()
        await self._store.stand(self._standing)
        if beaten:
            await self._see_to_standing()
        # Once asked for, leases are ours: a cancellation meanwhile must not leave them to the hand-off.
        return await finish(self._hand_out())

    async def _beat(self) -> bool:
        """Say that this scheduler is alive, if it is time to, and return whether it was."""
        now = asyncio.get_running_loop().time()
        if now - self._beat_at < self.beat_ttl / 5000:
            return False
        await self._store.beat(self.name, self.beat_ttl)
        self._beat_at = now
        return True

    async def _see_to_standing(self) -> None:
        """Make standing entries anew that a store which has had them has lost, or that have died.

        Nobody else would: they are what mends the rest.
        """
        if not self._standing:
            return
        entries = await self._store.peek([new.key for new in self._standing])
        for new, entry in zip(self._standing, entries, strict=True):
            if entry is None or entry.dead:
                if entry:
                    await self._store.bury([new.key])
                if await self._store.schedule([new]) != [None]:
                    was = "dead" if entry else "gone"
                    logger.warning("The standing entry %s was %s, and is made anew.", new.key, was)

    async def _sign_off(self) -> None:
        try:
            async with asyncio.timeout(1):
                await self._store.beat(self.name, 0)
        except Exception as error:
            logger.info("%s could not sign off: %r", self.name, error)

    async def _hand_out(self) -> int:
        leases = await self._store.lease(self._batch, self._hand_off, self._gap)
        counts.LATENESS.observe((lease.at - lease.due) / 1_000_000 for lease in leases)
        by_reader: Mapping[str, list[Lease]] = defaultdict(list)
        for lease in leases:
            by_reader[lease.reader].append(lease)
        await side_by_side([self._send(reader, batch) for reader, batch in by_reader.items()])
        return len(leases)

    async def _send(self, reader: str, batch: Sequence[Lease]) -> None:
        try:
            # A connection can be dead without a word. What is sent later than this would hardly be renewed in time.
            async with asyncio.timeout(self._hand_off / 2000):
                await self._layer.send(reader, to_channel(batch))
        except Exception as error:
            what = "%s takes no leases, giving %d back: %r"
            trouble.say(logger, what, reader, len(batch), error, extra={"reader": reader, "leases": len(batch)})
            # Jitter, so that they do not all come back in one batch to the reader that was full.
            await self._store.settle(
                [(lease, Again(random.randint(50, 500), attempt=lease.attempt)) for lease in batch]
            )
