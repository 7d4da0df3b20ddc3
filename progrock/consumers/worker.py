"""The worker: takes one step of each job it is handed, says what changed, and gives the job back to the schedule."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import AsyncGenerator, Coroutine, Sequence
from typing import Any

import msgspec
from django.db import DatabaseError
from django.utils import timezone
from msgspec.structs import replace

from .. import reconcile, registry, signals, updates
from ..delay import Again, Done, Lease, Outcome, SelfReschedulingConsumer
from ..exceptions import UnknownService
from ..jobs import UNFINISHED, snapshot_of
from ..models import Job
from ..protocol import Snapshot, State
from ..reconcile import Sweep
from ..services import Order, Service
from ..step import Look, Miss, Run, begin, cancelled, decide, fail

logger = logging.getLogger(__name__)

_decode = msgspec.msgpack.Decoder(Run | Sweep).decode
_encode = msgspec.msgpack.Encoder().encode

Outcomes = list[tuple[Lease, Outcome]]


class JobWorker(SelfReschedulingConsumer):
    """The consumer of `prog-rocker`."""

    def __init__(self) -> None:
        super().__init__(registry.store())

    async def steps(self, leases: Sequence[Lease]) -> AsyncGenerator[tuple[Lease, Outcome], None]:
        """Sort a batch into calls that can be made side by side, and yield what comes of each when it is there."""
        runs: dict[str, tuple[Lease, Run]] = {}
        groups: list[Coroutine[Any, Any, Outcomes]] = []
        for lease in leases:
            try:
                carried = _decode(lease.message)
            except msgspec.DecodeError as trouble:
                # A job's row is still there, and the reconciler makes a new entry of it.
                logger.error("Dropped the entry %s, which makes no sense: %s", lease.key, trouble)
                yield lease, Done()
                continue
            if isinstance(carried, Sweep):
                groups.append(self._sweep(lease, carried))
            else:
                runs[lease.key] = lease, carried
        rows = await self._rows(
            [lease.key for lease, run in runs.values() if lease.nudged or lease.attempt > 1 or not run.remote]
        )
        polls: dict[str, list[tuple[Lease, Run]]] = defaultdict(list)
        for lease, run in runs.values():
            row = rows.get(lease.key)
            if lease.key in rows and (row is None or State(row.state).complete):
                groups.append(self._over(lease, run, row))
            elif row is not None and (row.state == State.CANCELLING or not run.remote or lease.attempt > 1):
                groups.append(self._guard([(lease, run)], self._alone(lease, run, row)))
            elif run.snapshot.state is State.CANCELLING:
                groups.append(self._guard([(lease, run)], self._cancel(lease, run, None)))
            else:
                polls[run.snapshot.service].append((lease, run))
        groups += [self._guard(batch, self._poll(name, batch)) for name, batch in polls.items()]
        tasks = [asyncio.create_task(group) for group in groups]
        try:
            for done in asyncio.as_completed(tasks):
                for outcome in await done:
                    yield outcome
        finally:
            for task in tasks:
                task.cancel()

    async def _rows(self, keys: list[str]) -> dict[str, Job | None]:
        """Return the rows of the steps that may have missed something, with one query; None for one that is gone."""
        if not keys:
            return {}
        found = {str(row.pk): row async for row in Job.objects.filter(pk__in=keys)}
        return {key: found.get(key) for key in keys}

    async def _guard(self, batch: list[tuple[Lease, Run]], group: Coroutine[Any, Any, Outcomes]) -> Outcomes:
        """Await a group; whatever it raises is the trouble of its own jobs only."""
        try:
            return await group
        except DatabaseError as trouble:
            logger.warning("%d steps wait for the database: %s", len(batch), trouble)
            return [(lease, self.retry(lease)) for lease, _ in batch]
        except Exception:
            logger.exception("A step of %s failed.", batch[0][1].snapshot.service)
            miss = Miss("nonsense", "Something went wrong on our side.")
            return await self._settle_all([(lease, run, miss) for lease, run in batch])

    def retry(self, lease: Lease) -> Outcome:
        """Step again soon. The attempt stays: it counts the workers lost to this step, not a database that is away."""
        return Again(random.randint(500, 2_000), attempt=lease.attempt)

    async def _sweep(self, lease: Lease, sweep: Sweep) -> Outcomes:
        try:
            state, delay = await reconcile.sweep(sweep, lease.at)
        except Exception as trouble:
            logger.warning("The reconciler tries again: %r", trouble)
            return [(lease, self.retry(lease))]
        return [(lease, Again(delay, _encode(state)))]

    async def _over(self, lease: Lease, run: Run, row: Job | None) -> Outcomes:
        """Drop the entry of a job whose row has ended, or is gone."""
        if row is not None:
            await updates.publish([(run.owner, snapshot_of(row))])
        return [(lease, Done())]

    async def _alone(self, lease: Lease, run: Run, row: Job) -> Outcomes:
        """Take the step of a job that is not simply polled: not started yet, cancelled, or lost with its worker."""
        run = replace(run, remote=run.remote or row.remote)
        if lease.attempt > registry.policy(row.service).losses:
            message = f"Gave up: {lease.attempt - 1} workers in a row were lost while they looked at it."
            return await self._finish(lease, fail(run, "lost", message, lease.at))
        if row.state == State.CANCELLING:
            return await self._cancel(lease, run, row)
        if not run.remote:
            return await self._start(lease, run, row)
        return await self._poll(row.service, [(lease, run)])

    async def _start(self, lease: Lease, run: Run, row: Job) -> Outcomes:
        service = self._service(row.service)
        if service is None:
            return await self._unconfigured(lease, run)
        run = begin(run, lease.at)
        if row.started is None:
            # The intent, before the call: whoever finds this row knows that the job may have begun out there.
            now = timezone.now()
            pending = Job.objects.filter(pk=row.pk, state=State.PENDING)
            if not await pending.aupdate(state=State.RUNNING, started=now, changed=now):
                return [(lease, Again(0, attempt=lease.attempt))]  # cancelled just now: look again
        await updates.publish([(run.owner, run.snapshot)])
        if not self.holds(lease):
            return []
        started = await service.start(Order(str(row.pk), row.params))
        if isinstance(started, Miss):
            return await self._settle_all([(lease, run, started)])
        title = started.reading.title or row.title
        unfinished = Job.objects.filter(pk=row.pk, state__in=UNFINISHED)
        if not await unfinished.aupdate(remote=started.remote, title=title):
            await service.cancel(started.remote)  # it ended while we started it
            return [(lease, Done())]
        return await self._settle_all([(lease, replace(run, remote=started.remote), started.reading)])

    async def _cancel(self, lease: Lease, run: Run, row: Job | None) -> Outcomes:
        """Tell the service to stop, and again at each step until it says that it has."""
        run = replace(run, snapshot=replace(run.snapshot, state=State.CANCELLING))
        if row is not None and row.started is None:
            return await self._finish(lease, cancelled(run, "Cancelled before it began.", lease.at))
        service = self._service(run.snapshot.service)
        if service is None:
            return await self._unconfigured(lease, run)
        remote: str | Miss | None = run.remote or await service.find(run.snapshot.job)
        if remote is None:
            return await self._finish(lease, cancelled(run, "Cancelled.", lease.at))
        if isinstance(remote, Miss):
            return await self._settle_all([(lease, run, remote)])
        look = await service.cancel(remote)
        return await self._settle_all([(lease, replace(run, remote=remote), look)])

    async def _poll(self, name: str, batch: list[tuple[Lease, Run]]) -> Outcomes:
        """Look at all jobs of one service with one call."""
        service = self._service(name)
        if service is None:
            return [outcome for lease, run in batch for outcome in await self._unconfigured(lease, run)]
        looks = await service.poll([run.remote for _, run in batch])
        return await self._settle_all([(*each, look) for each, look in zip(batch, looks, strict=True)])

    async def _settle_all(self, looks: Sequence[tuple[Lease, Run, Look]]) -> Outcomes:
        """Turn looks into outcomes, and tell everybody."""
        outcomes: Outcomes = []
        shown: list[tuple[str, Snapshot]] = []
        ended: list[tuple[Lease, Run]] = []
        for lease, run, look in looks:
            policy = registry.policy(run.snapshot.service)
            decision = decide(run, look, policy, lease.at, random.random())
            if decision.run.snapshot.complete:
                ended.append((lease, decision.run))
            else:
                shown.append((run.owner, decision.run.snapshot))
                outcomes.append((lease, Again(decision.delay, _encode(decision.run))))
        await updates.publish(shown)
        for lease, run in ended:
            outcomes += await self._finish(lease, run)
        return outcomes

    async def _finish(self, lease: Lease, run: Run) -> Outcomes:
        """Commit the end, tell everybody, and only then give the entry up."""
        if not self.holds(lease):
            return []
        snapshot = run.snapshot
        now = timezone.now()
        try:
            ended = await Job.objects.filter(pk=snapshot.job, state__in=UNFINISHED).aupdate(
                state=snapshot.state,
                message=snapshot.message[:500],
                percent=snapshot.percent,
                file=snapshot.file,
                result=snapshot.result,
                error=snapshot.error.code if snapshot.error else "",
                seq=snapshot.seq,
                changed=now,
                finished=now,
            )
        except DatabaseError as trouble:
            logger.warning("The end of %s waits for the database: %s", snapshot.job, trouble)
            return [(lease, self.retry(lease))]
        if not ended:
            return await self._over(lease, run, await Job.objects.filter(pk=snapshot.job).afirst())
        await updates.publish([(run.owner, snapshot)])
        if snapshot.error and snapshot.error.code == "deadline" and run.remote:
            service = self._service(snapshot.service)
            if service is not None:
                await service.cancel(run.remote)
        for receiver, answer in await signals.finished.asend_robust(Job, job=snapshot.job, snapshot=snapshot):
            if isinstance(answer, Exception):
                logger.error("%r failed for job %s", receiver, snapshot.job, exc_info=answer)
        return [(lease, Done())]

    def _service(self, name: str) -> Service | None:
        try:
            return registry.service(name)
        except UnknownService:
            return None

    async def _unconfigured(self, lease: Lease, run: Run) -> Outcomes:
        message = f"The service {run.snapshot.service!r} is not set up here any more."
        return await self._finish(lease, fail(run, "config", message, lease.at))
