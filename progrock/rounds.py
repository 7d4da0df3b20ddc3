"""Every few seconds, whether those who are told of jobs still may be: all of a process in one round."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine, Iterable
from contextvars import Context
from dataclasses import replace
from typing import Any, Protocol

from channels.db import aclose_old_connections
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser

from .caller import Caller
from .delay import trouble
from .delay.loops import PerLoop

logger = logging.getLogger(__name__)

EVERY = 8.0
"""Seconds from one round to the next, at most: a permission that is gone ends within ten what it allowed."""
TOGETHER = 50
"""How many are asked of at the same time."""


class Watcher(Protocol):
    """Who is told of jobs."""

    @property
    def caller(self) -> Caller: ...

    def ask_again(self, caller: Caller) -> Coroutine[Any, Any, None]:
        """Ask of each job whether the caller, of whom this is newly known, may still watch it."""


class Rounds:
    """Those of one event loop."""

    def __init__(self) -> None:
        self._watchers: set[Watcher] = set()
        self._going: asyncio.Task[None] | None = None
        self._resting = False

    def add(self, watcher: Watcher) -> None:
        """Ask of this one too, from the next round on."""
        self._watchers.add(watcher)
        if self._going is None or self._going.done():
            # Not in the context of who came first, whose thread for the database ends with their request.
            self._going = asyncio.get_running_loop().create_task(self._go(), context=Context())

    def discard(self, watcher: Watcher) -> None:
        """Ask of it no more."""
        self._watchers.discard(watcher)
        # Not in the middle of a round, which may be what has come to this.
        if not self._watchers and self._going is not None and self._resting:
            self._going.cancel()
            self._going = None

    async def go_round(self) -> None:
        """Ask of all of them, once."""
        watchers = list(self._watchers)
        try:
            await aclose_old_connections()  # type: ignore[no-untyped-call]
            callers = await renewed([each.caller for each in watchers])
        except Exception as error:
            # Nobody has said no.
            trouble.say(logger, "Whether those who watch still may cannot be asked: %r", error)
            return
        asked = list(zip(watchers, callers, strict=True))
        for first in range(0, len(asked), TOGETHER):
            some = asked[first : first + TOGETHER]
            ends = await asyncio.gather(*(each.ask_again(caller) for each, caller in some), return_exceptions=True)
            for end in ends:
                if isinstance(end, Exception):
                    logger.error("Whether somebody still may watch cannot be asked.", exc_info=end)

    async def _go(self) -> None:
        while self._watchers:
            self._resting = True
            # Processes that were started together do not ask together.
            await asyncio.sleep(EVERY * random.uniform(0.8, 1))
            self._resting = False
            await self.go_round()


async def renewed(callers: Iterable[Caller]) -> list[Caller]:
    """Return callers with their users as the database has them now, by one query: Django's keep their permissions.

    One who is gone, or not active any more, is an AnonymousUser.
    """
    callers = list(callers)
    keys = {each.user.pk for each in callers if each.user.is_authenticated}
    known: dict[Any, Any] = {}
    if keys:
        model = get_user_model()
        users = model._default_manager.filter(pk__in=keys)  # noqa: SLF001 (that is its name)
        known = {user.pk: user async for user in users if user.is_active}
    return [replace(each, user=known.get(each.user.pk) or AnonymousUser()) for each in callers]


@PerLoop
def rounds() -> Rounds:
    """Return the running event loop's."""
    return Rounds()
