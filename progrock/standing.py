"""How a job stands: what its row and its entry in the schedule say, together and each alone."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from datetime import datetime

import msgspec
from django.db.models import Case, F, JSONField, QuerySet, TextField, When
from django.db.models.functions import Cast, Length
from django.db.models.lookups import GreaterThan
from msgspec.structs import replace

from . import registry, tracing
from .conf import BUILT_IN
from .delay import Entry, NewEntry, StoreAway
from .exceptions import NotFound
from .models import Job
from .protocol import Cut, Failure, Snapshot, State
from .step import Run

logger = logging.getLogger(__name__)

LISTED = 8 * 1024
"""Characters of a result as JSON that are shown in a list. Longer ones, a hundred at a time, would be 100 MB."""
UNFINISHED = [state for state in State if not state.complete]
UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)
"""What decoding an entry raises in which other hands were."""

_encode = msgspec.msgpack.Encoder().encode
_decode_run = msgspec.msgpack.Decoder(Run).decode


def key_of(job: str | uuid.UUID) -> str:
    """Return the job's key in the schedule, of which there is only one spelling.

    :raises NotFound: if it is no id of a job.
    """
    try:
        return str(uuid.UUID(str(job)))
    except ValueError:
        raise NotFound(f"Expected the id of a job, got {job!a:.80}.") from None


def entry_for(job: Job, delay: int, trace: str | None = None) -> NewEntry:
    """Return the entry of a job that has none, to be looked at after `delay` ms.

    :param trace: the `traceparent` of its start; None is where it is called.
    """
    snapshot = snapshot_of(job)
    started = int(job.started.timestamp() * 1_000_000) if job.started else 0
    run = Run(
        owner=job.owner,
        snapshot=snapshot,
        remote=job.remote,
        started=started,
        deadline=job.deadline or 0,
        tell=bool(job.tell),
        trace=tracing.traceparent() if trace is None else trace,
    )
    return NewEntry(str(job.id), registry.CHANNEL, _encode(run), delay)


def run_of(entry: Entry) -> Run | None:
    """Return the live state that an entry carries, None if it makes no sense."""
    try:
        return _decode_run(entry.message)
    except UNREADABLE:
        return None


def listed(rows: QuerySet[Job]) -> QuerySet[Job]:
    """Return rows as a list has them: a result that is too long for one is not even read."""
    rows = rows.alias(long=Length(Cast("result", TextField()))).annotate(cut=GreaterThan(F("long"), LISTED))
    short = Case(When(cut=False, then="result"), default=None, output_field=JSONField(null=True))
    return rows.annotate(short=short).defer("result")


def snapshot_of(row: Job) -> Snapshot:
    """Return the snapshot that a row alone gives: what is known of a job before, between and after its steps."""
    kind = Cut if getattr(row, "cut", False) else Snapshot
    return kind(
        job=str(row.id),
        service=row.service,
        title=row.title,
        state=State(row.state),
        created=_ms(row.created),
        seq=row.seq,
        percent=row.percent,
        message=row.message,
        file=row.file,
        result=row.result if "result" in row.__dict__ else getattr(row, "short", None),
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


def newest(row: Job, entry: Entry | None) -> Snapshot:
    """Return the entry's snapshot, unless the row has ended or there is none worth showing."""
    run = run_of(entry) if entry is not None else None
    if State(row.state).complete or run is None or not speaks(run):
        return snapshot_of(row)
    if row.state == State.CANCELLING:
        return replace(run.snapshot, state=State.CANCELLING)
    return run.snapshot


def speaks(run: Run) -> bool:
    """Whether an entry knows more than the row."""
    return bool(run.answered or run.put_off) and not run.blank


async def entries_of(keys: Sequence[str]) -> list[Entry | None]:
    """Return the jobs' entries in the schedule; while that is away, nothing, so that the rows speak."""
    try:
        return await registry.store().peek(keys)
    except StoreAway as error:
        logger.warning("Jobs are shown by their rows alone: %s", error)
        return [None] * len(keys)


def _ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)
