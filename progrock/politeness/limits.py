"""The contract of the limits: how many calls to a service may be made now, by all workers together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import msgspec

from ..conf import Limit

HOLD = 15_000_000
"""Microseconds after which a permit ends by itself: longer than any call takes, so its worker must be dead."""
PROMISE_MOST = 300_000_000
"""Microseconds that anybody waits for a turn until it is asked for again: a service that was slow may be quick by then,
and one that got few calls may get more."""
FIRST_GUESS = 100_000
"""Microseconds that a call takes, as long as none has said how long it took."""


class Ask(msgspec.Struct, frozen=True):
    """What one batch asks for.

    :param first: calls that go before all others, such as cancels.
    :param due: calls that were put off, and whose turn is now.
    :param fresh: all others.
    :param owed: calls that were made without asking.
    :param permit: the name that the permits of what is granted get.
    :param finished: calls that are over, by the name of their permit.
    :param took: microseconds that the last of them took, 0 if there is none.
    """

    first: int = 0
    due: int = 0
    fresh: int = 0
    owed: int = 0
    permit: str = ""
    finished: Sequence[tuple[str, int]] = ()
    took: int = 0


class Answer(msgspec.Struct, frozen=True):
    """How many calls may be made, and when those that may not have their turn. Durations in microseconds from now.

    :param first: how many of the first ones.
    :param due: how many of those whose turn was promised.
    :param fresh: how many of the others.
    :param front: until the next call can be made.
    :param end: until the turn of who comes behind everybody that waits already; these asks included.
    :param gap: from one turn to the next.
    """

    first: int
    due: int
    fresh: int
    front: int = 0
    end: int = 0
    gap: int = 0


class Limits(ABC):
    """A token bucket and a number of permits for each service.

    Who gets none now is promised a turn: one call each `gap`, in order, and nobody who comes new goes before. So it
    asks twice, however many wait, but for those whose turn is further away than any is promised. A promise is no
    permit: what is made is counted when it is made.
    """

    @abstractmethod
    async def take(self, service: str, limit: Limit, ask: Ask) -> Answer:
        """Ask for calls, and give back what is over."""
