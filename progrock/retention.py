"""What ended long ago is forgotten, so that the database does not grow without bound."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from .models import Delivery, Job, deliveries, primary

PAGE = 500
"""How many are deleted at once: a long transaction holds up others."""


def old(older_than: timedelta) -> QuerySet[Job]:
    """Return the jobs that ended that long ago, and whose end nobody is still to be told of.

    A child counts for as long as its parent goes on, and goes no later than its parent does.
    """
    before = timezone.now() - older_than
    waiting = deliveries().filter(state=Delivery.State.PENDING).values("job")
    kept = primary().filter(Q(finished__isnull=True) | Q(finished__gte=before), parent=OuterRef("pk"))
    jobs = primary().filter(Q(parent__isnull=True) | Q(parent__finished__isnull=False), finished__lt=before)
    return jobs.exclude(pk__in=waiting).exclude(Exists(kept))


async def aclear(older_than: timedelta) -> int:
    """Delete a page of the jobs that ended that long ago, those first that ended first.

    :returns: how many there were.
    """
    keys = [key async for key in old(older_than).order_by("finished").values_list("pk", flat=True)[:PAGE]]
    if not keys:
        return 0
    jobs = primary()
    # Tried again, the newer one stays, and its link goes.
    await jobs.filter(retry_of__in=keys).exclude(pk__in=keys).aupdate(retry_of=None)
    await jobs.filter(parent__in=keys).exclude(pk__in=keys).aupdate(parent=None)
    _, each = await jobs.filter(pk__in=keys).adelete()
    return each.get("progrock.Job", 0)  # their deliveries go with them
