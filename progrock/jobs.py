"""What can be done with a job: start it, look at it, list mine, cancel it, try it again. The sync twins are doors."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.db import Error as DatabaseTrouble
from django.db import IntegrityError, router, transaction
from django.db.models import Q
from django.utils import timezone
from msgspec.structs import replace

from . import counts, logs, quota, registry, tracing, updates
from .delay import HAND_OFF, Lease, StoreAway, door, trouble
from .exceptions import Invalid, NotComplete, NotFound, Unavailable
from .models import Job, primary
from .protocol import Line, Snapshot, State
from .standing import entries_of, entry_for, key_of, listed, newest, run_of, snapshot_of, speaks
from .terms import (
    addressees,
    check_deadline,
    check_key,
    check_owner,
    check_parent,
    parent_of,
    plain,
    take_owner,
    title_of,
)

logger = logging.getLogger(__name__)

LIST_MOST = 50

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

R = TypeVar("R")


@counts.refusals()
async def astart(
    service: str | None = None,
    params: dict[str, Any] | None = None,
    *,
    owner: str | None,
    key: str | None = None,
    deadline: int | None = None,
    tell: Sequence[Mapping[str, Any]] = (),
    parent: str | uuid.UUID | None = None,
    weight: float = 1.0,
) -> Snapshot:
    """Start a job. In a transaction, it is on its way once that is committed.

    :param service: its name; None is the default one.
    :param params: what the service takes.
    :param owner: whose job it is; None is its parent's owner, whoever that is by now.
    :param key: the caller's own name for this start; the same owner's same key is the same job.
    :param deadline: milliseconds that the job may take; None is what the service's policy says.
    :param tell: who is told when it ends, beside those of the settings; each as :class:`~progrock.tell.Addressee`, with
        `webhook` or `email`.
    :param parent: the unfinished job of the same owner's that this one is a child of, most often a group.
    :param weight: how much it counts there, 0 or more.
    :returns: the job's snapshot, pending, or as it stands if the key was known.
    :raises UnknownService: if there is none of that name.
    :raises InvalidParams: if the service does not take these parameters.
    :raises Invalid: if owner, key, deadline, tell or weight cannot be one, or the parent is over.
    :raises NotFound: if there is no such parent, or it is somebody else's.
    :raises TooMany: if the owner has, or has lately started, as many jobs as the settings allow.
    :raises Unavailable: if the database is away.
    """
    if owner is not None or parent is None:
        check_owner(owner)
    check_key(key)
    check_deadline(deadline)
    above = parent_of(parent, weight)
    told = addressees(tell)
    if owner is not None and key is not None and (known := await afind(key, owner=owner)):
        return known
    if parent is None:
        quota.look(owner)
    name = service or registry.conf().default_service
    adapter = registry.service(name)
    cleaned = plain(adapter.clean(params or {}))
    title = title_of(adapter.title(cleaned))
    job = Job(service=name, title=title, params=cleaned, owner=owner or "", key=key, deadline=deadline, tell=told)
    job.parent_id, job.weight = above, weight
    try:
        return await _create(job)
    except IntegrityError:
        # The same start at the same time, in another process.
        if key is None or (known := await afind(key, owner=job.owner)) is None:
            raise
        return known


@counts.refusals()
async def aretry(job: str | uuid.UUID, *, owner: str) -> Snapshot:
    """Try a job that is over once more: a new job with the same parameters, whose `retry_of` is the old one.

    :returns: the new job's snapshot; as it stands, if the old one has been tried again already.
    :raises NotFound: if there is no such job, or it is somebody else's.
    :raises NotComplete: if it is not over.
    :raises UnknownService: if its service is not set up any more.
    :raises InvalidParams: if the service does not take its parameters any more.
    :raises TooMany: if the owner has, or has lately started, as many jobs as the settings allow.
    :raises Unavailable: if the database is away.
    """
    quota.look(owner)
    old = await _row(key_of(job), owner)
    if not State(old.state).complete:
        raise NotComplete(f"Expected a job that is over, got one that is {old.state}.")
    again = await _retry_of(old)
    if again is not None:
        return again
    adapter = registry.service(old.service)
    cleaned = plain(adapter.clean(old.params))
    new = Job(
        service=old.service,
        title=title_of(adapter.title(cleaned)),
        params=cleaned,
        owner=owner,
        deadline=old.deadline,
        tell=old.tell,
        attempt=old.attempt + 1,
        retry_of=old,
        parent_id=await _still(old.parent_id),
        weight=old.weight,
    )
    try:
        return await _create(new)
    except IntegrityError:
        # Asked twice at the same time, or forgotten just now.
        if (again := await _retry_of(old)) is None:
            await _row(str(old.pk), owner)
            raise
        return again


async def _retry_of(old: Job) -> Snapshot | None:
    with available():
        row = await primary().filter(retry_of=old).afirst()
    return None if row is None else await _snapshot(row)


async def _still(parent: uuid.UUID | None) -> uuid.UUID | None:
    """Return a parent that is not over, for which another attempt counts; None if that is too late."""
    if parent is None:
        return None
    with available():
        return parent if await primary().filter(pk=parent, finished__isnull=True).aexists() else None


async def _create(job: Job) -> Snapshot:
    """Insert a job and put it into the schedule.

    :raises TooMany: if its owner has, or has lately started, as many jobs as the settings allow.
    :raises NotFound: if its parent is gone, or somebody else's.
    :raises Invalid: if its parent is over.
    :raises IntegrityError: if it is there already.
    """

    def insert() -> None:
        take_owner(job)
        check_parent(job)
        job.created = job.changed = timezone.now()
        quota.check(job, job.created)
        job.save(force_insert=True)

    span = tracing.starting(registry.label(job.service), str(job.pk))
    with logs.about(job=job.pk, service=job.service, owner=job.owner), span, available():
        trace = tracing.traceparent()
        await written(insert, lambda: _schedule_new(job, trace))
    return snapshot_of(job)


async def written(write: Callable[[], R], then: Callable[[], Coroutine[Any, Any, None]]) -> R:
    """Write to the database, and do what follows once that is committed: now, or when the caller's transaction is.

    Nothing follows if no row was written.
    """

    def both() -> tuple[R, bool]:
        using = router.db_for_write(Job)
        # A savepoint in the caller's transaction, which goes on if the row is refused.
        with transaction.atomic(using):
            result = write()
        if result == 0:
            return result, True
        if not transaction.get_connection(using).in_atomic_block:
            return result, False
        transaction.on_commit(door(then, registry.aclose), using)
        return result, True

    result, later = await sync_to_async(both)()
    if not later:
        await then()
    return result


async def afind(key: str, *, owner: str) -> Snapshot | None:
    """Return the job that an owner started with this key, None if there is none.

    :raises Unavailable: if the database is away.
    """
    if not key.isprintable():
        return None  # no job has it, and PostgreSQL refuses to look for a NUL
    with available():
        row = await primary().filter(owner=owner, key=key).afirst()
    return None if row is None else await _snapshot(row)


@contextmanager
def available() -> Iterator[None]:
    """Say in our words that the database is away; what it refuses is the caller's to understand."""
    try:
        yield
    except IntegrityError:
        raise
    except DatabaseTrouble as error:
        raise Unavailable("Expected a database that answers; it does not. Try again later.") from error


