"""What can be done with a job: start it, look at it, list mine, cancel it, try it again. The sync twins are doors."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
from asgiref.sync import sync_to_async
from django.db import Error as DatabaseTrouble
from django.db import IntegrityError, router, transaction
from django.db.models import Q
from django.utils import timezone
from msgspec.structs import replace

from . import counts, registry, updates
from .conf import BUILT_IN
from .delay import HAND_OFF, Entry, Lease, NewEntry, StoreAway, door, trouble
from .exceptions import Invalid, InvalidParams, NotComplete, NotFound, TooMany, Unavailable
from .models import Job, primary
from .protocol import DEADLINE_MOST, Failure, Line, Snapshot, State
from .step import NESTING_MOST, Run, deep, one_line
from .tell import parse as parse_tell

logger = logging.getLogger(__name__)

UNFINISHED = [state for state in State if not state.complete]
UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)
"""What decoding an entry raises in which other hands were."""
LIST_MOST = 50
_PARAMS_MOST = 8_192
_KEY_MOST = 120
_OWNER_MOST = 120
_TITLE_MOST = 200
_WEIGHT_MOST = 1_000_000_000

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

R = TypeVar("R")

_encode = msgspec.msgpack.Encoder().encode
_decode_run = msgspec.msgpack.Decoder(Run).decode


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
    :raises TooMany: if the owner has as many unfinished jobs as the settings allow.
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
    name = service or registry.conf().default_service
    adapter = registry.service(name)
    cleaned = _plain(adapter.clean(params or {}))
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


def check_owner(owner: object) -> None:
    """Refuse what can be nobody.

    :raises Invalid: saying what was expected and what came.
    """
    if not (isinstance(owner, str) and 0 < len(owner) <= _OWNER_MOST and owner.isprintable()):
        raise Invalid(f"owner: expected 1 to {_OWNER_MOST} printable characters, got {owner!a:.80}.")


def check_key(key: object) -> None:
    """Refuse what can be no key of a start; None is none.

    :raises Invalid: saying what was expected and what came.
    """
    if key is not None and not (isinstance(key, str) and 0 < len(key) <= _KEY_MOST and key.isprintable()):
        raise Invalid(f"key: expected 1 to {_KEY_MOST} printable characters, got {key!a:.80}.")


def check_deadline(deadline: object) -> None:
    """Refuse what can be no deadline; None is none.

    :raises Invalid: saying what was expected and what came.
    """
    if deadline is not None and not (type(deadline) is int and 0 < deadline <= DEADLINE_MOST):
        raise Invalid(f"deadline: expected 1 to {DEADLINE_MOST} whole milliseconds, got {deadline!a:.80}.")


def title_of(text: str) -> str:
    """Return a title as rows keep it."""
    return one_line(text)[:_TITLE_MOST]


@counts.refusals()
async def aretry(job: str | uuid.UUID, *, owner: str) -> Snapshot:
    """Try a job that is over once more: a new job with the same parameters, whose `retry_of` is the old one.

    :returns: the new job's snapshot; as it stands, if the old one has been tried again already.
    :raises NotFound: if there is no such job, or it is somebody else's.
    :raises NotComplete: if it is not over.
    :raises UnknownService: if its service is not set up any more.
    :raises InvalidParams: if the service does not take its parameters any more.
    :raises TooMany: if the owner has as many unfinished jobs as the settings allow.
    :raises Unavailable: if the database is away.
    """
    old = await _row(key_of(job), owner)
    if not State(old.state).complete:
        raise NotComplete(f"Expected a job that is over, got one that is {old.state}.")
    again = await _retry_of(old)
    if again is not None:
        return again
    adapter = registry.service(old.service)
    cleaned = _plain(adapter.clean(old.params))
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


def parent_of(parent: str | uuid.UUID | None, weight: float) -> uuid.UUID | None:
    """Return the id of the job that a new one is to be a child of.

    :raises NotFound: if it is no id of a job.
    :raises Invalid: if the child cannot weigh that much.
    """
    if isinstance(weight, bool) or not (isinstance(weight, int | float) and 0 <= weight <= _WEIGHT_MOST):
        raise Invalid(f"weight: expected a number from 0 to {_WEIGHT_MOST}, got {weight!a:.80}.")
    return None if parent is None else uuid.UUID(key_of(parent))


def take_owner(job: Job) -> None:
    """Give a new child that has no owner its parent's: a visitor may have logged in since that was started."""
    if not job.owner and job.parent_id is not None:
        job.owner = primary().filter(pk=job.parent_id).values_list("owner", flat=True).first() or ""


