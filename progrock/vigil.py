"""One watch over all who are connected: who is not the one any more that they were is sent away."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import suppress
from contextvars import Context
from typing import Any

from channels.db import database_sync_to_async
from django.http import HttpRequest

from . import registry
from .delay import StoreAway, door, trouble
from .delay.loops import PerLoop
from .identity import Identity, gone, mark_of, over_of
from .updates import Event, hub, spread

logger = logging.getLogger(__name__)

EVERY = 10.0
"""Seconds from one look at all of them to the next."""
SOON = 0.25
"""Seconds after which one who is said to have signed out is looked at again: it is said just before it is so."""
TRIES = 8
"""How many such looks there are."""
TIMEOUT = 2.0
"""Seconds that the channel layer has to take a word."""
REMEMBERED = 60_000
"""Milliseconds for which a logout is remembered: longer than a ticket is good, and than from one look to the next."""
_TOPIC = "identity:over"


class Vigil:
    """One event loop's watch over the identities of its sockets and streams. Hears from a hub who signs out."""

    def __init__(self) -> None:
        self._over: dict[Identity, set[Callable[[], None]]] = defaultdict(set)
        # Those who are said to have signed out, and how often they will be looked at for that.
        self._doubted: dict[Identity, int] = {}
        self._doubt = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    def keep(self, identity: Identity, over: Callable[[], None]) -> Callable[[], None]:
        """Watch over an identity.

        :param over: called once if it does not hold any more. Must not block.
        :returns: what ends the watch.
        """
        if not (identity.user or identity.mark):
            return lambda: None
        self._over[identity].add(over)
        if self._looking is None:
            # Not in the context of the request that came first, which has a thread of its own for the database.
            self._looking = asyncio.get_running_loop().create_task(self._look_now_and_then(), context=Context())

        def release() -> None:
            calls = self._over.get(identity)
            if calls is not None:
                calls.discard(over)
                if not calls:
                    self._forget(identity)

        return release

    def hear(self, event: Event) -> None:
        """Take the word that a session is about to end. It is no evidence, but a reason to look."""
        mark = event.frame.decode(errors="replace")
        for identity in [each for each in self._over if each.mark == mark]:
            if identity.session:
                self._doubted[identity] = TRIES
                self._doubt.set()
            else:
                # No session can be asked about. Its cookie goes with the answer that is being made.
                asyncio.get_running_loop().call_later(4 * SOON, self._end, identity)

    async def _look_now_and_then(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(TIMEOUT):
                await hub().subscribe(_TOPIC, self)
        except Exception as error:
            trouble.say(logger, "Logouts are noticed late: %r", error)
        due = loop.time() + EVERY
        while True:
            pause = due - loop.time()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(pause, SOON) if self._doubted else pause):
                    await self._doubt.wait()
            self._doubt.clear()
            if loop.time() >= due:
                await self._look(list(self._over))
                due = loop.time() + EVERY
            elif self._doubted:
                doubted, self._doubted = self._doubted, {}
                await self._look(list(doubted))
                left = {each: tries - 1 for each, tries in doubted.items() if tries > 1 and each in self._over}
                self._doubted = {**left, **self._doubted}

    async def _look(self, identities: Collection[Identity]) -> None:
        try:
            over = await database_sync_to_async(gone)(identities)
        except Exception as error:
            # Who cannot be asked about has done nothing.
            trouble.say(logger, "Whether sessions still hold cannot be asked: %r", error)
            return
        over += await _ended([each for each in identities if each.mark and not each.session])
        for each in over:
            self._end(each)

    def _end(self, identity: Identity) -> None:
        calls = tuple(self._over.get(identity, ()))
        self._forget(identity)
        for over in calls:
            try:
                over()
            except Exception:
                logger.exception("A connection of %r could not be ended.", identity)

    def _forget(self, identity: Identity) -> None:
        self._over.pop(identity, None)
        self._doubted.pop(identity, None)
        if not self._over and self._looking is not None:
            looking, self._looking = self._looking, None
            looking.cancel()
            self._leaving = asyncio.get_running_loop().create_task(self._leave(), context=Context())

    async def _leave(self) -> None:
        if self._looking is None:
            await hub().unsubscribe([_TOPIC], self)


async def _ended(identities: Collection[Identity]) -> list[Identity]:
    """Return those of whose session, which they do not know, it is remembered that it is over."""
    try:
        return [each for each in identities if await registry.remembered(over_of(each.mark))]
    except StoreAway as error:
        trouble.say(logger, "Whether sessions still hold cannot be asked: %r", error)
        return []


async def _say(mark: str) -> None:
    async with asyncio.timeout(TIMEOUT):
        # Each may be in a Redis of its own, and is of use without the other.
        ends = await asyncio.gather(
            spread([Event(_TOPIC, mark.encode())]),
            registry.once(over_of(mark), REMEMBERED),
            return_exceptions=True,
        )
    for end in ends:
        if isinstance(end, BaseException):
            raise end


_say_now = door(_say, registry.aclose)


def signed_out(sender: object, request: HttpRequest | None, **kwargs: Any) -> None:
    """Let all processes look at a session that is about to end. Receives `user_logged_out`."""
    mark = mark_of(getattr(request, "session", None))
    if not mark:
        return
    try:
        _say_now(mark)
    except Exception as error:
        # It is found out at the next look.
        trouble.say(logger, "Nobody is told that a session ends: %r", error)


@PerLoop
def vigil() -> Vigil:
    """Return the running event loop's vigil."""
    return Vigil()
