"""The channels that one client has subscribed to, and the events that wait for it: the newest, within bounds."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from . import logs, registry
from .ask import answer_of
from .doubts import Doubts
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


class Subscriptions:
    """Those of one client. What a hub hands events to.

    :param doubts: of the same client.
    :param wake: called when there is something to take.
    :param changed: called when `doubtful` may have changed.
    """

    def __init__(self, doubts: Doubts, wake: Callable[[], None], changed: Callable[[], None]) -> None:
        self._doubts = doubts
        self._owner = doubts.caller.owner
        self._wake = wake
        self._changed = changed
        self._channels: set[str] = set()
        self.doubtful: set[str] = set()
        """Of which it is to be asked again if they may be heard: all but what is simply the caller's own."""
        self._waiting: deque[bytes] = deque()
        self._size = 0

    async def subscribe(self, channel: str) -> None:
        """Hear a channel from now on, as long as that is permitted.

        :param channel: `me`, the id of a job, or the name of a channel with permission.
        :raises Invalid: if it can be none of these.
        :raises NotFound: if there is none, or not for this client.
        :raises TooMany: if these are more than a client may have.
        :raises Unavailable: if that cannot be asked now.
        """
        if channel not in self._channels and len(self._channels) >= CHANNELS_MOST:
            raise TooMany(f"Expected at most {CHANNELS_MOST} channels at once, got one more.")
        try:
            doubtful = await self._permit(channel)
        except Refused as refusal:
            if isinstance(refusal, NotFound):
                await self.unsubscribe(channel)
            raise
        self._channels.add(channel)
        if doubtful:
            self.doubtful.add(channel)
            self._changed()
        await hub().subscribe(topic_of(channel, self._owner), self)

    async def ask_again(self) -> list[str]:
        """Ask of each doubtful channel if it may still be heard.

        :returns: those that may not, and are heard no more.
        """
        lost = []
        for channel in list(self.doubtful):
            try:
                await self._permit(channel)
            except NotFound:
                await self.unsubscribe(channel)
                lost.append(channel)
            except Unavailable:
                continue  # nobody has said no
        return lost

    async def unsubscribe(self, channel: str) -> None:
        """Undo a subscription."""
        if channel in self.doubtful:
            self.doubtful.remove(channel)
            self._changed()
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
        self.doubtful.clear()
        await hub().unsubscribe([topic_of(channel, self._owner) for channel in channels], self)

    async def _permit(self, channel: str) -> bool:
        """Return whether that a channel may be heard is to be asked again. Raises as :meth:`subscribe` does."""
        if job_in(channel) == channel:  # an event knows it by no other spelling
            caller = await self._doubts.asker()
            owner, _ = await caller.look(channel)
            return caller.doubts(owner)
        if self._doubts.caller.shared:
            raise NotFound(f"Expected the id of the job that is shared, got {channel!a:.80}.")
        if channel == ME:
            return False
        if not await self._may(check(channel)):
            raise NotFound(f"Expected a channel that is there for you, got {channel!r}.")
        return True

    async def _may(self, channel: str) -> bool:
        """Ask the function of the settings. True is yes, and nothing else is."""
        function = registry.may_subscribe()
        if function is None:
            return False
        try:
            user = await self._doubts.user()
            return await answer_of(function, user=user, owner=self._owner, channel=channel) is True
        except Exception as error:
            what = "Whether %s may hear %s cannot be asked."
            logger.error(what, logs.named(self._owner), channel, exc_info=error)
            raise Unavailable("Something went wrong on our side. Try again later.") from error