def check_parent(job: Job) -> None:
    """Refuse a new job whose parent it cannot be a child of; to be called where it is inserted.

    :raises NotFound: if its parent is gone, or somebody else's.
    :raises Invalid: if its parent is over.
    """
    if job.parent_id is None:
        return
    state = primary().filter(pk=job.parent_id, owner=job.owner).values_list("state", flat=True).first()
    if state is None:
        raise NotFound(f"Expected the id of a job of yours as parent, got {job.parent_id}.")
    if State(state).complete:
        raise Invalid(f"parent: expected a job that is not over, got one that is {state}.")


def addressees(tell: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
    """Return addressees as a row keeps them, None if there are none.

    :raises Invalid: if they cannot be told.
    """
    if not tell:
        return None
    try:
        return [msgspec.to_builtins(each) for each in parse_tell(tell, registry.conf().tell_allow)]
    except ValueError as error:
        raise Invalid(f"tell: {error}.") from None


def _plain(params: dict[str, Any]) -> dict[str, Any]:
    """Return parameters as the JSON that any database keeps.

    :raises InvalidParams: if they are none, or too long.
    """
    try:
        text = msgspec.json.encode(params)
        plain: dict[str, Any] = msgspec.json.decode(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidParams(f"Expected parameters that JSON can say, got others: {error}.") from None
    if len(text) > _PARAMS_MOST:
        raise InvalidParams(f"Expected parameters of at most {_PARAMS_MOST} bytes as JSON, got more.")
    if b"\\u0000" in text:
        raise InvalidParams("Expected parameters of text, got a NUL character in them.")
    if deep(plain):
        raise InvalidParams(f"Expected parameters nested at most {NESTING_MOST} deep, got more.")
    return plain


async def _create(job: Job) -> Snapshot:
    """Insert a job and put it into the schedule.

    :raises TooMany: if its owner has as many unfinished jobs as the settings allow.
    :raises NotFound: if its parent is gone, or somebody else's.
    :raises Invalid: if its parent is over.
    :raises IntegrityError: if it is there already.
    """
    most = registry.conf().max_unfinished

    def insert() -> None:
        take_owner(job)
        check_parent(job)
        # A group counts as one, however many children it has: those are started by code, and not by its visitors.
        alone = primary().filter(owner=job.owner, finished__isnull=True, parent__isnull=True)
        if job.parent_id is None and alone.count() >= most:
            raise TooMany(f"Expected at most {most} unfinished jobs, got one more. Wait for one to end, or cancel it.")
        job.created = job.changed = timezone.now()
        job.save(force_insert=True)

    with available():
        await written(insert, lambda: _schedule_new(job))
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


async def _schedule_new(job: Job) -> None:
    """Put a new job into the schedule and hand it straight to a worker. Nothing here may fail the start: the row is
    there, and the reconciler schedules what is missing."""
    counts.STARTED.add(registry.label(job.service))
    new = entry_for(job, HAND_OFF)
    try:
        (due,) = await registry.store().schedule([new])
        if due is not None:
            at = due - new.delay * 1000
            await registry.hand_over([Lease(new.key, new.channel, new.message, due, at, at)])
    except Exception as error:
        trouble.say(logger, "Job %s starts late: %r", job.id, error)
    await updates.publish([(job.owner, snapshot_of(job))])


async def aget(job: str | uuid.UUID, *, owner: str) -> Snapshot:
    """Return a job's snapshot as it stands.

    :raises NotFound: if there is no such job, or it is somebody else's.
    :raises Unavailable: if the database is away.
    """
    key = key_of(job)
    (entry,) = await _entries([key])
    # What is held, or was held by a worker that died, or was cancelled, may have a row that is newer.
    if entry is not None and not entry.held and not entry.stale and entry.attempt == 1:
        run = run_of(entry)
        if run is not None and run.owner == owner and _speaks(run):
            return run.snapshot
    return _newest(await _row(key, owner), entry)


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
    return [_newest(rows[key], entry) for key, entry in zip(keys, await _entries(keys), strict=True)]


async def astand(rows: Sequence[Job]) -> list[Snapshot]:
    """Return how the jobs of rows that were read just now stand, in their order, whoever's they are.

    Asks for no owner: whoever gives the rows has made sure that they may be seen.
    """
    entries = await _entries([str(row.pk) for row in rows])
    return [_newest(row, entry) for row, entry in zip(rows, entries, strict=True)]


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


async def _row(key: str, owner: str) -> Job:
    with available():
        row = await primary().filter(pk=key, owner=owner).afirst()
    if row is None:
        raise NotFound(f"Expected the id of a job of yours, got {key}.")
    return row


async def _snapshot(row: Job) -> Snapshot:
    (entry,) = await _entries([str(row.pk)])
    return _newest(row, entry)


async def _entries(keys: Sequence[str]) -> list[Entry | None]:
    """Return the jobs' entries in the schedule; while that is away, nothing, so that the rows speak."""
    try:
        return await registry.store().peek(keys)
    except StoreAway as error:
        logger.warning("Jobs are shown by their rows alone: %s", error)
        return [None] * len(keys)


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
    above = {"parent__isnull": True} if parent is None else {"parent": key_of(parent)}
    mine = primary().filter(owner=owner, **above).order_by("-created", "-id")
    if before:
        created, key = _place(before)
        mine = mine.filter(Q(created__lt=created) | Q(created=created, id__lt=key))
    with available():
        rows = [row async for row in mine[: limit + 1]]
    more, rows = len(rows) > limit, rows[:limit]
    snapshots = await astand(rows)
    return snapshots, f"{(rows[-1].created - EPOCH) // timedelta(microseconds=1)}.{rows[-1].id}" if more else ""


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
    with available():
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


def key_of(job: str | uuid.UUID) -> str:
    """Return the job's key in the schedule, of which there is only one spelling.

    :raises NotFound: if it is no id of a job.
    """
    try:
        return str(uuid.UUID(str(job)))
    except ValueError:
        raise NotFound(f"Expected the id of a job, got {job!a:.80}.") from None


def entry_for(job: Job, delay: int) -> NewEntry:
    """Return the entry of a job that has none, to be looked at after `delay` ms."""
    snapshot = snapshot_of(job)
    started = int(job.started.timestamp() * 1_000_000) if job.started else 0
    run = Run(
        owner=job.owner,
        snapshot=snapshot,
        remote=job.remote,
        started=started,
        deadline=job.deadline or 0,
        tell=bool(job.tell),
    )
    return NewEntry(str(job.id), registry.CHANNEL, _encode(run), delay)


def run_of(entry: Entry) -> Run | None:
    """Return the live state that an entry carries, None if it makes no sense."""
    try:
        return _decode_run(entry.message)
    except UNREADABLE:
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
        # A row knows when it was to be begun, and of no later look.
        due=None if row.started or row.finished else _ms(row.changed),
        attempt=row.attempt,
        retry_of=str(row.retry_of_id) if row.retry_of_id else None,
        parent=str(row.parent_id) if row.parent_id else None,
        can_retry=row.service not in BUILT_IN,
        lines=row.lines,
    )


def _newest(row: Job, entry: Entry | None) -> Snapshot:
    """Return the entry's snapshot, unless the row has ended or there is none worth showing."""
    run = run_of(entry) if entry is not None else None
    if State(row.state).complete or run is None or not _speaks(run):
        return snapshot_of(row)
    if row.state == State.CANCELLING:
        return replace(run.snapshot, state=State.CANCELLING)
    return run.snapshot


def _speaks(run: Run) -> bool:
    """Whether an entry knows more than the row."""
    return bool(run.answered or run.put_off) and not run.blank


def _ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)