async def _schedule_new(job: Job, trace: str) -> None:
    """Put a new job into the schedule and hand it straight to a worker. Nothing here may fail the start: the row is
    there, and the reconciler schedules what is missing."""
    counts.STARTED.add(registry.label(job.service))
    new = entry_for(job, HAND_OFF, trace)
    try:
        (due,) = await registry.store().schedule([new])
        if due is not None:
            at = due - new.delay * 1000
            await registry.hand_over([Lease(new.key, new.channel, new.message, due, at, at)])
    except Exception as error:
        trouble.say(logger, "Job %s starts late: %r", job.id, error, extra={"job": job.id, "service": job.service})
    await updates.publish([(job.owner, snapshot_of(job))])


async def aget(job: str | uuid.UUID, *, owner: str) -> Snapshot:
    """Return a job's snapshot as it stands.

    :raises NotFound: if there is no such job, or it is somebody else's.
    :raises Unavailable: if the database is away.
    """
    key = key_of(job)
    (entry,) = await entries_of([key])
    # What is held, or was held by a worker that died, or was cancelled, may have a row that is newer.
    if entry is not None and not entry.held and not entry.stale and entry.attempt == 1:
        run = run_of(entry)
        if run is not None and run.owner == owner and speaks(run):
            return run.snapshot
    return newest(await _row(key, owner), entry)


