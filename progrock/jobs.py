"""What can be done with a job: start it, look at it, list mine, cancel it. Async first; the sync twins are doors."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec
from django.db import Error as DatabaseTrouble
from django.db import IntegrityError
from django.utils import timezone
from msgspec.structs import replace

from . import registry, updates
from .delay import HAND_OFF, Entry, Lease, NewEntry, door
from .exceptions import InvalidParams, NotFound, TooMany, Unavailable
from .models import Job
from .protocol import Failure, Snapshot, State
from .step import Run

logger = logging.getLogger(__name__)

UNFINISHED = [state for state in State if not state.complete]
LIST_MOST = 50
_PARAMS_MOST = 8_192

_encode = msgspec.msgpack.Encoder().encode
_decode_run = msgspec.msgpack.Decoder(Run).decode


async def astart(
    service: str | None = None, params: dict[str, Any] | None = None, *, owner: str, key: str | None = None
) -> Snapshot:
    """Start a job.

    :param service: its name; None is the default one.
    :param params: what the service takes.
    :param owner: whose job it is.
    :param key: the caller's own name for this start; the same owner's same key is the same job.
    :returns: the job's snapshot, pending, or as it stands if the key was known.
    :raises UnknownService: if there is none of that name.
    :raises InvalidParams: if the service does not take these parameters.
    :raises TooMany: if the owner has as many unfinished jobs as the settings allow.
    :raises Unavailable: if the database is away.
    """
    if key is not None and (known := await afind(key, owner=owner)):
        return known
    name = service or registry.conf().default_service
    adapter = registry.service(name)
    cleaned = adapter.clean(params or {})
    if len(msgspec.json.encode(cleaned)) > _PARAMS_MOST:
        raise InvalidParams(f"Expected parameters of at most {_PARAMS_MOST} bytes as JSON, got more.")
    now = timezone.now()
    most = registry.conf().max_unfinished
    with _available():
        unfinished = await Job.objects.filter(owner=owner, finished__isnull=True).acount()
    if unfinished >= most:
        raise TooMany(f"Expected at most {most} unfinished jobs, got one more. Wait for one to end, or cancel it.")
    job = Job(
        service=name, title=adapter.title(cleaned), params=cleaned, owner=owner, key=key, created=now, changed=now
    )
    try:
        with _available():
            await job.asave(force_insert=True)
    except IntegrityError:
        # The same start at the same time, in another process.
        if key is None or (known := await afind(key, owner=owner)) is None:
            raise
        return known
    await _schedule_new(job)
    snapshot = snapshot_of(job)
    await updates.publish([(owner, snapshot)])
    return snapshot


async def afind(key: str, *, owner: str) -> Snapshot | None:
    """Return the job that an owner started with this key, None if there is none.

    :raises Unavailable: if the database is away.
    """
    with _available():
        row = await Job.objects.filter(owner=owner, key=key).afirst()
    if row is None:
        return None
    (entry,) = await registry.store().peek([str(row.id)])
    return _newest(row, entry)


@contextmanager
def _available() -> Iterator[None]:
    """Say in our words that the database is away; what it refuses is the caller's to understand."""
    try:
        yield
    except IntegrityError:
        raise
    except DatabaseTrouble as error:
        raise Unavailable("Expected a database that answers; it does not. Try again later.") from error


async def _schedule_new(job: Job) -> None:
    """Put a new job into the schedule and hand it straight to a worker. Nothing here may fail the start: the row is
    there, and the reconciler schedules what is missing."""
    new = entry_for(job, HAND_OFF)
    try:
        (due,) = await registry.store().schedule([new])
        if due is not None:
            at = due - new.delay * 1000
            await registry.hand_over([Lease(new.key, new.channel, new.message, due, at, at)])
    except Exception as trouble:
        logger.warning("Job %s starts late: %r", job.id, trouble)


