"""The channels that one client has subscribed to, and the events that wait for it: the newest, within bounds."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.contrib.auth.models import AnonymousUser

from . import jobs, registry
from .access import auser_of
from .events import ME, check, job_in, topic_of
from .exceptions import NotFound, Refused, TooMany, Unavailable
from .updates import Event, hub

logger = logging.getLogger(__name__)

CHANNELS_MOST = 100
"""How many channels one client may subscribe to."""
EVENTS_MOST = 100
"""How many events wait for a client that reads slowly; then the oldest are dropped."""
BYTES_MOST = 256 * 1024
"""The same, of their bytes."""
PATIENCE = 10.0
"""Seconds that the function of the settings has to say who may subscribe."""


class Subscriptions:
    """Those of one client. What a hub hands events to.

    :param owner: for whom the client speaks.
    :param wake: called when there is something to take.
    """

    def __init__(self, owner: str, wake: Callable[[], None]) -> None:
        self._owner = owner
        self._wake = wake
        self._channels: set[str] = set()
        self._waiting: deque[bytes] = deque()
        self._size = 0

    async def subscribe(self, channel: str) -> None:
        """Hear a channel from now on, as long as this client is there: who may is asked only now.

        :param channel: `me`, the id of a job, or the name of a channel with permission.
        :raises Invalid: if it can be none of these.
        :raises NotFound: if there is none, or not for this client.
        :raises TooMany: if these are more than a client may have.
        :raises Unavailable: if that cannot be asked now.
        """
        if channel not in self._channels and len(self._channels) >= CHANNELS_MOST:
            raise TooMany(f"Expected at most {CHANNELS_MOST} channels at once, got one more.")
        try:
            await self._permit(channel)
        except Refused as refusal:
            if isinstance(refusal, NotFound):
                await self.unsubscribe(channel)
            raise
        self._channels.add(channel)
        await hub().subscribe(topic_of(channel, self._owner), self)

    async def unsubscribe(self, channel: str) -> None:
        """Undo a subscription."""
        if channel in self._channels:
            self._channels.remove(channel)
            await hub().unsubscribe([topic_of(channel, self._owner)], self)

    def hear(self, event: Event) -> None:
        """Take an event from the hub."""
        self._waiting.append(event.frame)
        self._size += len(event.frame)
        while len(self._waiting) > EVENTS_MOST or self._size > BYTES_MOST:
            self._size -= len(self._waiting.popleft())
        self._wake()

    def take(self) -> list[str]:
        """Return the frames of the events that wait, the oldest first."""
        frames = [frame.decode() for frame in self._waiting]
        self._waiting.clear()
        self._size = 0
        return frames

    async def aclose(self) -> None:
        """Undo all subscriptions."""
        channels, self._channels = self._channels, set()
        await hub().unsubscribe([topic_of(channel, self._owner) for channel in channels], self)

    async def _permit(self, channel: str) -> None:
        if channel == ME:
            return
        if job_in(channel) == channel:  # an event knows it by no other spelling
            await jobs.aget(channel, owner=self._owner)
        elif not await _may(self._owner, check(channel)):
            raise NotFound(f"Expected a channel that is there for you, got {channel!r}.")


async def _may(owner: str, channel: str) -> bool:
    """Ask the function of the settings. True is yes, and nothing else is."""
    function = registry.may_subscribe()
    if function is None:
        return False
    try:
        async with asyncio.timeout(PATIENCE):
            user = await auser_of(owner) or AnonymousUser()
            asked = function if iscoroutinefunction(function) else sync_to_async(function)
            answer = await asked(user=user, owner=owner, channel=channel)
    except Exception as error:
        logger.error("Whether %s may subscribe to %s cannot be asked.", owner, channel, exc_info=error)
        raise Unavailable("Something went wrong on our side. Try again later.") from error
    return answer is True