async def alook(job: str | uuid.UUID) -> tuple[str, Snapshot]:
    """Return whose a job is, and how it stands, whoever's it is: whoever asks makes sure that it may be seen.

    :raises NotFound: if there is no such job.
    :raises Unavailable: if the database is away.
    """
    key = key_of(job)
    (entry,) = await entries_of([key])
    row = await _row(key)
    return row.owner, newest(row, entry)


async def aget_all(names: Sequence[str | uuid.UUID], *, owner: str) -> list[Snapshot]:
    """Return the snapshots of several jobs as they stand, in their order, with one question to the database.

    :raises NotFound: if there is no such job as one of them, or it is somebody else's.
    :raises Unavailable: if the database is away.
    """
    keys = [key_of(name) for name in names]
    with available():
        rows = {str(row.pk): row async for row in primary().filter(pk__in=keys, owner=owner)}
    if missing := next((key for key in keys if key not in rows), None):
        raise NotFound(f"Expected the id of a job of yours, got {missing}.")
    return [newest(rows[key], entry) for key, entry in zip(keys, await entries_of(keys), strict=True)]


async def astand(rows: Sequence[Job]) -> list[Snapshot]:
    """Return how the jobs of rows that were read just now stand, in their order, whoever's they are.

    Asks for no owner: whoever gives the rows has made sure that they may be seen.
    """
    entries = await entries_of([str(row.pk) for row in rows])
    return [newest(row, entry) for row, entry in zip(rows, entries, strict=True)]


async def ajournal(job: str | uuid.UUID, *, owner: str, after: int = 0) -> Sequence[Line]:
    """Return what is kept of a job's journal.

    :param after: only the lines that are newer than a snapshot or a line with this `seq`.
    :raises NotFound: if there is no such job, or it is somebody else's.
    :raises Unavailable: if the database or the journal is away.
    """
    key = (await aget(job, owner=owner)).job
    try:
        return (await registry.journal().read(key, after)).lines
    except StoreAway as error:
        raise Unavailable("Expected a journal that answers; it does not. Try again later.") from error


async def _row(key: str, owner: str | None = None) -> Job:
    """Return a job's row, whoever's it is if there is no owner.

    :raises NotFound: if there is none.
    """
    with available():
        row = await primary().filter(pk=key, **({} if owner is None else {"owner": owner})).afirst()
    if row is None:
        raise NotFound(f"Expected the id of a job of yours, got {key}.")
    return row


async def _snapshot(row: Job) -> Snapshot:
    (entry,) = await entries_of([str(row.pk)])
    return newest(row, entry)


async def alist_mine(*, owner: str, limit: int = LIST_MOST) -> list[Snapshot]:
    """Return an owner's newest jobs, newest first. Children are not among them.

    :raises Unavailable: if the database is away.
    """
    snapshots, _ = await apage(owner=owner, limit=limit)
    return snapshots


