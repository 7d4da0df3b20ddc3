"""The end of a job: committed once, told to everybody, and only then is its entry given up."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.db import DataError, IntegrityError
from django.db.models import Value
from django.db.models.functions import Coalesce
from django.dispatch import Signal
from django.utils import timezone
from msgspec.structs import replace

from .. import counts, outbox, registry, signals, tracing, updates
from ..delay import Done, Lease, StoreAway, trouble
from ..models import Delivery, Job, primary
from ..protocol import Snapshot
from ..standing import UNFINISHED, snapshot_of
from ..step import Run, fail
from ..writes import Writes
from .calls import Calls, known
from .outcomes import Outcomes

logger = logging.getLogger(__name__)

_GIVEN_UP = frozenset({"deadline", "lost", "nonsense"})
"""Ends of our own making: the job may go on out there. Of a service that is not to be reached it is no use to ask."""


class Ends:
    """The ends of one worker's jobs.

    :param holds: tells whether a lease is still good.
    """

    def __init__(self, writes: Writes, calls: Calls, holds: Callable[[Lease], bool]) -> None:
        self._writes = writes
        self._calls = calls
        self._holds = holds

    async def finish(self, lease: Lease, run: Run) -> Outcomes:
        """Commit the end, tell everybody, and only then give the entry up."""
        if not self._holds(lease):
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
            async for outcome in self.over(lease, await primary().filter(pk=snapshot.job).afirst()):
                yield outcome
            return
        counts.ENDED.add(registry.label(snapshot.service), snapshot.state)
        tracing.ended(snapshot.job, snapshot.state, snapshot.error.code if snapshot.error else "")
        await outbox.aschedule(deliveries)
        await self._tell(run.owner, snapshot, run.remote, asks=outbox.asks(snapshot.service, run.tell))
        yield lease, Done()

    async def over(self, lease: Lease, row: Job | None) -> Outcomes:
        """Drop the entry of a job whose row is gone, or has ended: by whom, and whether they told, is not known."""
        if row is not None:
            await outbox.aschedule_of(row)
            asks = outbox.asks(row.service, bool(row.tell))
            await self._tell(row.owner, snapshot_of(row), row.remote, asks=asks)
        yield lease, Done()

    def unconfigured(self, lease: Lease, run: Run) -> Outcomes:
        """End a job whose service is gone from the settings."""
        message = f"The service {run.snapshot.service!r} is not set up here any more."
        return self.finish(lease, fail(run, "config", message, lease.at))

    async def signal(self, signal: Signal, snapshot: Snapshot) -> None:
        """Send a signal to whoever listens; what they raise is logged."""
        if not signal.has_listeners(Job):
            return
        for receiver, answer in await signal.asend_robust(Job, job=snapshot.job, snapshot=snapshot):
            if isinstance(answer, Exception):
                logger.error("%r failed for job %s", receiver, snapshot.job, exc_info=answer)

    async def _end(self, run: Run) -> tuple[int, list[Delivery]]:
        """Commit the end of a job that has none; return how many rows that were, and the deliveries made with it."""
        snapshot, now = run.snapshot, timezone.now()
        began: dict[str, Any] = {}
        if run.remote:
            # Of a row that lost its beginning, with the last second of its database, the end shall be kept.
            began["started"] = Coalesce("started", Value(time_of(run.started)))
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
            lines=snapshot.lines,
            changed=now,
            finished=now,
            **began,
        )
        return count, made

    async def _tell(self, owner: str, snapshot: Snapshot, remote: str, *, asks: bool) -> None:
        """Tell who watches and who listens that a job has ended, its parent, and the service if it has not.

        :param asks: whether it is to be known that a page was told.
        """
        await updates.publish([(owner, snapshot)], asks=asks)
        if snapshot.parent:
            await self._look_at(snapshot.parent)
        if snapshot.lines:
            await self._keep(snapshot.job)
        await self.signal(signals.finished, snapshot)
        service = known(snapshot.service)
        if service is not None and remote and snapshot.error and snapshot.error.code in _GIVEN_UP:
            await self._calls.stop(service, snapshot.service, remote)

    async def _look_at(self, parent: str) -> None:
        try:
            await registry.store().nudge([parent])
        except StoreAway as error:
            trouble.say(logger, "Job %s learns late of a child's end: %r", parent, error)

    async def _keep(self, job: str) -> None:
        try:
            await registry.journal().keep(job)
        except StoreAway as error:
            trouble.say(logger, "The journal of job %s is kept for longer than it should be: %r", job, error)


def time_of(microseconds: int) -> datetime:
    """Return a moment of the store's clock as rows have it."""
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)
