"""The outbox: who is told of a job's end has a delivery, made with that end, and sent by an entry of the schedule."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import timedelta
from typing import Any, Literal

import msgspec
from asgiref.sync import sync_to_async
from django.db import Error as DatabaseTrouble
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from . import registry
from .delay import Again, Done, Lease, NewEntry, Outcome, StoreAway, door, trouble
from .models import Delivery, Job, deliveries, primary
from .protocol import State
from .sending import Unsent, send
from .standing import snapshot_of
from .step import Run, one_line
from .tell import OWNER, UNWATCHED, Addressee, shown
from .updates import was_told
from .writes import Writes

logger = logging.getLogger(__name__)

DAY = timedelta(days=1)
"""How long it is tried."""
RETRY, RETRY_MOST = 5_000, 3_600_000
"""Milliseconds of the first back-off, doubled each time, and of the longest; a random half of it is taken off."""
LOSSES = 5
"""How many times in a row a worker may be lost over a delivery, or a step of it raise."""
IN_FLIGHT = 64
"""How many a worker sends at once, of those that the settings name, and again of those that starts do."""
LANE = 8
"""How many of these to one host, to one function, or by e-mail; twice as many of one owner's starts. Who is slow
holds up no other."""
UNRECORDED = (30_000, 60_000)
"""Milliseconds, between which it is sent again if it cannot be written down that it was: rarely, for it is heard."""
WAIT = (500, 5_000)
"""Milliseconds, between which it is looked again whether there is room, as long as few wait for it."""
WAIT_MOST = 60_000
"""The same at most: a crowd looks again within the time that it takes to send to all who wait."""
FIRST_GUESS = 1.0
"""Seconds that a delivery takes, as long as none has said how long it took."""
GRACE = 10_000
"""Milliseconds that pages have to be told of an end, one that is being loaded too, before it is asked whether any was.
Well below :data:`progrock.updates.MARK`."""
SPREAD = 2
"""Milliseconds for each delivery of a page that is scheduled again."""


class Deliver(msgspec.Struct, frozen=True, tag="delivery"):
    """What the entry of a delivery carries. Its key is the delivery's, and all else is in the row.

    :param waited: whether pages have had the time to be told of the end, and to let it be known.
    :param version: of the form of entries.
    """

    waited: bool = False
    version: Literal[1] = 1


_MESSAGE = msgspec.msgpack.encode(Deliver())
_WAITED = msgspec.msgpack.encode(Deliver(waited=True))


def is_owed(run: Run) -> bool:
    """Whether anybody is to be told of this job's end, as far as is known without its row."""
    return run.tell or bool(_declared(run.snapshot.service))


def asks(service: str, tell: bool) -> bool:
    """Return whether anybody may have to be told of an end of a service's only if no page is.

    :param tell: whether the start has named somebody.
    """
    return tell or any(each.when == UNWATCHED for each in _declared(service))


def make(key: str, state: State) -> list[Delivery]:
    """Make the deliveries of a job that has just ended. To be called in the transaction of its end.

    :param key: the job's.
    """
    job = _job(key)
    now = timezone.now()
    made = [
        Delivery(job=job, kind=kind, target=target, created=now, until=now + DAY)
        for kind, target in _addressees(job, state)
        if target != OWNER or job.owner.startswith("user:")
    ]
    return deliveries().bulk_create(made) if made else []


def _job(key: str) -> Job:
    """Return what is needed of a job's row; of one in which other hands were, what can be read, so that it can end."""
    try:
        return primary().only("service", "owner", "tell").get(pk=key)
    except (RecursionError, ValueError, TypeError) as error:
        logger.error("Whom the start of job %s has named cannot be read: %r", key, error, extra={"job": key})
    job = primary().only("service", "owner").get(pk=key)
    job.tell = None
    return job


async def aschedule(made: Iterable[Delivery]) -> None:
    """Have deliveries sent now. Never raises: the reconciler schedules what is missing."""
    entries = [_entry(each, 0) for each in made]
    if not entries:
        return
    try:
        await registry.store().schedule(entries)
    except Exception as error:
        trouble.say(logger, "%d deliveries are sent late: %r", len(entries), error)


async def aschedule_of(job: Job) -> None:
    """Have those of a job's deliveries sent that are not: who ended it may have died before it could ask for that."""
    if job.tell or _declared(job.service):
        await aschedule([each async for each in deliveries().filter(job=job, state=Delivery.State.PENDING)])


