"""The start of a job: the intent is committed, then the service is told, once."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.utils import timezone
from msgspec.structs import replace

from .. import registry, signals, updates
from ..delay import Again, Lease
from ..models import Job, primary
from ..protocol import State
from ..services import Order, Service, Started
from ..services.answers import checked
from ..standing import UNFINISHED
from ..step import Miss, Run, begin, fail
from ..writes import Writes
from .calls import Calls, Room, known
from .decisions import Decisions, wait_of
from .ends import Ends, time_of
from .outcomes import Guard, Outcomes, encode

logger = logging.getLogger(__name__)


class Starts:
    """The starts of one worker.

    :param holds: tells whether a lease is still good.
    """

    def __init__(
        self,
        writes: Writes,
        calls: Calls,
        decisions: Decisions,
        ends: Ends,
        guard: Guard,
        holds: Callable[[Lease], bool],
    ) -> None:
        self._writes = writes
        self._calls = calls
        self._decisions = decisions
        self._ends = ends
        self._guard = guard
        self._holds = holds

    async def start(self, lease: Lease, run: Run, row: Job) -> Outcomes:
        """Take the first step of a job, when it has its turn."""
        service = known(row.service)
        if service is None:
            async for outcome in self._ends.unconfigured(lease, run):
                yield outcome
            return
        # Who wrote the intent may have died before it learned, or said, what came of the call.
        # A row that lost its intent, with the last second of its database, is no proof that there was none. Nor is an
        # entry that knows of no beginning, as one does that is put off: its store may have lost its last second.
        unheard = not run.snapshot.seq or run.started >= lease.at
        unsure = run.unsure or (row.started is not None and (lease.attempt > 1 or unheard))
        begun = row.started is not None or run.unsure
        wait = wait_of(lease, run)
        with await self._calls.room(row.service, 0 if wait else 1, lease.at, due=int(run.put_off)) as room:
            if wait or room.waits:
                later = self._decisions.put_off(lease, replace(run, unsure=unsure), wait or room.waits[0], begun=begun)
                stream = self._decisions.settle([(lease, later)])
            else:
                stream = self._start_now(lease, run, row, service, room, unsure=unsure)
            async for outcome in stream:
                yield outcome

    async def _start_now(
        self, lease: Lease, run: Run, row: Job, service: Service, room: Room, *, unsure: bool
    ) -> Outcomes:
        """Take the first step: write down that it begins, and begin it, or have the breaker's word for it."""
        run = begin(run, lease.at)
        if row.started is None:
            # The intent, before the call: whoever finds this row knows that the job may have begun out there.
            # By the store's clock, which the deadline goes by, should the entry be made again from the row.
            started = time_of(run.started)
            pending = primary().filter(pk=row.pk, state=State.PENDING)
            if not await self._writes.update(pending, state=State.RUNNING, started=started, changed=timezone.now()):
                yield lease, Again(0, attempt=lease.attempt)  # cancelled just now: look again
                return
        # Asked twice: who was frozen must not show a beginning to those who have seen the end, and listeners take time.
        if not self._holds(lease):
            return
        await updates.publish([(run.owner, run.snapshot)])
        await self._ends.signal(signals.started, run.snapshot)
        if not self._holds(lease):
            return
        self._guard.starting[lease.key] = encode(replace(run, unsure=True))
        answer = await self._begin(service, row, unsure=unsure) if room.calls else room.answer()
        if not isinstance(answer, Miss) or answer.code != "start_unknown":
            room.heard(answer)
        if isinstance(answer, Miss):
            if answer.code == "start_unknown":
                room.leave()  # nobody was asked
                stream = self._ends.finish(lease, fail(run, answer.code, answer.message, lease.at))
            else:
                run = replace(run, unsure=unsure or answer.heard)
                self._guard.starting[lease.key] = encode(run)
                stream = self._decisions.settle([(lease, self._decisions.decide(lease, run, answer, service))])
        else:
            # Not answered: the next step reads the row.
            self._guard.starting[lease.key] = encode(replace(run, remote=answer.remote, answered=0))
            decision = self._decisions.decide(lease, replace(run, remote=answer.remote), answer.reading, service)
            stream = self._decisions.settle([(lease, decision)])
            if not await self._record(service, row, decision.run):
                yield lease, Again(0, attempt=lease.attempt, nudged=True)
                return
        async for outcome in stream:
            yield outcome

    async def recall(self, run: Run, row: Job) -> bool:
        """Write down what a job is called out there, which its entry knows and its row does not: the database was away
        when it began, or has forgotten.

        :returns: whether it goes on.
        """
        service = known(row.service)
        return service is None or await self._record(service, row, run)

    async def _record(self, service: Service, row: Job, run: Run) -> bool:
        """Write down what a job is called out there. Returns whether it goes on: another one is stopped."""
        # Nobody else's: a start that came twice must not take the place of the one that is looked at.
        mine = primary().filter(pk=row.pk, state__in=UNFINISHED, remote__in=["", run.remote])
        if await self._writes.update(mine, remote=run.remote, title=run.snapshot.title):
            return True
        # It ended, or began another time, while we started it. What is the finished one's is not touched.
        now = await primary().filter(pk=row.pk).afirst()
        if now is not None and now.remote not in ("", run.remote):
            both = (row.service, row.pk, now.remote, run.remote)
            logger.error("%r started job %s twice: %s goes on, %s is cancelled.", *both)
        if now is None or now.state != State.SUCCEEDED or now.remote != run.remote:
            await self._calls.stop(service, row.service, run.remote)
        return False

    async def _begin(self, service: Service, row: Job, *, unsure: bool) -> Started | Miss:
        """Start the job out there, unless it has been."""
        key = str(row.pk)
        if unsure and service.finds:
            found = await self._calls.ask(row.service, service.find(key))
            if found is None:
                self._calls.owe(row.service)
            else:
                return found if isinstance(found, Miss) else checked(Started(found))
        elif unsure and not service.starts_once and registry.policy(row.service).unknown_start == "fail":
            return Miss("start_unknown", "It may have been started, and the service cannot be asked for it.")
        order = Order(key, row.params, registry.hook_url(row.service, key))
        return checked(await self._calls.ask(row.service, service.start(order)))