async def aget(job: str | uuid.UUID, *, owner: str) -> Snapshot:
    """Return a job's snapshot as it stands.

    :raises NotFound: if there is no such job, or it is somebody else's.
    :raises Unavailable: if the database is away.
    """
    key = _key(job)
    (entry,) = await registry.store().peek([key])
    if entry is not None and not entry.held:
        run = run_of(entry)
        if run is not None and run.owner == owner and run.answered:
            return run.snapshot
    with _available():
        row = await Job.objects.filter(pk=key, owner=owner).afirst()
    if row is None:
        raise NotFound(f"Expected the id of a job of yours, got {key}.")
    return _newest(row, entry)


async def alist_mine(*, owner: str, limit: int = LIST_MOST) -> list[Snapshot]:
    """Return an owner's newest jobs, newest first.

    :raises Unavailable: if the database is away.
    """
    with _available():
        rows = [row async for row in Job.objects.filter(owner=owner).order_by("-created")[:limit]]
    entries = await registry.store().peek([str(row.id) for row in rows])
    return [_newest(row, entry) for row, entry in zip(rows, entries, strict=True)]


async def acancel(job: str | uuid.UUID, *, owner: str) -> Snapshot:
    """Ask for a job's end. It is told to the service by the job's next step, which comes at once.

    :returns: the snapshot: cancelling, or as it ended if it has.
    :raises NotFound: if there is no such job, or it is somebody else's.
    :raises Unavailable: if the database is away.
    """
    key = _key(job)
    with _available():
        asked = await Job.objects.filter(pk=key, owner=owner, state__in=UNFINISHED).aupdate(
            state=State.CANCELLING, changed=timezone.now()
        )
    if asked:
        await registry.store().nudge([key])
    snapshot = await aget(key, owner=owner)
    if asked and not snapshot.complete:
        # The entry says so only after its next step.
        snapshot = replace(snapshot, state=State.CANCELLING)
    return snapshot


start = door(astart, registry.aclose)
get = door(aget, registry.aclose)
list_mine = door(alist_mine, registry.aclose)
cancel = door(acancel, registry.aclose)


def _key(job: str | uuid.UUID) -> str:
    """Return the job's key in the schedule, of which there is only one spelling."""
    try:
        return str(uuid.UUID(str(job)))
    except ValueError:
        raise NotFound(f"Expected the id of a job, got {job!r}.") from None


def entry_for(job: Job, delay: int) -> NewEntry:
    """Return the entry of a job that has none, to be looked at after `delay` ms."""
    snapshot = snapshot_of(job)
    started = int(job.started.timestamp() * 1_000_000) if job.started else 0
    run = Run(owner=job.owner, snapshot=snapshot, remote=job.remote, started=started)
    return NewEntry(str(job.id), registry.CHANNEL, _encode(run), delay)


def run_of(entry: Entry) -> Run | None:
    """Return the live state that an entry carries, None if it makes no sense."""
    try:
        return _decode_run(entry.message)
    except msgspec.DecodeError:
        return None


def snapshot_of(row: Job) -> Snapshot:
    """Return the snapshot that a row alone gives: what is known of a job before, between and after its steps."""
    return Snapshot(
        job=str(row.id),
        service=row.service,
        title=row.title,
        state=State(row.state),
        created=_ms(row.created),
        seq=row.seq,
        percent=row.percent,
        message=row.message,
        file=row.file,
        result=row.result,
        error=Failure(row.error, row.message) if row.error else None,
        at=_ms(row.changed),
        moved=_ms(row.started) if row.started else None,
    )


def _newest(row: Job, entry: Entry | None) -> Snapshot:
    """Return the entry's snapshot, unless the row has ended or there is none worth showing."""
    run = run_of(entry) if entry is not None else None
    if State(row.state).complete or run is None or not run.answered:
        return snapshot_of(row)
    if row.state == State.CANCELLING:
        return replace(run.snapshot, state=State.CANCELLING)
    return run.snapshot


def _ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)