def pending(after: str) -> QuerySet[Delivery]:
    """Return the deliveries that are to be sent, by id."""
    rows = deliveries().filter(state=Delivery.State.PENDING).order_by("pk")
    return rows.filter(pk__gt=after) if after else rows


async def mend(rows: Sequence[Delivery]) -> int:
    """Schedule the deliveries that have no entry, or a spoiled one, which is dead, and return how many those were."""
    store = registry.store()
    found = await store.peek([str(row.pk) for row in rows])
    gone = [row.pk for row, entry in zip(rows, found, strict=True) if entry is None or entry.dead]
    # Some may have been sent since their rows were read.
    missing = [row async for row in pending("").filter(pk__in=gone)] if gone else []
    if dead := [entry.key for entry in found if entry and entry.dead]:
        await store.bury(dead)
    await store.schedule([_entry(row, random.randint(0, SPREAD * len(missing))) for row in missing])
    return len(missing)


async def asend_again(keys: Collection[uuid.UUID]) -> int:
    """Try deliveries for a day from now on, whatever came of them. Their ids stay: who has heard can tell.

    In a transaction, they are on their way once that is committed.

    :returns: how many there are.
    """

    def write() -> int:
        rows = deliveries().filter(pk__in=keys)
        with transaction.atomic(rows.db):
            count = rows.update(state=Delivery.State.PENDING, sent=None, tries=0, until=timezone.now() + DAY)
        transaction.on_commit(door(wake, registry.aclose), rows.db)
        return count

    async def wake() -> None:
        await aschedule([Delivery(pk=key) for key in keys])
        try:
            await registry.store().nudge([str(key) for key in keys])
        except StoreAway as error:
            logger.warning("%d deliveries are sent late: %s", len(keys), error)

    return await sync_to_async(write)()


send_again = door(asend_again, registry.aclose)


class _Lane:
    """What goes to one place at the same time."""

    def __init__(self) -> None:
        self.going = 0
        """How many are sent now."""
        self._took = FIRST_GUESS
        self._turn = 0.0

    def sent(self, took: float) -> None:
        """Note that one is sent, or is not, and how many seconds that took."""
        self.going -= 1
        self._took = self._took * 7 / 8 + took / 8

    def crowd(self, most: int, now: float) -> float:
        """Return the seconds until all who wait have had their turn, one more now; more than a minute does not count.

        :param most: how many may be sent at once.
        """
        self._turn = min(max(self._turn, now) + self._took / most, now + WAIT_MOST / 1000)
        return self._turn - now

    def empty(self, now: float) -> bool:
        """Return whether nobody is here, nor waits."""
        return not self.going and self._turn <= now


class Outbox:
    """What one worker is sending.

    :param writes: where its rows are written.
    :param holds: tells whether a lease is still good.
    """

    def __init__(self, writes: Writes, holds: Callable[[Lease], bool]) -> None:
        self._writes = writes
        self._holds = holds
        self._lanes: dict[str, _Lane] = defaultdict(_Lane)

    async def rows(self, leases: Sequence[Lease]) -> dict[str, Delivery]:
        """Return the deliveries that leases are about, by key, with as much of their jobs as it takes to sort them."""
        found = deliveries().filter(pk__in=[lease.key for lease in leases]).select_related("job")
        found = found.defer("job__params", "job__result", "job__tell")
        return {str(row.pk): row async for row in found}

    async def step(self, lease: Lease, row: Delivery | None) -> Outcome:
        """Try a delivery once, and say what next."""
        if row is None or row.state != Delivery.State.PENDING:
            return Done()
        if lease.attempt > LOSSES:
            why = f"Gave up: it went wrong {lease.attempt - 1} times in a row on our side."
            await self._write(row, state=Delivery.State.FAILED, error=why)
            return Done()
        if not self._holds(lease):
            return Again(0, attempt=lease.attempt)
        loop = asyncio.get_running_loop()
        began = loop.time()
        lanes = {self._lanes[name]: most for name, most in _lanes(row).items()}
        full = [lane.crowd(most, began) for lane, most in lanes.items() if lane.going >= most]
        if full:
            # Thousands may wait for one that hangs: what they ask for is a row each, of those who have jobs to look at.
            least, most = WAIT
            return Again(random.randint(least, max(most, int(max(full) * 1000))), attempt=lease.attempt)
        for lane in lanes:
            lane.going += 1
        try:
            unsent = await _send(row, waited=lease.message == _WAITED)
        finally:
            now = loop.time()
            for lane in lanes:
                lane.sent(now - began)
            for name in [name for name, lane in self._lanes.items() if lane.empty(now)]:
                del self._lanes[name]
        if isinstance(unsent, Again):
            return unsent
        if isinstance(unsent, Done):
            # Asked for again meanwhile, it is wanted.
            await deliveries().filter(pk=row.pk, state=row.state, until=row.until).adelete()
            return unsent
        try:
            return await self._record(lease, row, unsent)
        except DatabaseTrouble as error:
            logger.warning("Delivery %s is sent again: what came of it cannot be written: %s", row.pk, error)
            return Again(random.randint(*UNRECORDED), attempt=lease.attempt)

    async def _record(self, lease: Lease, row: Delivery, unsent: Unsent | None) -> Outcome:
        tries = row.tries + 1
        if unsent is None:
            await self._write(row, state=Delivery.State.SENT, tries=tries, error="", sent=timezone.now())
            return Done()
        error = one_line(unsent.why)[:200]
        if unsent.final or lease.at >= row.until.timestamp() * 1_000_000:
            await self._write(row, state=Delivery.State.FAILED, tries=tries, error=error)
            logger.warning("Delivery %s to %s failed for good: %s", row.pk, shown(row.kind, row.target), error)
            return Done()
        await self._write(row, tries=tries, error=error)
        return Again(max(back_off(tries, random.random()), min(unsent.again or 0, RETRY_MOST)))

    async def _write(self, row: Delivery, **changes: Any) -> None:
        # Asked for again meanwhile, it has another end.
        await self._writes.update(deliveries().filter(pk=row.pk, state=row.state, until=row.until), **changes)


