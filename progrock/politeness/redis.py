"""Limits and marks in the Redis of the schedule: those of all workers and all web processes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from ..conf import Limit
from ..delay.connections import connector
from ..delay.scripts import Scripts
from .limits import FIRST_GUESS, HOLD, PROMISE_MOST, Answer, Ask, Limits
from .watched import Audience

_KEYS = ("bucket", "permits", "marks")
_MARKS = "{polite}"
_MOST = 1_000
"""How many topics a call asks for at most: a script holds up everybody."""
_encode = msgspec.msgpack.Encoder().encode


def _tag(service: str) -> str:
    return f"{{polite.{service}}}"


def scripts(url: str, services: Iterable[str]) -> Scripts:
    """Return the scripts of `lua/`, to be shared by limits and audience.

    :param url: of the Redis, as the schedule has it.
    :param services: the names of those that have limits.
    :raises ValueError: if it is no URL of a Redis.
    """
    return Scripts(connector(url), [_MARKS, *map(_tag, services)], folder=Path(__file__).parent / "lua", keys=_KEYS)


class RedisLimits(Limits):
    """Of all workers on one Redis.

    :param scripts: see :func:`scripts`.
    """

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def take(self, service: str, limit: Limit, ask: Ask) -> Answer:
        """Ask for calls, and give back what is over.

        :raises StoreAway: if Redis does not answer.
        """
        numbers = repr(limit.rate), repr(limit.burst_or_rate), limit.concurrency, HOLD, FIRST_GUESS, PROMISE_MOST
        items = _encode((ask.first, ask.due, ask.fresh, ask.owed, ask.permit, ask.finished, ask.took))
        return Answer(*await self._scripts.run("take", _tag(service), *numbers, items))


class RedisAudience(Audience):
    """Of all web processes on one Redis.

    :param scripts: see :func:`scripts`.
    """

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def mark(self, topics: Sequence[str], duration: int) -> list[bool]:
        """Mark topics as watched.

        :raises StoreAway: if Redis does not answer.
        """
        new: list[bool] = []
        for at in range(0, len(topics), _MOST):
            some = topics[at : at + _MOST]
            new += map(bool, await self._scripts.run("mark", _MARKS, duration * 1000, *some))
        return new

    async def watched(self, topics: Sequence[str]) -> list[bool]:
        """Return of each topic whether it is marked.

        :raises StoreAway: if Redis does not answer.
        """
        found: list[bool] = []
        for at in range(0, len(topics), _MOST):
            found += map(bool, await self._scripts.run("watched", _MARKS, *topics[at : at + _MOST]))
        return found
