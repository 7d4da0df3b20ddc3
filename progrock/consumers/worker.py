"""The worker: takes one step of each job it is handed, says what changed, and gives the job back to the schedule."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from math import ceil
from typing import Any

import msgspec
from django.db import DataError, IntegrityError
from django.db import Error as DatabaseTrouble
from django.db.models import Value
from django.db.models.functions import Coalesce
from django.dispatch import Signal
from django.utils import timezone
from msgspec.structs import replace

from .. import outbox, reconcile, registry, signals, updates
from ..delay import Again, Done, Lease, Outcome, SelfReschedulingConsumer, merge, trouble
from ..exceptions import UnknownService
from ..history import ausual
from ..jobs import UNFINISHED, UNREADABLE, snapshot_of
from ..models import Delivery, Job, primary
from ..outbox import Deliver, Outbox
from ..politeness import topic
from ..protocol import Snapshot, State
from ..reconcile import Sweep
from ..services import Order, Service, Started
from ..services.answers import checked, each_of, sane
from ..step import Decision, Miss, Run, anew, begin, cancelled, decide, expired, fail, put_off, too_soon
from ..writes import Writes
from .calls import Calls, Room
from .oddities import Oddities

logger = logging.getLogger(__name__)

_decode = msgspec.msgpack.Decoder(Run | Sweep | Deliver).decode
_encode = msgspec.msgpack.Encoder().encode

Outcomes = AsyncGenerator[tuple[Lease, Outcome], None]
_GIVEN_UP = frozenset({"deadline", "lost", "nonsense"})
"""Ends of our own making: the job may go on out there. Of a service that is not to be reached it is no use to ask."""
_UNKNOWN = "Cancelled, but the service may go on with it: it cannot be asked for it."


class Shown(Again, frozen=True, kw_only=True):
    """Again later, and meanwhile this is how it stands."""

    run: Run


class JobWorker(SelfReschedulingConsumer):
    """The consumer of `prog-rocker`."""

    attempts = None  # a job ends as failed, and never stays behind dead

    def __init__(self) -> None:
        super().__init__(registry.store())
        self._writes = Writes()
        self._outbox = Outbox(self._writes, self.holds)
        self._calls = Calls()
        # What the entry of a start says from its call on, should the step break off: the service may have heard it.
        self._starting: dict[str, bytes] = {}
        self._oddities = Oddities()

    async def steps(self, leases: Sequence[Lease]) -> Outcomes:
        """Sort a batch into calls that can be made side by side, and yield what comes of each when it is there."""
        runs: dict[str, tuple[Lease, Run]] = {}
        reads: list[str] = []
        told: list[Lease] = []
        streams: list[Outcomes] = []
        for lease in leases:
            self._starting.pop(lease.key, None)
            try:
                carried = _decode(lease.message)
                if not isinstance(carried, Sweep):
                    uuid.UUID(lease.key)
            except (*UNREADABLE, ValueError) as trouble:
                # The row is still there, and the reconciler makes a new entry of it.
                logger.error("Dropped the entry %s, which makes no sense: %s", lease.key, trouble)
                yield lease, Done()
                continue
            if isinstance(carried, Sweep):
                streams.append(self._guard([lease], self._sweep(lease, carried)))
                continue
            if isinstance(carried, Deliver):
                told.append(lease)
                continue
            runs[lease.key] = lease, anew(carried, lease.at)
            # Something may have happened that the entry does not know of.
            if lease.nudged or lease.attempt > 1 or not carried.remote or not carried.answered:
                reads.append(lease.key)
        if told:
            streams.append(self._guard(told, self._deliver(told)))
        try:
            rows = await self._rows(reads)
        except DatabaseTrouble as trouble:
            logger.warning("%d steps wait for the database: %s", len(reads), trouble)
            rows = {}
            for key in reads:
                lease, _ = runs.pop(key)
                yield lease, self._later(lease)
        except Exception:
            logger.exception("One of %d rows cannot be read: each by itself.", len(reads))
            rows = {}
            for key in reads:
                lease, run = runs.pop(key)
                streams.append(self._guard([lease], self._by_itself(lease, run)))
        polls: dict[str, list[tuple[Lease, Run]]] = defaultdict(list)
        for lease, run in runs.values():
            if lease.key in rows:
                if not run.snapshot.seq:  # just made, or made again
                    run = replace(run, usual=await ausual(run.snapshot.service))
                what = self._alone(lease, run, rows[lease.key])
                if isinstance(what, Run):
                    polls[what.snapshot.service].append((lease, what))
                else:
                    streams.append(self._guard([lease], what))
            elif run.snapshot.state is State.CANCELLING:
                streams.append(self._guard([lease], self._cancel(lease, run)))
            else:
                polls[run.snapshot.service].append((lease, run))
        for name, batch in polls.items():
            streams.append(self._guard([lease for lease, _ in batch], self._poll(name, batch)))
        async with aclosing(merge(streams)) as outcomes:
            async for outcome in outcomes:
                yield outcome

    async def settled(self, outcomes: Sequence[tuple[Lease, Outcome]]) -> None:
        """Show what has changed. Not before: what a worker that has lost its leases saw is not to be shown."""
        runs = [outcome.run for _, outcome in outcomes if isinstance(outcome, Shown) and not outcome.run.blank]
        await updates.publish([(run.owner, run.snapshot) for run in runs])
        if signals.changed.has_listeners(Job):
            for run in runs:
                await self._signal(signals.changed, run.snapshot)

    async def stopped(self) -> None:
        """Let others have what this worker's services granted it."""
        await self._calls.aclose()

    async def _rows(self, keys: Sequence[str]) -> dict[str, Job | None]:
        """Return rows by key, with one query; None for one that is gone."""
        if not keys:
            return {}
        found = {str(row.pk): row async for row in primary().filter(pk__in=keys)}
        return {key: found.get(key) for key in keys}

    async def _guard(self, leases: Sequence[Lease], stream: Outcomes) -> Outcomes:
        """Pass a stream on; whatever it raises is the trouble of those leases only that it has not settled."""
        left = {lease.key: lease for lease in leases}
        again: Callable[[Lease], Outcome]
        try:
            async with aclosing(stream) as outcomes:
                async for lease, outcome in outcomes:
                    left.pop(lease.key, None)
                    self._starting.pop(lease.key, None)
                    yield lease, outcome
            return
        except DatabaseTrouble as trouble:
            logger.warning("%d steps wait for the database: %s", len(left), trouble)
            again = self._later
        except Exception:
            logger.exception("%d steps failed.", len(left))
            again = self.retry
        for lease in left.values():
            yield lease, self._broken_off(lease, again(lease))

    def give_back(self, lease: Lease) -> Outcome:
        # As if nudged: the row may have ended in this very step, and nobody been told.
        return self._broken_off(lease, Again(0, attempt=lease.attempt, nudged=True))

    def _broken_off(self, lease: Lease, outcome: Outcome) -> Outcome:
        """Return an outcome that also says what is known of a start that was under way."""
        message = self._starting.pop(lease.key, None)
        return replace(outcome, message=message) if message and isinstance(outcome, Again) else outcome

    def _later(self, lease: Lease) -> Outcome:
        """Take the same step again soon. It is no attempt more: those count what goes wrong in looking at this job."""
        return Again(random.randint(500, 2_000), attempt=lease.attempt, nudged=lease.nudged)

    async def _sweep(self, lease: Lease, sweep: Sweep) -> Outcomes:
        state, delay = await reconcile.sweep(sweep, lease.at)
        yield lease, Again(delay, _encode(state))

    async def _deliver(self, leases: Sequence[Lease]) -> Outcomes:
        """Tell of ends. Each is settled when it is told: who is slow to hear it holds up no other."""
        rows = await self._outbox.rows(leases)

        async def one(lease: Lease) -> Outcomes:
            yield lease, await self._outbox.step(lease, rows.get(lease.key))

        async with aclosing(merge([self._guard([lease], one(lease)) for lease in leases])) as outcomes:
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
            stream = self._poll(run.snapshot.service, [(lease, what)]) if isinstance(what, Run) else what
        async with aclosing(stream) as outcomes:
            async for outcome in outcomes:
                yield outcome

    def _lost(self, lease: Lease, run: Run) -> Outcomes:
        message = f"Gave up: looking at it went wrong {lease.attempt - 1} times in a row on our side."
        return self._finish(lease, fail(run, "lost", message, lease.at))

    def _alone(self, lease: Lease, run: Run, row: Job | None) -> Outcomes | Run:
        """Take the step of a job with its row at hand; return the run instead, if it is only to be looked at."""
        if row is None or State(row.state).complete:
            return self._over(lease, row)
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
            return self._soon(lease, later) if told and later else self._cancel(lease, run, begun=begun)
        if not begun and (late := expired(run, policy, lease.at)):
            return self._finish(lease, late)
        if later:
            return self._soon(lease, later)
        return run if run.remote else self._start(lease, run, row)

    async def _soon(self, lease: Lease, later: Decision) -> Outcomes:
        yield lease, Again(later.delay, _encode(later.run))

    async def _start(self, lease: Lease, run: Run, row: Job) -> Outcomes:
        service = self._service(row.service)
        if service is None:
            async for outcome in self._unconfigured(lease, run):
                yield outcome
            return
        # Who wrote the intent may have died before it learned, or said, what came of the call.
        # A row that lost its intent, with the last second of its database, is no proof that there was none. Nor is an
        # entry that knows of no beginning, as one does that is put off: its store may have lost its last second.
        unheard = not run.snapshot.seq or run.started >= lease.at
        unsure = run.unsure or (row.started is not None and (lease.attempt > 1 or unheard))
        begun = row.started is not None or run.unsure
        wait = _wait(lease, run)
        with await self._calls.room(row.service, 0 if wait else 1, lease.at, due=int(run.put_off)) as room:
            if wait or room.waits:
                later = self._put_off(lease, replace(run, unsure=unsure), wait or room.waits[0], begun=begun)
                stream = self._settle_all([(lease, later)])
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
            started = _time(run.started)
            pending = primary().filter(pk=row.pk, state=State.PENDING)
            if not await self._writes.update(pending, state=State.RUNNING, started=started, changed=timezone.now()):
                yield lease, Again(0, attempt=lease.attempt)  # cancelled just now: look again
                return
        # Asked twice: who was frozen must not show a beginning to those who have seen the end, and listeners take time.
        if not self.holds(lease):
            return
        await updates.publish([(run.owner, run.snapshot)])
        await self._signal(signals.started, run.snapshot)
        if not self.holds(lease):
            return
        self._starting[lease.key] = _encode(replace(run, unsure=True))
        answer = await self._begin(service, row, unsure=unsure) if room.calls else room.answer()
        if not isinstance(answer, Miss) or answer.code != "start_unknown":
            room.heard(answer)
        if isinstance(answer, Miss):
            if answer.code == "start_unknown":
                room.leave()  # nobody was asked
                stream = self._finish(lease, fail(run, answer.code, answer.message, lease.at))
            else:
                run = replace(run, unsure=unsure or answer.heard)
                self._starting[lease.key] = _encode(run)
                stream = self._settle_all([(lease, self._decide(lease, run, answer, service))])
        else:
            # Not answered: the next step reads the row.
            self._starting[lease.key] = _encode(replace(run, remote=answer.remote, answered=0))
            decision = self._decide(lease, replace(run, remote=answer.remote), answer.reading, service)
            stream = self._settle_all([(lease, decision)])
            # Nobody else's: a start that came twice must not take the place of the one that is looked at.
            mine = primary().filter(pk=row.pk, state__in=UNFINISHED, remote__in=["", answer.remote])
            if not await self._writes.update(mine, remote=answer.remote, title=decision.run.snapshot.title):
                # It ended, or began another time, while we started it. What is the finished one's is not touched.
                now = await primary().filter(pk=row.pk).afirst()
                if now is not None and now.remote not in ("", answer.remote):
                    both = (row.service, row.pk, now.remote, answer.remote)
                    logger.error("%r started job %s twice: %s goes on, %s is cancelled.", *both)
                if now is None or now.state != State.SUCCEEDED or now.remote != answer.remote:
                    await self._stop(service, row.service, answer.remote)
                yield lease, Again(0, attempt=lease.attempt, nudged=True)
                return
        async for outcome in stream:
            yield outcome

    async def _begin(self, service: Service, row: Job, *, unsure: bool) -> Started | Miss:
        """Start the job out there, unless it has been."""
        key = str(row.pk)
        if unsure and service.finds:
            found = await self._calls.ask(service.find(key))
            if found is None:
                self._calls.owe(row.service)
            else:
                return found if isinstance(found, Miss) else checked(Started(found))
        elif unsure and not service.starts_once and registry.policy(row.service).unknown_start == "fail":
            return Miss("start_unknown", "It may have been started, and the service cannot be asked for it.")
        order = Order(key, row.params, registry.hook_url(row.service, key))
        return checked(await self._calls.ask(service.start(order)))

    async def _cancel(self, lease: Lease, run: Run, *, begun: bool = True) -> Outcomes:
        """Tell the service to stop, and again at each step until it says that it has."""
        if run.snapshot.state is not State.CANCELLING:
            # The patience for a cancel is counted from here.
            run = replace(run, answered=lease.at, snapshot=replace(run.snapshot, state=State.CANCELLING))
        service = self._service(run.snapshot.service)
        if not begun:
            stream = self._finish(lease, cancelled(run, "Cancelled before it began.", lease.at))
        elif service is None:
            stream = self._unconfigured(lease, run)
        elif not run.remote and not service.finds:
            stream = self._finish(lease, cancelled(run, _UNKNOWN, lease.at))
        else:
            with await self._calls.room(run.snapshot.service, 1, lease.at, first=True) as room:
                if room.waits:
                    decision = self._put_off(lease, run, room.waits[0])
                elif room.calls:
                    decision = await self._tell_to_end(lease, run, service, room)
                else:
                    decision = self._decide(lease, run, room.answer(), service)
            stream = self._settle_all([(lease, decision)])
        async for outcome in stream:
            yield outcome

    async def _tell_to_end(self, lease: Lease, run: Run, service: Service, room: Room) -> Decision:
        """Make the call, and before it the one that finds out what the service calls the job."""
        if not run.remote:
            remote = await self._calls.ask(service.find(run.snapshot.job))
            if not isinstance(remote, str) or not remote:
                room.heard(remote)
                if remote is None or remote == "":
                    return Decision(cancelled(run, "Cancelled." if remote is None else _UNKNOWN, lease.at), 0)
                return self._decide(lease, run, remote, service)
            run = replace(run, remote=remote)
            self._calls.owe(run.snapshot.service)
        look = await self._calls.ask(service.cancel(run.remote))
        room.heard(look)
        return self._decide(lease, run, look, service)

    async def _stop(self, service: Service, name: str, remote: str) -> None:
        """Tell a service to stop what nobody waits for any more: once, as no step comes after this one."""
        if self._calls.dead(name):
            logger.warning("%r is not told to stop %s: it does not answer.", name, remote)
            return
        self._calls.owe(name)
        await self._calls.ask(service.cancel(remote))

    async def _poll(self, name: str, batch: Sequence[tuple[Lease, Run]]) -> Outcomes:
        """Look at all jobs of one service, with as few calls as it takes, and no more than it gets."""
        service = self._service(name)
        if service is None:
            stream = merge([self._unconfigured(lease, run) for lease, run in batch])
        else:
            size = max(1, service.batch)
            waiting = [(*each, wait) for each in batch if (wait := _wait(*each))]
            # Whose turn was promised goes before who comes new.
            asking = sorted((each for each in batch if not _wait(*each)), key=lambda each: not each[1].put_off)
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
            decided = [(lease, self._put_off(lease, run, wait)) for lease, run, wait in waiting]
            decided += self._without(service, asking[most:], room)
            if decided:
                streams.append(self._settle_all(decided))
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
            (lease, self._put_off(lease, run, room.waits[number // size]))
            for number, (lease, run) in enumerate(batch[: len(room.waits) * size])
        ]
        answered = batch[len(room.waits) * size :]
        return later + [(each[0], self._decide(*each, room.answer(), service)) for each in answered]

    async def _look(self, service: Service, name: str, batch: Sequence[tuple[Lease, Run]], room: Room) -> Outcomes:
        """Make the calls that there is room for."""
        if not batch:
            return
        with room:
            looks = each_of(await self._calls.ask(service.poll([run.remote for _, run in batch])), len(batch))
            room.heard(*_by_call(looks, max(1, service.batch), room.calls))
        if isinstance(looks, Miss) and looks.code == "nonsense" and len(batch) > 1:
            # One of them upsets the adapter: only that one shall suffer.
            stream = merge([self._guard([each[0]], self._poll(name, [each])) for each in batch])
        else:
            watched = await self._watched(name, batch)
            each_look = [looks] * len(batch) if isinstance(looks, Miss) else looks
            stream = self._settle_all(
                [
                    (lease, self._decide(lease, run, look, service, watched=seen))
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

    def _decide(self, lease: Lease, run: Run, look: object, service: Service, *, watched: bool = True) -> Decision:
        policy = registry.policy(run.snapshot.service)
        spread = service.batch <= 1
        answer = sane(look)
        self._oddities.see(run.snapshot.service, run.snapshot.percent, answer)
        return decide(run, answer, policy, lease.at, random.random(), spread=spread, watched=watched)

    def _put_off(self, lease: Lease, run: Run, delay: int, *, begun: bool = True) -> Decision:
        return put_off(run, registry.policy(run.snapshot.service), lease.at, delay, begun=begun)

    async def _settle_all(self, decided: Sequence[tuple[Lease, Decision]]) -> Outcomes:
        """Turn decisions into outcomes. Those that go on do not wait for those that end."""
        going = [each for each in decided if not each[1].run.snapshot.complete]
        for lease, decision in going:
            # Nothing was tried: what went wrong before is not forgotten for it.
            attempt = lease.attempt if decision.run.put_off else 1
            yield lease, Shown(decision.delay, _encode(decision.run), attempt, run=decision.run)
        ending = [
            self._guard([lease], self._finish(lease, decision.run))
            for lease, decision in decided
            if decision.run.snapshot.complete
        ]
        async with aclosing(merge(ending)) as outcomes:
            async for outcome in outcomes:
                yield outcome

    async def _finish(self, lease: Lease, run: Run) -> Outcomes:
        """Commit the end, tell everybody, and only then give the entry up."""
        if not self.holds(lease):
            return
        try:
            ended, deliveries = await self._end(run)
        except (IntegrityError, DataError, TypeError, ValueError, ArithmeticError, RecursionError) as trouble:
            # What the service gave cannot be stored, and never will be.
            logger.error("The end of job %s cannot be stored: %s", run.snapshot.job, trouble)
            bare = replace(run.snapshot, title="", file=None, result=None)
            message = "The service's answer cannot be stored."
            run = fail(replace(run, remote="", snapshot=bare), "nonsense", message, lease.at)
            ended, deliveries = await self._end(run)
        snapshot = run.snapshot
        if not ended:
            async for outcome in self._over(lease, await primary().filter(pk=snapshot.job).afirst()):
                yield outcome
            return
        await outbox.aschedule(deliveries)
        await self._tell(run.owner, snapshot, run.remote)
        yield lease, Done()

    async def _end(self, run: Run) -> tuple[int, list[Delivery]]:
        """Commit the end of a job that has none; return how many rows that were, and the deliveries made with it."""
        snapshot, now = run.snapshot, timezone.now()
        began: dict[str, Any] = {}
        if run.remote:
            # Of a row that lost its beginning, with the last second of its database, the end shall be kept.
            began["started"] = Coalesce("started", Value(_time(run.started)))
        made: list[Delivery] = []

        def deliver() -> None:
            made[:] = outbox.make(snapshot.job, snapshot.state)

        count = await self._writes.update(
            primary().filter(pk=snapshot.job, state__in=UNFINISHED),
            then=deliver if outbox.is_owed(run) else None,
            state=snapshot.state,
            title=snapshot.title,
            remote=run.remote,
            message=snapshot.message[:500],
            percent=snapshot.percent,
            file=snapshot.file,
            result=snapshot.result,
            error=snapshot.error.code if snapshot.error else "",
            seq=snapshot.seq,
            changed=now,
            finished=now,
            **began,
        )
        return count, made

    async def _over(self, lease: Lease, row: Job | None) -> Outcomes:
        """Drop the entry of a job whose row is gone, or has ended: by whom, and whether they told, is not known."""
        if row is not None:
            await outbox.aschedule_of(row)
            await self._tell(row.owner, snapshot_of(row), row.remote)
        yield lease, Done()

    async def _tell(self, owner: str, snapshot: Snapshot, remote: str) -> None:
        """Tell who watches and who listens that a job has ended, and the service if it has not."""
        await updates.publish([(owner, snapshot)])
        await self._signal(signals.finished, snapshot)
        service = self._service(snapshot.service)
        if service is not None and remote and snapshot.error and snapshot.error.code in _GIVEN_UP:
            await self._stop(service, snapshot.service, remote)

    async def _signal(self, signal: Signal, snapshot: Snapshot) -> None:
        if not signal.has_listeners(Job):
            return
        for receiver, answer in await signal.asend_robust(Job, job=snapshot.job, snapshot=snapshot):
            if isinstance(answer, Exception):
                logger.error("%r failed for job %s", receiver, snapshot.job, exc_info=answer)

    def _service(self, name: str) -> Service | None:
        try:
            return registry.service(name)
        except UnknownService:
            return None

    def _unconfigured(self, lease: Lease, run: Run) -> Outcomes:
        message = f"The service {run.snapshot.service!r} is not set up here any more."
        return self._finish(lease, fail(run, "config", message, lease.at))


def _wait(lease: Lease, run: Run) -> int:
    """Return the milliseconds until the turn that was promised: whoever is nudged before keeps it."""
    return max(0, (run.snapshot.due or 0) - lease.at // 1000) if run.put_off else 0


def _by_call(looks: Sequence[object] | Miss, size: int, calls: int) -> Iterator[object]:
    """Return one look for each call: that of a job which was answered, if there is one."""
    for number in range(calls):
        some = [looks] if isinstance(looks, Miss) else looks[number * size : (number + 1) * size]
        silent = [look for look in some if isinstance(look, Miss) and look.code == "unreachable"]
        yield silent[0] if silent and len(silent) == len(some) else None


def _time(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)