def back_off(tries: int, jitter: float) -> int:
    """Return how long to wait after so many tries, in milliseconds.

    :param jitter: a random number from 0 to 1.
    """
    most = min(RETRY_MOST, RETRY * 2 ** min(tries - 1, 20))
    return int(most * (0.5 + jitter / 2))


async def _send(row: Delivery, *, waited: bool) -> Unsent | Again | Done | None:
    """Send a delivery, or say what is wrong with it, or when it is time for it; Done: it is not needed.

    :param waited: whether pages have had the time to be told.
    """
    job = await primary().defer("params").aget(pk=row.job_id)
    addressee = _addressees(job, State(job.state)).get((row.kind, row.target))
    if addressee is None:
        return Unsent("It is not in the settings any more.", final=True)
    # Of one that somebody has asked for again, nobody asks whether it is needed.
    if addressee.when == UNWATCHED and row.tries == 0 and row.until - row.created == DAY:
        if not waited:
            return Again(GRACE, _WAITED)
        if await was_told(job.owner, str(job.pk)):
            logger.info("Delivery %s is dropped: a page was told of job %s", row.pk, job.pk)
            return Done()
    declared = addressee in _declared(job.service)
    return await send(row, job, snapshot_of(job), addressee, declared=declared, allow=registry.conf().tell_allow)


def _addressees(job: Job, state: State) -> dict[tuple[str, str], Addressee]:
    """Return who is told of this end, by kind and target: once each, as the settings have it if both name them."""
    try:
        named = msgspec.convert(job.tell or [], list[Addressee])
    except msgspec.ValidationError as trouble:
        # Written by other hands, or another version. The job shall end nevertheless.
        logger.error("Whom the start of job %s has named cannot be told: %s", job.pk, trouble)
        named = []
    return {(each.kind, each.target): each for each in [*named, *_declared(job.service)] if state in each.on}


def _declared(service: str) -> Sequence[Addressee]:
    """Return those whom the settings have told of a service's jobs."""
    declared = registry.conf().services.get(service)
    return declared.tell if declared else ()


def _lanes(row: Delivery) -> dict[str, int]:
    """Return what a delivery takes a place of, and how many places each has."""
    place = {"webhook": shown(row.kind, row.target), "call": row.target}.get(row.kind, row.kind)
    to = {f"to {place}": LANE}
    if (row.kind, row.target) in {(each.kind, each.target) for each in _declared(row.job.service)}:
        return {**to, "of the settings": IN_FLIGHT}
    return {**to, "of starts": IN_FLIGHT, f"of {row.job.owner}": 2 * LANE}


def _entry(row: Delivery, delay: int) -> NewEntry:
    return NewEntry(str(row.pk), registry.CHANNEL, _MESSAGE, delay)
