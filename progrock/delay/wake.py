"""How a sleeping scheduler hears of what is due earlier: a Redis channel, as a hint that may get lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
from collections.abc import Sequence
from typing import Any

from . import trouble
from .connections import Connect
from .finish import end

logger = logging.getLogger(__name__)


class Ear:
    """What one event loop knows of when something can be leased, and its subscription to what comes earlier.

    :param shards: their tags.
    """

    retry = (0.05, 0.5)
    """Seconds between two attempts to subscribe, about."""

    def __init__(self, connect: Connect, shards: Sequence[str]) -> None:
        self._connect = connect
        self._shards = shards
        # Of each shard: by how much its clock is behind the loop's, when something is due, and from when on it may be
        # leased; seconds.
        self._plans: dict[str, tuple[float, float, float]] = {}
        self._heard: dict[str, float] = {}
        self._woken = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    @property
    def planned(self) -> bool:
        """Whether there is a plan of each shard."""
        return len(self._plans) == len(self._shards)

    def forget(self) -> None:
        """Forget what was heard: the store is about to be asked."""
        self._heard.clear()

    def plan(self, shard: str, now: int, due: int, opens: int) -> None:
        """Take note of what the store has answered, in microseconds of its clock; a `due` of -1 is never."""
        behind = asyncio.get_running_loop().time() - now / 1_000_000
        self._plans[shard] = (behind, math.inf if due < 0 else due / 1_000_000, opens / 1_000_000)

    async def sleep(self, cap: int) -> None:
        """Return once something can be leased, as far as is known, at the latest after `cap` ms."""
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())
        loop = asyncio.get_running_loop()
        end = loop.time() + cap / 1000
        while (left := min(end, self._soonest()) - loop.time()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._woken.wait()

    def _soonest(self) -> float:
        return min(
            behind + max(min(due, self._heard.get(shard, due)), opens)
            for shard, (behind, due, opens) in self._plans.items()
        )

    async def aclose(self) -> None:
        """Stop listening."""
        task, self._listening = self._listening, None
        if task is not None:
            await end([task], every=0.1)

    async def _listen(self) -> None:
        while True:
            client = self._connect()
            try:
                await client.initialize()  # a cluster's client must find its nodes first
                async with client.pubsub() as pubsub:
                    await pubsub.subscribe(*(f"{shard}:wake" for shard in self._shards))
                    while True:
                        # With a timeout it returns None after it; without, redis-py 8 raises after socket_timeout.
                        self._hear(await pubsub.get_message(timeout=10))
            except Exception as error:
                # What it would have heard comes a second late at most.
                trouble.say(logger, "No wake-up calls: %r", error)
                await asyncio.sleep(random.uniform(*self.retry))
            finally:
                await client.aclose()

    def _hear(self, message: dict[str, Any] | None) -> None:
        if message is None or message["type"] not in ("message", "subscribe"):
            return
        shard = message["channel"].decode().removesuffix(":wake")
        if message["type"] == "subscribe":
            due = -math.inf  # nobody knows what was said before: look now
        else:
            try:
                due = int(message["data"]) / 1_000_000
            except ValueError:
                return  # somebody else's word on our channel
        if due < self._heard.get(shard, math.inf):
            self._heard[shard] = due
            # Everybody who sleeps now, and nobody later.
            self._woken.set()
            self._woken.clear()
