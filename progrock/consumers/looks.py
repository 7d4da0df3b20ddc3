"""Looks at jobs: as few calls as it takes, and no more than there is room for."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from math import ceil

from .. import registry, tracing
from ..delay import Lease, merge, trouble
from ..politeness import topic
from ..services import Service
from ..services.answers import each_of
from ..step import Decision, Miss, Run
from .calls import Calls, Room, known
from .decisions import Decisions, wait_of
from .ends import Ends
from .outcomes import Guard, Outcomes, of

logger = logging.getLogger(__name__)


class Looks:
    """The looks of one worker."""

    def __init__(self, calls: Calls, decisions: Decisions, ends: Ends, guard: Guard) -> None:
        self._calls = calls
        self._decisions = decisions
        self._ends = ends
        self._guard = guard

    async def poll(self, name: str, batch: Sequence[tuple[Lease, Run]]) -> Outcomes:
        """Look at all jobs of one service, with as few calls as it takes, and no more than it gets."""
        service = known(name)
        if service is None:
            stream = merge([self._ends.unconfigured(lease, run) for lease, run in batch])
        else:
            size = max(1, service.batch)
            waiting = [(*each, wait) for each in batch if (wait := wait_of(*each))]
            # Whose turn was promised goes before who comes new.
            asking = sorted((each for each in batch if not wait_of(*each)), key=lambda each: not each[1].put_off)
            due = ceil(sum(run.put_off for _, run in asking) / size)
            room = await self._calls.room(name, ceil(len(asking) / size), batch[0][0].at, due=due)
            if room.probing:
                # Not always the same job, which may be what the service stumbles over.
                random.shuffle(asking)
            most = room.calls * size
            streams = [
                self._look(service, name, asking[at * size : min(at * size + each.calls * size, most)], each)
                for at, each in enumerate(room.apart())
            ]
            decided = [(lease, self._decisions.put_off(lease, run, wait)) for lease, run, wait in waiting]
            decided += self._without(service, asking[most:], room)
            if decided:
                streams.append(self._decisions.settle(decided))
            stream = merge(streams) if len(streams) > 1 else streams[0]
        async with aclosing(stream) as outcomes:
            async for outcome in outcomes:
                yield outcome

    def _without(
        self, service: Service, batch: Sequence[tuple[Lease, Run]], room: Room
    ) -> Sequence[tuple[Lease, Decision]]:
        """Decide for those for whom there is no room."""
        size = max(1, service.batch)
        later = [
            (lease, self._decisions.put_off(lease, run, room.waits[number // size]))
            for number, (lease, run) in enumerate(batch[: len(room.waits) * size])
        ]
        answered = batch[len(room.waits) * size :]
        return later + [(each[0], self._decisions.decide(*each, room.answer(), service)) for each in answered]

    async def _look(self, service: Service, name: str, batch: Sequence[tuple[Lease, Run]], room: Room) -> Outcomes:
        """Make the calls that there is room for."""
        if not batch:
            return
        with room:
            with tracing.looking(registry.label(name), [(run.remote, lease.key) for lease, run in batch]):
                answer = await self._calls.ask(name, service.poll([run.remote for _, run in batch]))
            looks = each_of(answer, len(batch))
            room.heard(*_by_call(looks, max(1, service.batch), room.calls))
        if isinstance(looks, Miss) and looks.code == "nonsense" and len(batch) > 1:
            # One of them upsets the adapter: only that one shall suffer.
            stream = merge([self._guard.around([each[0]], self.poll(name, [each]), **of(each[1])) for each in batch])
        else:
            watched = await self._watched(name, batch)
            each_look = [looks] * len(batch) if isinstance(looks, Miss) else looks
            stream = self._decisions.settle(
                [
                    (lease, self._decisions.decide(lease, run, look, service, watched=seen))
                    for (lease, run), look, seen in zip(batch, each_look, watched, strict=True)
                ]
            )
        async with aclosing(stream) as outcomes:
            async for outcome in outcomes:
                yield outcome

    async def _watched(self, name: str, batch: Sequence[tuple[Lease, Run]]) -> Sequence[bool]:
        """Return of each job whether a client watches it, if that makes a difference to its policy."""
        everybody = [True] * len(batch)
        if not registry.policy(name).unwatched:
            return everybody
        both = [topic(run.owner, run.snapshot.job) for _, run in batch] + [topic(run.owner) for _, run in batch]
        try:
            async with asyncio.timeout(1):
                marked = await registry.audience().watched(both)
        except Exception as error:
            trouble.say(logger, "Nobody knows who watches, so all jobs count as watched: %r", error)
            return everybody
        return [one or all_ for one, all_ in zip(marked[: len(batch)], marked[len(batch) :], strict=True)]


def _by_call(looks: Sequence[object] | Miss, size: int, calls: int) -> Iterator[object]:
    """Return one look for each call: that of a job which was answered, if there is one."""
    for number in range(calls):
        some = [looks] if isinstance(looks, Miss) else looks[number * size : (number + 1) * size]
        silent = [look for look in some if isinstance(look, Miss) and look.code == "unreachable"]
        yield silent[0] if silent and len(silent) == len(some) else None
