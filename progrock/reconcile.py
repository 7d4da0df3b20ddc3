"""What keeps rows and schedule together: every unfinished row has its entry, every cancel has been heard, and every
delivery that is not sent has its entry too. It forgets what ended long ago, and what dead workers leave behind.

It is itself an entry in the schedule, one page of rows a step: young rows often, all of them now and then, and all of
them at once when the store is new.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from datetime import timedelta
from time import monotonic
from typing import Literal

import msgspec
from channels.layers import get_channel_layer
from django.db.models import QuerySet
from django.utils import timezone
from msgspec.structs import replace

from . import outbox, registry
from .delay import INTAKE, NewEntry, trouble
from .models import Job, primary
from .protocol import State
from .retention import aclear
from .standing import entry_for, run_of

logger = logging.getLogger(__name__)

KEY = "reconcile"
EVERY = 5_000
FULL_EVERY = 60_000
YOUNG = timedelta(seconds=60)
PAGE = 500
FORGET = 3.0
"""Seconds of a full pass for what ended long ago, page by page: all that is to be mended waits meanwhile."""
EMPTY = 0.5
"""Seconds for what is left in the channel of a worker that is gone."""
SPREAD = 2
"""Milliseconds for each job of a page that is scheduled again, so that a full reload does not stampede a remote."""


class Sweep(msgspec.Struct, frozen=True, tag="sweep"):
    """Where the reconciler stands.

    :param after: the last id of the page before; empty at the start of a pass.
    :param full: whether this pass is over all unfinished rows.
    :param full_at: when the next full pass is due, in microseconds of the store's clock.
    :param told: whether this pass has come to the deliveries.
    :param readers: the channels of the workers that there were at the end of the pass before.
    :param version: of the form of entries.
    """

    after: str = ""
    full: bool = True
    full_at: int = 0
    told: bool = False
    readers: Sequence[str] = ()
    version: Literal[1] = 1


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
            await _forget(timedelta(days=keep))
        except Exception as trouble:
            # Somebody else's table may refer to a job. The reconciler has to go on, whatever cannot be forgotten.
            logger.error("Old jobs could not be deleted: %r", trouble)
    full_at = now + FULL_EVERY * 1000 if state.full else state.full_at
    readers = await _empty_after(state.readers)
    return Sweep(full=full_at <= now + EVERY * 1000, full_at=full_at, readers=readers), EVERY


async def _forget(older_than: timedelta) -> None:
    until = monotonic() + FORGET
    while await aclear(older_than) and monotonic() < until:
        pass


async def _empty_after(readers: Sequence[str]) -> list[str]:
    """Empty the channels of those workers that are gone, and return those of the others.

    What a worker was about to take when it was killed, a layer in Redis keeps for its next look, without an end.
    """
    there = [each.name for each in (await registry.store().status()).readers]
    gone = [each for each in readers if each not in there]
    emptied = await asyncio.gather(*(_empty(channel) for channel in gone))
    return there + [channel for channel, done in zip(gone, emptied, strict=True) if not done]


async def _empty(channel: str) -> bool:
    """Take all that is in a channel, and return whether that could be done. Its leases are given to others anyway."""
    layer = get_channel_layer(registry.WORK_LAYER)  # type: ignore[no-untyped-call]
    try:
        async with asyncio.timeout(EMPTY):
            while True:
                await layer.receive(channel)
    except TimeoutError:
        return True
    except Exception as error:
        trouble.say(logger, "What a dead worker leaves in %s cannot be taken: %r", channel, error)
        return False


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

    An entry that is dead is none: no step gives up a job, so other hands have spoiled it.

    :returns: how many of each.
    """
    store = registry.store()
    gone, dead, unheard = [], [], []
    for row, entry in zip(rows, await store.peek([str(row.pk) for row in rows]), strict=True):
        if entry is None or entry.dead:
            gone.append(row.pk)
            dead += [entry.key] if entry else []
        elif row.state == State.CANCELLING:
            run = run_of(entry)
            if run is None or run.snapshot.state is not State.CANCELLING:
                unheard.append(entry.key)
    # Some may have ended since their rows were read. An end is committed before its entry is given up, so what a row
    # says now is true.
    missing = [row async for row in primary().filter(pk__in=gone, finished__isnull=True)] if gone else []
    if dead:
        await store.bury(dead)
    await store.schedule([entry_for(row, random.randint(0, SPREAD * len(missing))) for row in missing])
    await store.nudge(unheard)
    return len(missing), len(unheard)
