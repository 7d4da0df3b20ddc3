"""From what a service said to what becomes of the job."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from contextlib import aclosing

import msgspec
from msgspec.structs import replace

from .. import registry, step
from ..delay import Again, Lease, StoreAway, merge, trouble
from ..services import Service
from ..services.answers import sane
from ..step import Decision, Look, Reading, Run
from .ends import Ends
from .oddities import Oddities
from .outcomes import Guard, Outcomes, Shown, encode, of

logger = logging.getLogger(__name__)

_TRIES = 3
"""How many times at most a last step is taken for the sake of what is said in it: the end does not wait longer."""


class Decisions:
    """The decisions of one worker."""

    def __init__(self, ends: Ends, guard: Guard) -> None:
        self._ends = ends
        self._guard = guard
        self._oddities = Oddities()

    def decide(self, lease: Lease, run: Run, look: object, service: Service, *, watched: bool = True) -> Decision:
        """Return what follows from a look, whatever the adapter has made of it."""
        policy = registry.policy(run.snapshot.service)
        spread = service.batch <= 1
        answer = _bounded(sane(look))
        self._oddities.see(run.snapshot.service, run.snapshot.percent, answer)
        return step.decide(run, answer, policy, lease.at, random.random(), spread=spread, watched=watched)

    def put_off(self, lease: Lease, run: Run, delay: int, *, begun: bool = True) -> Decision:
        """Return what follows when there is no turn yet.

        :param delay: milliseconds until there is.
        """
        return step.put_off(run, registry.policy(run.snapshot.service), lease.at, delay, begun=begun)

    async def settle(self, decided: Sequence[tuple[Lease, Decision]]) -> Outcomes:
        """Turn decisions into outcomes. Those that go on do not wait for those that end."""
        if any(decision.lines for _, decision in decided):
            written = await asyncio.gather(*(self._written(*each) for each in decided))
            for lease, decision in written:
                if decision is None:
                    yield lease, Again(random.randint(500, 2_000), attempt=lease.attempt + 1)
            decided = [(lease, decision) for lease, decision in written if decision]
        going = [each for each in decided if not each[1].run.snapshot.complete]
        for lease, decision in going:
            # Nothing was tried: what went wrong before is not forgotten for it.
            attempt = lease.attempt if decision.run.put_off else 1
            yield lease, Shown(decision.delay, encode(decision.run), attempt, run=decision.run)
        ending = [
            self._guard.around([lease], self._ends.finish(lease, decision.run), **of(decision.run))
            for lease, decision in decided
            if decision.run.snapshot.complete
        ]
        async with aclosing(merge(ending)) as outcomes:
            async for outcome in outcomes:
                yield outcome

    async def _written(self, lease: Lease, decision: Decision) -> tuple[Lease, Decision | None]:
        """Write what is new in a journal before the snapshot that counts it is anywhere; else it is not counted.

        Last words have no later step to come with: None, if the whole step shall be taken again for them.
        """
        if decision.lines:
            run = decision.run
            try:
                await registry.journal().append(run.snapshot.job, decision.lines)
            except StoreAway as error:
                job = run.snapshot.job
                trouble.say(logger, "The journal of job %s is written late: %r", job, error, extra={"job": job})
                if run.snapshot.complete and lease.attempt < min(_TRIES, registry.policy(run.snapshot.service).losses):
                    return lease, None
                return lease, replace(decision, run=step.unsaid(run, decision.lines[0].n - 1))
        return lease, decision


def _bounded(look: Look) -> Look:
    """Return a look without a result that is longer than the settings allow: its job has ended all the same."""
    if not isinstance(look, Reading) or look.result is None:
        return look
    if len(msgspec.json.encode(look.result)) <= registry.conf().max_result_bytes:
        return look
    return replace(look, result=None, message="Done, with a result that is too large to be kept.")


def wait_of(lease: Lease, run: Run) -> int:
    """Return the milliseconds until the turn that was promised: whoever is nudged before keeps it."""
    return max(0, (run.snapshot.due or 0) - lease.at // 1000) if run.put_off else 0
