"""The worker: takes one step of each job it is handed, says what changed, and gives the job back to the schedule."""

from __future__ import annotations

import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from contextlib import aclosing

import msgspec
from django.db import Error as DatabaseTrouble
from msgspec.structs import replace

from .. import counts, reconcile, registry, signals, tracing, updates
from ..delay import Again, Done, Lease, Outcome, SelfReschedulingConsumer, merge
from ..history import ausual
from ..models import Job, primary
from ..outbox import Deliver, Outbox
from ..protocol import State
from ..reconcile import Sweep
from ..standing import UNREADABLE
from ..step import Decision, Run, anew, expired, fail, too_soon
from ..writes import Writes
from .calls import Calls, known
from .cancels import Cancels
from .decisions import Decisions
from .ends import Ends
from .looks import Looks
from .newer import Carried, head_of, leave
from .outcomes import Guard, Outcomes, Shown, encode, of
from .starts import Starts

logger = logging.getLogger(__name__)

_decode = msgspec.msgpack.Decoder(Carried).decode
_WORDS: dict[type[Outcome], str] = {Shown: "shown", Done: "done"}
"""A step's outcome as what is counted has it. What shows nothing has seen nothing: it was put off, or broke off."""


class JobWorker(SelfReschedulingConsumer):
    """The consumer of `prog-rocker`."""

    attempts = None  # a job ends as failed, and never stays behind dead

    def __init__(self) -> None:
        super().__init__(registry.store())
        writes = Writes()
        self._outbox = Outbox(writes, self.holds)
        self._calls = Calls()
        self._guard = Guard(self.retry)
        self._ends = Ends(writes, self._calls, self.holds)
        decisions = Decisions(self._ends, self._guard)
        self._looks = Looks(self._calls, decisions, self._ends, self._guard)
        self._starts = Starts(writes, self._calls, decisions, self._ends, self._guard, self.holds)
        self._cancels = Cancels(self._calls, decisions, self._ends)

    async def steps(self, leases: Sequence[Lease]) -> Outcomes:
        """Sort a batch into calls that can be made side by side, and yield what comes of each when it is there."""
        began = time.perf_counter()
        traced = tracing.Steps()
        runs: dict[str, tuple[Lease, Run]] = {}
        reads: list[str] = []
        told: list[Lease] = []
        streams: list[Outcomes] = []
        for lease in leases:
            self._guard.starting.pop(lease.key, None)
            try:
                carried = _decode(lease.message)
                if not isinstance(carried, Sweep):
                    uuid.UUID(lease.key)
            except (*UNREADABLE, ValueError) as trouble:
                if head := head_of(lease):
                    streams.append(self._guard.around([lease], leave(lease, head, self._ends)))
                    continue
                # The row is still there, and the reconciler makes a new entry of it.
                beside = {"entry": lease.key}
                logger.error("Dropped the entry %s, which makes no sense: %s", lease.key, trouble, extra=beside)
                yield lease, Done()
                continue
            if isinstance(carried, Sweep):
                streams.append(self._guard.around([lease], self._sweep(lease, carried)))
                continue
            if isinstance(carried, Deliver):
                told.append(lease)
                continue
            if traced:
                carried = _begin(traced, lease, carried)
            runs[lease.key] = lease, anew(carried, lease.at)
            # Something may have happened that the entry does not know of.
            if lease.nudged or lease.attempt > 1 or not carried.remote or not carried.answered:
                reads.append(lease.key)
        if told:
            streams.append(self._guard.around(told, self._deliver(told)))
        try:
            rows = await self._rows(reads)
        except DatabaseTrouble as trouble:
            logger.warning("%d steps wait for the database: %s", len(reads), trouble)
            rows = {}
            for key in reads:
                lease, _ = runs.pop(key)
                yield lease, self._guard.later(lease)
        except Exception:
            logger.exception("One of %d rows cannot be read: each by itself.", len(reads))
            rows = {}
            for key in reads:
                lease, run = runs.pop(key)
                streams.append(self._guard.around([lease], self._by_itself(lease, run), **of(run)))
        polls: dict[str, list[tuple[Lease, Run]]] = defaultdict(list)
        for lease, run in runs.values():
            if lease.key in rows:
                if not run.snapshot.seq and _is_like_others(run):  # just made, or made again
                    run = replace(run, usual=await ausual(run.snapshot.service))
                what = self._alone(lease, run, rows[lease.key])
                if isinstance(what, Run):
                    polls[what.snapshot.service].append((lease, what))
                else:
                    streams.append(self._guard.around([lease], what, **of(run)))
            elif run.snapshot.state is State.CANCELLING:
                streams.append(self._guard.around([lease], self._cancels.cancel(lease, run), **of(run)))
            else:
                polls[run.snapshot.service].append((lease, run))
        for name, batch in polls.items():
            about = of(batch[0][1]) if len(batch) == 1 else {"service": name}
            streams.append(self._guard.around([lease for lease, _ in batch], self._looks.poll(name, batch), **about))
        took: dict[tuple[str, type[Outcome]], list[float]] = defaultdict(list)
        try:
            async with aclosing(merge(streams)) as outcomes:
                async for lease, outcome in outcomes:
                    if lease.key in runs:
                        service = runs[lease.key][1].snapshot.service
                        took[service, type(outcome)].append(time.perf_counter() - began)
                        if traced:
                            traced.end(lease.key, _WORDS.get(type(outcome), "again"))
                    yield lease, outcome
        finally:
            traced.close()
            # Once a batch: one by one, they cost twice as much.
            for (service, kind), seconds in took.items():
                counts.STEPS.observe(seconds, registry.label(service), _WORDS.get(kind, "again"))

    async def settled(self, outcomes: Sequence[tuple[Lease, Outcome]]) -> None:
        """Show what has changed. Not before: what a worker that has lost its leases saw is not to be shown."""
        runs = [outcome.run for _, outcome in outcomes if isinstance(outcome, Shown) and not outcome.run.blank]
        await updates.publish([(run.owner, run.snapshot) for run in runs])
        if signals.changed.has_listeners(Job):
            for run in runs:
                await self._ends.signal(signals.changed, run.snapshot)

    async def stopped(self) -> None:
        """Let others have what this worker's services granted it."""
        await self._calls.aclose()

    def give_back(self, lease: Lease) -> Outcome:
        # As if nudged: the row may have ended in this very step, and nobody been told.
        return self._guard.broken_off(lease, Again(0, attempt=lease.attempt, nudged=True))

    async def _rows(self, keys: Sequence[str]) -> dict[str, Job | None]:
        """Return rows by key, with one query; None for one that is gone."""
        if not keys:
            return {}
        found = {str(row.pk): row async for row in primary().filter(pk__in=keys)}
        return {key: found.get(key) for key in keys}

    async def _sweep(self, lease: Lease, sweep: Sweep) -> Outcomes:
        state, delay = await reconcile.sweep(sweep, lease.at)
        yield lease, Again(delay, encode(state))

    async def _deliver(self, leases: Sequence[Lease]) -> Outcomes:
        """Tell of ends. Each is settled when it is told: who is slow to hear it holds up no other."""
        rows = await self._outbox.rows(leases)

        async def one(lease: Lease) -> Outcomes:
            yield lease, await self._outbox.step(lease, rows.get(lease.key))

        def about(lease: Lease) -> dict[str, object]:
            row = rows.get(lease.key)
            return {"job": row and row.job_id, "delivery": lease.key}

        streams = [self._guard.around([lease], one(lease), **about(lease)) for lease in leases]
        async with aclosing(merge(streams)) as outcomes:
            async for outcome in outcomes:
                yield outcome

    async def _by_itself(self, lease: Lease, run: Run) -> Outcomes:
        """Read a job's row and take its step; if the row cannot be read, end the job without it at last."""
        try:
            row = (await self._rows([lease.key]))[lease.key]
        except (RecursionError, ValueError, TypeError):
            if lease.attempt <= registry.policy(run.snapshot.service).losses:
                raise
            stream = self._lost(lease, run)
        else:
            what = self._alone(lease, run, row)
            stream = self._looks.poll(run.snapshot.service, [(lease, what)]) if isinstance(what, Run) else what
        async with aclosing(stream) as outcomes:
            async for outcome in outcomes:
                yield outcome

    def _lost(self, lease: Lease, run: Run) -> Outcomes:
        message = f"Gave up: looking at it went wrong {lease.attempt - 1} times in a row on our side."
        return self._ends.finish(lease, fail(run, "lost", message, lease.at))

    def _alone(self, lease: Lease, run: Run, row: Job | None) -> Outcomes | Run:
        """Take the step of a job with its row at hand; return the run instead, if it is only to be looked at."""
        if row is None or State(row.state).complete:
            return self._ends.over(lease, row)
        policy = registry.policy(row.service)
        if lease.attempt > policy.losses:
            return self._lost(lease, run)
        run = replace(run, owner=row.owner, remote=run.remote or row.remote)
        # A database that lost its last second may have forgotten what the entry knows.
        begun = row.started is not None or bool(run.remote) or run.unsure
        later = too_soon(run, policy, lease.at) if lease.nudged and lease.attempt == 1 else None
        if row.state == State.CANCELLING:
            # A service that calls back about being told to stop is not told again for that, but when it is its time.
            told = run.snapshot.state is State.CANCELLING
            return self._soon(lease, later) if told and later else self._cancels.cancel(lease, run, begun=begun)
        if not begun and (late := expired(run, policy, lease.at)):
            return self._ends.finish(lease, late)
        if later:
            return self._soon(lease, later)
        if not run.remote:
            return self._starts.start(lease, run, row)
        # A row that has forgotten that it began learns all of it with its end.
        return run if row.remote or row.started is None else self._recalled(lease, run, row)

    async def _recalled(self, lease: Lease, run: Run, row: Job) -> Outcomes:
        if not await self._starts.recall(run, row):
            yield lease, Again(0, attempt=lease.attempt, nudged=True)
            return
        async with aclosing(self._looks.poll(row.service, [(lease, run)])) as outcomes:
            async for outcome in outcomes:
                yield outcome

    async def _soon(self, lease: Lease, later: Decision) -> Outcomes:
        yield lease, Again(later.delay, encode(later.run))


def _begin(traced: tracing.Steps, lease: Lease, run: Run) -> Run:
    """Begin the span of a step, and return the run with the trace that the next one goes on in."""
    service, late = registry.label(run.snapshot.service), lease.at - lease.due
    trace = traced.begin(service, lease.key, run.trace, lease.attempt, late)
    return run if trace == run.trace else replace(run, trace=trace)


def _is_like_others(run: Run) -> bool:
    service = known(run.snapshot.service)
    return service is not None and service.alike
