"""What keeps rows and schedule together: every unfinished row has its entry, every cancel has been heard, and every
delivery that is not sent has its entry too.

It is itself an entry in the schedule, one page of rows a step: young rows often, all of them now and then, and all of
them at once when the store is new.
"""

from __future__ import annotations

import logging
import random
from datetime import timedelta

import msgspec
from django.db.models import QuerySet
from django.utils import timezone
from msgspec.structs import replace

from . import outbox, registry
from .delay import INTAKE, NewEntry
from .jobs import entry_for, run_of
from .models import Job, primary
from .protocol import State
from .retention import aclear

logger = logging.getLogger(__name__)

KEY = "reconcile"
EVERY = 5_000
FULL_EVERY = 60_000
YOUNG = timedelta(seconds=60)
PAGE = 500
SPREAD = 2
"""Milliseconds for each job of a page that is scheduled again, so that a full reload does not stampede a remote."""


class Sweep(msgspec.Struct, frozen=True, tag="sweep"):
    """Where the reconciler stands.

    :param after: the last id of the page before; empty at the start of a pass.
    :param full: whether this pass is over all unfinished rows.
    :param full_at: when the next full pass is due, in microseconds of the store's clock.
    :param told: whether this pass has come to the deliveries.
    """

    after: str = ""
    full: bool = True
    full_at: int = 0
    told: bool = False


def standing() -> list[NewEntry]:
    """Return the entries that must always exist: the reconciler's, due now, and that of the relays."""
    return [NewEntry(KEY, registry.CHANNEL, msgspec.msgpack.encode(Sweep())), INTAKE]


async def sweep(state: Sweep, now: int) -> tuple[Sweep, int]:
    """Mend one page.

    :param now: the store's time.
    :returns: where it stands after that, and the delay until the next page in milliseconds.
    """
    if not state.told:
        rows = _unfinished(state.after)
        if not state.full:
            rows = rows.filter(changed__gte=timezone.now() - YOUNG)
        page = [row async for row in rows[:PAGE]]
        await mend(page)
        if len(page) == PAGE:
            return replace(state, after=str(page[-1].pk)), 10
        state = replace(state, after="", told=True)
    # A delivery has lost its entry together with all others, or its job's entry sees to it: no need to look often.
    if state.full:
        some = [row async for row in outbox.pending(state.after)[:PAGE]]
        await outbox.mend(some)
        if len(some) == PAGE:
            return replace(state, after=str(some[-1].pk)), 10
    keep = registry.conf().keep_days
    if state.full and keep is not None:
        try:
            await aclear(timedelta(days=keep))
        except Exception as trouble:
            # Somebody else's table may refer to a job. The reconciler has to go on, whatever cannot be forgotten.
            logger.error("Old jobs could not be deleted: %r", trouble)
    full_at = now + FULL_EVERY * 1000 if state.full else state.full_at
    return Sweep(full=full_at <= now + EVERY * 1000, full_at=full_at), EVERY


def _unfinished(after: str) -> QuerySet[Job]:
    # Not by state: only this is what the partial index is over.
    rows = primary().filter(finished__isnull=True).order_by("pk")
    return rows.filter(pk__gt=after) if after else rows


async def areconcile() -> tuple[int, int]:
    """Mend all unfinished jobs and deliveries now, page by page.

    :returns: how many were scheduled again, and how many were told that they are cancelled.
    """
    after, scheduled, nudged = "", 0, 0
    while page := [row async for row in _unfinished(after)[:PAGE]]:
        missing, unheard = await mend(page)
        scheduled, nudged, after = scheduled + missing, nudged + unheard, str(page[-1].pk)
    after = ""
    while some := [row async for row in outbox.pending(after)[:PAGE]]:
        scheduled, after = scheduled + await outbox.mend(some), str(some[-1].pk)
    return scheduled, nudged


async def mend(rows: list[Job]) -> tuple[int, int]:
    """Schedule the rows that have no entry, and nudge the cancelled ones whose entry has not heard of it.

    :returns: how many of each.
    """
    store = registry.store()
    gone, unheard = [], []
    for row, entry in zip(rows, await store.peek([str(row.pk) for row in rows]), strict=True):
        if entry is None:
            gone.append(row.pk)
        elif row.state == State.CANCELLING:
            run = run_of(entry)
            if run is None or run.snapshot.state is not State.CANCELLING:
                unheard.append(entry.key)
    # Some may have ended since their rows were read. An end is committed before its entry is given up, so what a row
    # says now is true.
    missing = [row async for row in primary().filter(pk__in=gone, finished__isnull=True)] if gone else []
    await store.schedule([entry_for(row, random.randint(0, SPREAD * len(missing))) for row in missing])
    await store.nudge(unheard)
    return len(missing), len(unheard)
