"""The adapter of groups: what it reads is how the children stand, and what their group's code has said."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import Error as DatabaseTrouble
from django.utils import timezone
from msgspec.structs import replace

from .. import registry
from ..delay import StoreAway, trouble
from ..inbox import End
from ..models import primary
from ..protocol import State
from ..push import Pushed
from ..step import Look, Miss, Reading
from .roll import Roll, roll_up

logger = logging.getLogger(__name__)

_ASKED = 500
"""Milliseconds from one look to the next while children are waited for that shall end."""
_EACH, _PAUSE_MOST = 1, 10_000
"""Milliseconds from one look to the next for each child that goes on, and in all: what groups cost does not grow."""
_UNREADABLE = Miss("unreachable", "Its children cannot be counted now.")
_SILENT = Miss("lost", "Its code is not heard any more, and has not said that it is complete.")


class Grouped(Pushed):
    """Groups of jobs.

    A group is a tracked job whose code says one thing only: that it has no more children. Until then, and until all
    of them are over, it goes on. Its options are those of tracked jobs.
    """

    batch = 100

    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        return await self._looks(remotes, asked=False)

    async def cancel(self, remote: str) -> Look:
        """Ask the children to end, and the code not to begin any more of them."""
        try:
            await asyncio.gather(_cancel_children([remote]), registry.inbox().cancel(remote))
        except (StoreAway, DatabaseTrouble) as error:
            trouble.say(logger, "The children of %s are cancelled late: %r", remote, error)
            return Miss("unreachable", "Its children cannot be told to stop now.")
        (look,) = await self._looks([remote], asked=True)
        if isinstance(look, Miss) or look.state.complete:
            return look
        return replace(look, again=max(_ASKED, look.again or 0))

    async def _looks(self, remotes: Sequence[str], *, asked: bool) -> Sequence[Look]:
        """Look at groups.

        :param asked: whether their end was asked for.
        """
        said = await super().poll(remotes)
        try:
            rolls = await roll_up(remotes)
            ends = {remote: _closed(look, rolls.get(remote)) for remote, look in zip(remotes, said, strict=True)}
            await _keep({remote: end for remote, end in ends.items() if end is not None}, rolls)
            stopped = [remote for remote, end in ends.items() if end is not None and end.state is State.CANCELLED]
            await _cancel_children([remote for remote in stopped if remote in rolls and rolls[remote].running])
        except (StoreAway, DatabaseTrouble) as error:
            trouble.say(logger, "The children of %d groups cannot be counted: %r", len(remotes), error)
            return [_UNREADABLE] * len(remotes)
        return [
            _look(rolls[remote], look, ends[remote], asked=asked)
            if remote in rolls
            else Miss("vanished", "It is gone.")
            for remote, look in zip(remotes, said, strict=True)
        ]


def _closed(said: Look, roll: Roll | None) -> End | None:
    """Return how the group's code has ended, None if it goes on, or nobody knows."""
    if isinstance(said, Reading) and said.state.complete:
        return End(said.state, said.message)
    known = roll.params.get("closed") if roll is not None else None
    return End(State(known["state"]), known["message"]) if known else None


async def _keep(ends: dict[str, End], rolls: dict[str, Roll]) -> None:
    """Write down who has closed a group: the inbox may forget it before the last child is over."""
    for group, end in ends.items():
        if group in rolls and "closed" not in rolls[group].params:
            closed = {"state": end.state, "message": end.message}
            await primary().filter(pk=group).aupdate(params={**rolls[group].params, "closed": closed})


async def _cancel_children(groups: Sequence[str]) -> None:
    """Ask for the end of all children that have not heard of it; whom the nudge does not reach the reconciler does."""
    waiting = primary().filter(parent__in=[UUID(group) for group in groups], state__in=[State.PENDING, State.RUNNING])
    children = [str(pk) async for pk in waiting.values_list("pk", flat=True)] if groups else []
    if children:
        await waiting.filter(pk__in=children).aupdate(state=State.CANCELLING, changed=timezone.now())
        await registry.store().nudge(children)


def _look(roll: Roll, said: Look, end: End | None, *, asked: bool) -> Look:
    """Return what is said of a group."""
    if isinstance(said, Miss) and said.code != "lost":
        return said
    closed = end is not None
    heard = said if isinstance(said, Reading) else Reading(State.RUNNING)
    percent, words = roll.percent(closed=closed), roll.words(closed=closed)
    pause = min(roll.running * _EACH, _PAUSE_MOST)
    going = replace(heard, state=State.RUNNING, percent=percent, message=words, result=None, again=pause)
    if roll.running:
        return going
    if end is None:
        if isinstance(said, Reading):
            return going
        return replace(going, state=State.CANCELLED, message="") if asked else _SILENT
    if end.state is State.CANCELLED or (asked and roll.cancelled):
        return replace(going, state=State.CANCELLED)
    if end.state is State.FAILED:
        return replace(going, state=State.FAILED, message=end.message)
    most: Any = roll.params.get("failures", 0)
    if most is not None and roll.failed > most:
        return replace(going, state=State.FAILED)
    return replace(going, state=State.SUCCEEDED, result=roll.counts())
