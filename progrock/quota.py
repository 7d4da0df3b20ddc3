"""How many jobs an owner may start: counted in the database, and refused without asking it where that is known."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from math import ceil
from time import monotonic
from typing import Any

from django.db import connections, router

from . import counts, registry
from .bucket import Bucket
from .conf import BUILT_IN
from .exceptions import TooMany
from .models import Job, primary

MINUTE = 60
"""Seconds in which starts are counted."""
OWNERS_MOST = 10_000
"""Owners, and addresses, that a process remembers. One that is forgotten is counted in the database all the same."""
ADDRESS_TIMES = 10
"""How many owners' starts those of one address have together who are not logged in."""

# Of owners who may start nothing more: until when, in seconds of this process' clock, and which limit they have met.
_met: OrderedDict[str, tuple[float, Callable[[int], TooMany]]] = OrderedDict()
_addresses: OrderedDict[str, Bucket] = OrderedDict()


def look(owner: str | None) -> None:
    """Refuse an owner of whom this process knows that they may start nothing yet. Asks nobody: a flood is cheap.

    :raises TooMany: saying how long to wait.
    """
    rest, refusal = _rest(owner or "")
    if rest > 0:
        raise refusal(ceil(rest))


def take_of_address(address: str, owner: str) -> None:
    """Count a start of somebody who is not logged in: sessions are free, and whoever takes a new one has no limit else.

    :param address: where they come from, empty if that is nowhere.
    :param owner: who starts. One who may start nothing yet takes nothing from the others at their address.
    :raises TooMany: if there was none left, in this process.
    """
    most = registry.conf().max_starts_per_minute
    if most is None or not address or owner.startswith("user:") or _rest(owner)[0] > 0:
        return
    most *= ADDRESS_TIMES
    bucket = _addresses.setdefault(address, Bucket(most / MINUTE, most))
    _trim(_addresses, address)
    if not bucket.take():
        counts.REFUSED.add(TooMany.code)
        raise TooMany(
            f"Expected at most {most} starts a minute of an address without a login, got one more."
            " Try again in a moment."
        )


def check(job: Job, now: datetime) -> None:
    """Refuse a new job that is one more than its owner may have; to be called in the transaction that inserts it.

    A group counts as one, however many children it has: those are started by code, and not by its visitors.

    :param now: when it is made.
    :raises TooMany: if its owner has as many unfinished jobs, or has started as many lately, as the settings allow.
    """
    if job.parent_id is not None:
        return
    _one_at_a_time(job.owner)
    _check_pace(job, now)
    unfinished = primary().filter(owner=job.owner, finished__isnull=True, parent__isnull=True)
    if unfinished.count() >= registry.conf().max_unfinished:
        # Any of them may end in a moment. Until then, to be asked again and again costs nothing.
        raise _met_by(job.owner, 1, _too_much)


def check_tracked(job: Job, now: datetime) -> None:
    """Refuse a job of a program's own that is one of too many in a minute; to be called where it is inserted.

    :param now: when it is made.
    :raises TooMany: saying how long to wait.
    """
    _one_at_a_time(job.owner)
    _check_pace(job, now)


def _check_pace(job: Job, now: datetime) -> None:
    """Refuse one of too many in a minute, of those that are started in the same way: by asking, or by own code."""
    most = registry.conf().max_starts_per_minute
    if most is None:
        return
    alone = primary().filter(owner=job.owner, parent__isnull=True, created__gt=now - timedelta(seconds=MINUTE))
    alike = alone.filter(service=job.service) if job.service in BUILT_IN else alone.exclude(service__in=BUILT_IN)
    # When the oldest of so many leaves the minute there is room for another. Newest first is how the index has them.
    oldest = alike.order_by("-created").values_list("created", flat=True)[most - 1 : most].first()
    if oldest is not None:
        rest = min(MINUTE, max(1, ceil((oldest - now).total_seconds() + MINUTE)))
        raise _too_fast(rest) if job.service in BUILT_IN else _met_by(job.owner, rest, _too_fast)


def forget() -> None:
    """Forget what this process knows."""
    _met.clear()
    _addresses.clear()


def _rest(owner: str) -> tuple[float, Callable[[int], TooMany]]:
    """Return for how many seconds an owner may start nothing, as far as this process knows, and how it is refused."""
    until, refusal = _met.get(owner, (0.0, _too_fast))
    return until - monotonic(), refusal


def _met_by(owner: str, rest: int, refusal: Callable[[int], TooMany]) -> TooMany:
    """Remember that an owner has met a limit, for so many seconds, and return the refusal."""
    _met[owner] = monotonic() + rest, refusal
    _trim(_met, owner)
    return refusal(rest)


def _too_fast(rest: int) -> TooMany:
    most = registry.conf().max_starts_per_minute
    return TooMany(f"Expected at most {most} starts a minute, got one more. Try again in {rest} s.", after=rest)


def _too_much(rest: int) -> TooMany:
    most = registry.conf().max_unfinished
    return TooMany(
        f"Expected at most {most} unfinished jobs, got one more. Wait for one to end, or cancel it.", after=rest
    )


def _one_at_a_time(owner: str) -> None:
    """Have an owner's starts wait for each other, so that none is counted by none: PostgreSQL lets two begin at once.

    Not in a transaction of the caller's, which may be long, and start jobs of many owners, in any order.
    """
    connection = connections[router.db_for_write(Job)]
    if connection.vendor == "postgresql" and not connection.savepoint_ids:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"progrock:{owner}"])


def _trim(known: OrderedDict[str, Any], newest: str) -> None:
    known.move_to_end(newest)
    while len(known) > OWNERS_MOST:
        known.popitem(last=False)