async def apage(
    *, owner: str, limit: int = LIST_MOST, before: str = "", parent: str | uuid.UUID | None = None
) -> tuple[list[Snapshot], str]:
    """Return a page of an owner's jobs, newest first. Jobs that are started meanwhile move nothing.

    :param parent: the job whose children are asked for, and nothing else; without it those that have no parent are.
    :param before: the cursor that came with the page before; empty is the first page.
    :returns: the snapshots, and the cursor of the next page, empty if this is the last.
    :raises Invalid: if `before` is no cursor.
    :raises NotFound: if `parent` is no id of a job.
    :raises Unavailable: if the database is away.
    """
    rows, cursor = await arows(owner=owner, limit=limit, before=before, parent=parent)
    return await astand(rows), cursor


async def arows(
    *, owner: str | None, limit: int, before: str = "", parent: str | uuid.UUID | None = None
) -> tuple[list[Job], str]:
    """Return the rows of such a page, for :func:`astand`, without results that are long.

    :param owner: None is everybody: whoever asks makes sure that they may be seen.
    """
    above = {"parent__isnull": True} if parent is None else {"parent": key_of(parent)}
    whose = {} if owner is None else {"owner": owner}
    found = listed(primary().filter(**whose, **above).order_by("-created", "-id"))
    if before:
        created, key = _place(before)
        found = found.filter(Q(created__lt=created) | Q(created=created, id__lt=key))
    with available():
        rows = [row async for row in found[: limit + 1]]
    more, rows = len(rows) > limit, rows[:limit]
    return rows, place_of(rows[-1]) if more else ""


def place_of(row: Job) -> str:
    """Return the cursor of the page behind a row."""
    return f"{(row.created - EPOCH) // timedelta(microseconds=1)}.{row.id}"


def _place(cursor: str) -> tuple[datetime, uuid.UUID]:
    """Return when the last job of a page was made, and its id.

    :raises Invalid: if it is no cursor.
    """
    created, _, key = cursor.partition(".")
    try:
        if not (created.isascii() and created.isdigit()):
            raise ValueError
        return EPOCH + timedelta(microseconds=int(created)), uuid.UUID(key)
    except (ValueError, OverflowError):
        raise Invalid(f"before: expected the cursor of a page, got {cursor!a:.80}.") from None


async def acancel(job: str | uuid.UUID, *, owner: str) -> Snapshot:
    """Ask for a job's end. It is told to the service by the job's next step, which comes at once.

    :returns: the snapshot: cancelling, or as it ended if it has.
    :raises NotFound: if there is no such job, or it is somebody else's.
    :raises Unavailable: if the database is away.
    """
    key = key_of(job)
    mine = primary().filter(pk=key, owner=owner, state__in=[State.PENDING, State.RUNNING])
    with logs.about(job=key, owner=owner), available():
        asked = await written(
            lambda: mine.update(state=State.CANCELLING, changed=timezone.now()), lambda: _nudge([key])
        )
    snapshot = await aget(key, owner=owner)
    if asked and not snapshot.complete:
        # The entry says so only after its next step.
        snapshot = replace(snapshot, state=State.CANCELLING)
    return snapshot


async def ahasten(snapshots: Sequence[Snapshot]) -> None:
    """Have jobs looked at now, since somebody has come to watch: those that are looked at seldom while nobody does.

    :param snapshots: of the jobs.
    """
    waiting = [each.job for each in snapshots if not each.complete and registry.policy(each.service).unwatched]
    if waiting:
        await _nudge(waiting)


async def _nudge(keys: Sequence[str]) -> None:
    """Have jobs looked at now. If that fails, the reconciler finds out who has not heard of a cancel."""
    try:
        await registry.store().nudge(keys)
    except StoreAway as error:
        logger.warning("Jobs are looked at late: %s: %s", ", ".join(keys), error)


start = door(astart, registry.aclose)
get = door(aget, registry.aclose)
stand = door(astand, registry.aclose)
journal = door(ajournal, registry.aclose)
list_mine = door(alist_mine, registry.aclose)
cancel = door(acancel, registry.aclose)
retry = door(aretry, registry.aclose)
