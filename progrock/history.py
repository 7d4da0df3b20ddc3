"""How long the jobs of a service usually take, learned from the last that succeeded."""

from __future__ import annotations

import asyncio
import logging
import statistics
from collections import defaultdict
from datetime import datetime
from time import monotonic
from typing import NamedTuple

from django.db.models import QuerySet

from .delay.loops import PerLoop
from .models import Job
from .protocol import State

logger = logging.getLogger(__name__)

LAST = 20
"""How many jobs are looked at: few enough that a service that became slower is believed within a day's work."""
FEW = 5
"""Fewer say nothing."""
SPREAD = 0.5
"""The middle half of them may lie this far apart, as a share of the median. If jobs differ more, by what they were
asked to do, then what others took says nothing of this one."""
KEPT = 60.0
"""Seconds for which an answer is good."""
WAIT = 2.0
"""Seconds that the database has for an answer: a step does not need one."""


class _Known(NamedTuple):
    usual: int
    until: float


_known: dict[str, _Known] = {}
_away = False


@PerLoop
def _asking() -> defaultdict[str, asyncio.Lock]:
    """Return who asks about a service, by its name."""
    return defaultdict(asyncio.Lock)


async def ausual(service: str) -> int:
    """Return how long jobs of a service usually take, from their first step on.

    Never raises. While the database is away, what was known goes on.

    :param service: its name.
    :returns: the median in milliseconds; 0 if there were too few jobs, or they differ too much, to say anything.
    """
    known = _known.get(service)
    if known is not None and monotonic() < known.until:
        return known.usual
    lock = _asking()[service]
    if known is not None and lock.locked():
        return known.usual
    async with lock:
        latest = _known.get(service)
        if latest is not None and latest is not known:
            return latest.usual
        usual = await _ask(service, known.usual if known is not None else 0)
        _known[service] = _Known(usual, monotonic() + KEPT)
    return usual


def usual_of(durations: list[float]) -> int:
    """Return the median of durations, 0 if there are too few or they differ too much; the unit is theirs."""
    if len(durations) < FEW:
        return 0
    lower, median, upper = statistics.quantiles(durations, n=4, method="inclusive")
    return int(median) if upper - lower <= SPREAD * median else 0


def forget() -> None:
    """Ask the database again."""
    global _away
    _known.clear()
    _asking.clear()
    _away = False


async def _ask(service: str, otherwise: int) -> int:
    """Return what the database says, or something else if it does not answer, and log that once."""
    global _away
    try:
        async with asyncio.timeout(WAIT):
            durations = await _durations(service)
    except Exception as trouble:
        if not _away:
            logger.warning("Times left are estimated without past jobs: %r", trouble)
        _away = True
        return otherwise
    _away = False
    return usual_of(durations)


async def _durations(service: str) -> list[float]:
    """Return how long the last jobs took, in milliseconds."""
    return [_milliseconds(started, finished) async for started, finished in _times(service) if started and finished]


def _times(service: str) -> QuerySet[Job, tuple[datetime | None, datetime | None]]:
    """Return the query, for which the index `progrock_job_past` is."""
    rows = Job.objects.filter(service=service, state=State.SUCCEEDED).order_by("-finished")
    return rows.values_list("started", "finished")[:LAST]


def _milliseconds(started: datetime, finished: datetime) -> float:
    # Two processes wrote these, whose clocks may differ.
    return max(0.0, (finished - started).total_seconds() * 1000)
