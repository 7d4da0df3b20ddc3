"""How a sleeping scheduler hears of what is due earlier: a Redis channel, as a hint that may get lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from .connections import Connect

logger = logging.getLogger(__name__)


class Sleeper:
    """One that sleeps until the earliest of what it knows, and hears of what comes earlier."""

    def __init__(self) -> None:
        self._heard: dict[str, float] = defaultdict(lambda: math.inf)
        self._woken = asyncio.Event()

    def hear(self, shard: str, due: float) -> None:
        """Take note that something is due in a shard."""
        if due < self._heard[shard]:
            self._heard[shard] = due
            self._woken.set()

    async def sleep(self, plans: Sequence[tuple[str, int, float, int]], end: float) -> None:
        """Return once something can be leased in any shard, at the latest at `end`, by the loop's clock.

        :param plans: of each shard its name, its time, when something can be leased, and from when on it may be, all in
            microseconds of its clock.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            soonest = min(
                began + (max(min(due, self._heard[shard]), opens) - now) / 1_000_000 for shard, now, due, opens in plans
            )
            left = min(soonest, end) - loop.time()
            if left <= 0:
                return
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._woken.wait()


class Ear:
    """One event loop's subscription to the wake-up calls of all shards.

    :param shards: the names of the channels.
    """

    retry = (0.05, 0.5)
    """Seconds between two attempts to subscribe, about."""

    def __init__(self, connect: Connect, shards: Sequence[str]) -> None:
        self._connect = connect
        self._shards = shards
        self._sleepers: set[Sleeper] = set()
        self._listening: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def sleeper(self) -> Iterator[Sleeper]:
        """Return a sleeper that hears from now on. Subscribes, if nobody has yet."""
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())
        sleeper = Sleeper()
        self._sleepers.add(sleeper)
        try:
            yield sleeper
        finally:
            self._sleepers.discard(sleeper)

    async def aclose(self) -> None:
        """Stop listening."""
        task, self._listening = self._listening, None
        while task is not None and not task.done():
            # More than once: redis-py 8.1 was seen to lose a cancellation that came right after the subscription.
            task.cancel()
            await asyncio.wait([task], timeout=0.1)

    async def _listen(self) -> None:
        while True:
            client = self._connect()
            try:
                async with client.pubsub() as pubsub:
                    await pubsub.subscribe(*self._shards)
                    while True:
                        # With a timeout it returns None after it; without, redis-py 8 raises after socket_timeout.
                        self._hear(await pubsub.get_message(timeout=10))
            except Exception as trouble:
                # A wake-up lost costs a second at most, and the scheduler tells that the store is away.
                logger.debug("No wake-up calls: %r", trouble)
                await asyncio.sleep(random.uniform(*self.retry))
            finally:
                await client.aclose()

    def _hear(self, message: dict[str, Any] | None) -> None:
        if message is None or message["type"] not in ("message", "subscribe"):
            return
        shard = message["channel"].decode()
        if message["type"] == "subscribe":
            due = -math.inf  # nobody knows what was said before: look now
        else:
            try:
                due = float(int(message["data"]))
            except ValueError:
                return  # somebody else's word on our channel
        for sleeper in self._sleepers:
            sleeper.hear(shard, due)
