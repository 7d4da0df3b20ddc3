"""One service's limits as a worker meets them: what is asked for at the same time is one word to them."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Iterator
from contextvars import Context
from itertools import count
from math import ceil

import msgspec

from .. import registry
from ..conf import Limit
from ..delay import trouble
from ..politeness import PROMISE_MOST, Answer, Ask

logger = logging.getLogger(__name__)

ANSWER_MOST = 1.0
"""Seconds that the limits have for an answer."""
GATHER = 0.02
"""Seconds in which calls that are over are gathered."""


class Turn(msgspec.Struct, frozen=True):
    """What one of those who ask gets.

    :param calls: how many calls may be made now.
    :param waits: of each of the others, the milliseconds until its turn.
    :param permit: what they are given back by, empty if they need not be.
    """

    calls: int
    waits: tuple[int, ...] = ()
    permit: str = ""


class _Wish(msgspec.Struct, frozen=True):
    first: int
    due: int
    fresh: int
    turn: asyncio.Future[Turn]


class Turns:
    """The turns of one worker at one service.

    :param limit: what its settings say.
    """

    def __init__(self, service: str, limit: Limit) -> None:
        self._service = service
        self._limit = limit
        self._wishes: list[_Wish] = []
        self._finished: list[tuple[str, int]] = []
        self._took = self._owed = 0
        self._telling: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._names = (f"{uuid.uuid4().hex[:12]}.{number}" for number in count())

    async def take(self, calls: int, *, due: int = 0, first: bool = False) -> Turn:
        """Ask for calls.

        :param calls: how many.
        :param due: how many of them were put off before, until now.
        :param first: whether they go before all others.
        """
        future: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        due = min(due, calls)
        wish = _Wish(calls, 0, 0, future) if first else _Wish(0, due, calls - due, future)
        self._wishes.append(wish)
        if len(self._wishes) == 1:
            self._go()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.finish(future.result(), 0)
            raise

    def finish(self, turn: Turn, took: int) -> None:
        """Give calls back that are over.

        :param took: microseconds from when they were asked for; 0 if they were not made.
        """
        if not turn.permit or not turn.calls:
            return
        self._finished.append((turn.permit, turn.calls))
        self._took = took or self._took
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(GATHER, self._go)

    def owe(self) -> None:
        """Count a call that could not wait: others wait for it."""
        self._owed += 1

    async def aclose(self) -> None:
        """Give back what is over, at once."""
        await asyncio.gather(self._tell(), *self._tasks)

    def _go(self) -> None:
        # All that is asked for in the same turn of the loop is there when this begins.
        # It is nobody's alone, and what is logged there is not about the first who asks.
        task = asyncio.create_task(self._tell(), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        if not self._wishes and not self._finished:
            return
        wishes, self._wishes = self._wishes, []
        finished, self._finished = self._finished, []
        took, self._took = self._took, 0
        owed, self._owed = self._owed, 0
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None
        first, due, fresh = (sum(getattr(wish, kind) for wish in wishes) for kind in ("first", "due", "fresh"))
        permit = next(self._names) if self._limit.concurrency else ""
        try:
            async with asyncio.timeout(ANSWER_MOST):
                ask = Ask(first, due, fresh, owed, permit, finished, took)
                answer = await registry.limits().take(self._service, self._limit, ask)
        except Exception as error:
            # The schedule is in the same Redis: while it is away nothing new comes due, so this is no flood, and what
            # workers hold had better be done than fail for want of a count. Permits end by themselves.
            trouble.say(logger, "Calls to %r are not counted: %r", self._service, error)
            permit, answer = "", Answer(first, due, fresh)
        for wish, turn in zip(wishes, _share(wishes, answer, permit), strict=True):
            if not wish.turn.done():
                wish.turn.set_result(turn)
            else:
                self.finish(turn, 0)


def _share(wishes: list[_Wish], answer: Answer, permit: str) -> Iterator[Turn]:
    """Share out an answer among those who have asked, in their order."""
    first, due, fresh = answer.first, answer.due, answer.fresh
    front = (answer.front + number * answer.gap for number in count())
    end = (answer.end + number * answer.gap for number in count())
    missed = 0
    for wish in wishes:
        got_first, got_due, got_fresh = min(first, wish.first), min(due, wish.due), min(fresh, wish.fresh)
        first, due, fresh = first - got_first, due - got_due, fresh - got_fresh
        waits = [next(front) for _ in range(wish.first - got_first)]
        for _ in range(wish.due - got_due):
            # As the limits have it: the first of them waits for the next call, the others join the end.
            waits.append(next(front) if not missed else next(end))
            missed += 1
        waits += [next(end) for _ in range(wish.fresh - got_fresh)]
        yield Turn(got_first + got_due + got_fresh, tuple(map(_milliseconds, waits)), permit)


def _milliseconds(wait: int) -> int:
    """Return a wait that is no longer than any promise. Those whose turn is beyond do not all come back at once."""
    if wait >= PROMISE_MOST:
        wait = int(PROMISE_MOST * (1 - random.random() / 4))
    return max(1, ceil(wait / 1000))
