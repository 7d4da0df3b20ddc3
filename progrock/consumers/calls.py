"""A worker's calls to services: bounded in time, as many as the limits allow, and hardly any to one that is dead."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Sequence
from types import TracebackType
from typing import Self, TypeVar
from weakref import WeakSet

from msgspec.structs import replace

from .. import counts, registry
from ..delay.finish import stopping
from ..exceptions import UnknownService
from ..services import Service
from ..services.answers import sane
from ..services.breaker import Breaker
from ..step import CODES, Miss
from .turns import Turn, Turns

logger = logging.getLogger(__name__)

T = TypeVar("T")

_NONE = Turn(0)
_live: WeakSet[Calls] = WeakSet()
CALL_MOST = 12
"""Seconds that any adapter has for an answer; a client gives up earlier by default, and says why."""


class Room:
    """Room for some calls to a service; to be left once they are made.

    :param now: the store's time.
    :param turns: the service's limits, None if it has none.
    :param turn: what they have granted already.
    """

    def __init__(
        self,
        service: str,
        breaker: Breaker,
        now: int,
        turns: Turns | None,
        turn: Turn = _NONE,
    ) -> None:
        self._service = service
        self._breaker = breaker
        self._turns = turns
        self._turn = turn
        self._now = now
        self._began = asyncio.get_running_loop().time()
        self._left = False
        self.calls = turn.calls
        """How many may be made."""
        self.waits: Sequence[int] = ()
        """Of those that are put off, the milliseconds until the turn of each. The rest gets :meth:`answer`."""
        self.probing = False
        """Whether the service seems dead, and the one call is to find out."""

    async def enter(self, calls: int, due: int, first: bool) -> None:
        """Ask for calls, as :meth:`Calls.room` does."""
        self.calls = self._breaker.admit(calls, self._now)
        self.probing = self._breaker.open and self.calls > 0
        if self._turns is not None and self.calls:
            try:
                self._turn = await self._turns.take(self.calls, due=due, first=first)
            except asyncio.CancelledError:
                self.leave()
                raise
            self.calls, self.waits = self._turn.calls, self._turn.waits
        if not self.calls:
            self.leave()

    def apart(self) -> Sequence[Room]:
        """Return a room for each call instead, so that one that takes long keeps no other's permit."""
        if self.calls < 2 or not self._turn.permit:
            return [self]
        self._left = True
        one = replace(self._turn, calls=1)
        return [Room(self._service, self._breaker, self._now, self._turns, one) for _ in range(self.calls)]

    def answer(self) -> Miss:
        """Return what is said to those for whom no call is made."""
        return self._breaker.answer(self._now + self._took(), random.random())

    def heard(self, *looks: object) -> None:
        """Tell what came of the calls, by a look at each, and leave."""
        if self._left:
            return
        policy, now = registry.policy(self._service), self._now + self._took()
        for each in looks:
            look = sane(each) if isinstance(each, Miss) else each
            if isinstance(look, Miss) and look.code == "unreachable":
                self._breaker.failed(look, policy, now, random.random())
            else:
                # Whatever else it says, it is there.
                self._breaker.heard(now)
        self.probing = False
        self.leave()

    def leave(self) -> None:
        """Give back what is left."""
        if self._left:
            return
        self._left = True
        if self.probing:
            self._breaker.dropped()
        if self._turns is not None:
            self._turns.finish(self._turn, self._took())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def _took(self) -> int:
        """Return the microseconds since it was asked for."""
        return int((asyncio.get_running_loop().time() - self._began) * 1_000_000)


class Calls:
    """The calls of one worker.

    Its breakers are its own, and not all workers' together: what a process has seen itself is enough to judge by, costs
    no word with anybody, and a worker whose own network is the trouble spoils no other.
    """

    def __init__(self) -> None:
        self._breakers: dict[str, Breaker] = defaultdict(Breaker)
        self._turns: dict[str, Turns] = {}
        _live.add(self)

    async def room(self, service: str, calls: int, now: int, *, due: int = 0, first: bool = False) -> Room:
        """Ask for calls. Where nothing is wrong and nothing limited, this costs nothing.

        :param calls: how many.
        :param now: the store's time.
        :param due: how many of them were put off before, until now.
        :param first: whether they go before all others.
        """
        room = Room(service, self._breakers[service], now, self._turns_of(service))
        await room.enter(calls, due, first)
        return room

    def owe(self, service: str) -> None:
        """Count a call that could not wait for its turn: others wait instead."""
        turns = self._turns_of(service)
        if turns is not None:
            turns.owe()

    def dead(self, service: str) -> bool:
        """Return whether a service seems dead."""
        return self._breakers[service].open

    def called(self) -> list[str]:
        """Return the services that were called."""
        return list(self._breakers)

    async def ask(self, service: str, call: Awaitable[T]) -> T | Miss:
        """Await a service's answer, which is a miss if it does not come, or the adapter raises."""
        name, began = registry.label(service), time.perf_counter()
        asked = counts.asking.set(name)
        try:
            answer = await self._answer(call)
        finally:
            counts.asking.reset(asked)
        outcome = "answered"
        if isinstance(answer, Miss):
            # That of an adapter of somebody's own may be anything.
            outcome = answer.code if answer.code in CODES else counts.OTHER
        counts.CALLS.observe([time.perf_counter() - began], name, outcome)
        return answer

    async def _answer(self, call: Awaitable[T]) -> T | Miss:
        try:
            async with asyncio.timeout(CALL_MOST):
                return await call
        except TimeoutError:
            return Miss("unreachable", "The service did not answer in time.")
        except (Exception, asyncio.CancelledError) as error:
            if stopping(error):
                raise
            logger.exception("An adapter failed.")
            return Miss("nonsense", "Something went wrong on our side.")

    async def stop(self, service: Service, name: str, remote: str) -> None:
        """Tell a service to stop what nobody waits for any more: once, as no step comes after this one."""
        if self.dead(name):
            logger.warning("%r is not told to stop %s: it does not answer.", name, remote)
            return
        self.owe(name)
        await self.ask(name, service.cancel(remote))

    async def aclose(self) -> None:
        """Give back what is over, at once."""
        _live.discard(self)
        await asyncio.gather(*(turns.aclose() for turns in self._turns.values()))

    def _turns_of(self, service: str) -> Turns | None:
        limit = registry.limit(service)
        if limit is None:
            return None
        if service not in self._turns:
            self._turns[service] = Turns(service, limit)
        return self._turns[service]


def breakers() -> dict[str, bool]:
    """Return of each service that this process' workers have called, by its label, whether it seems dead to one."""
    found: dict[str, bool] = {}
    for calls in list(_live):
        for name in calls.called():
            label = registry.label(name)
            found[label] = found.get(label, False) or calls.dead(name)
    return found


def known(name: str) -> Service | None:
    """Return the adapter of a service, None if it is not set up here any more."""
    try:
        return registry.service(name)
    except UnknownService:
        return None
