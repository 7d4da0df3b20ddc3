"""What ended long ago is forgotten, so that the database does not grow without bound."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone

from .models import Delivery, Job, deliveries, primary

PAGE = 500
"""How many are deleted at once: a long transaction holds up others."""


def old(older_than: timedelta) -> QuerySet[Job]:
    """Return the jobs that ended that long ago, and whose end nobody is still to be told of."""
    waiting = deliveries().filter(state=Delivery.State.PENDING).values("job")
    return primary().filter(finished__lt=timezone.now() - older_than).exclude(pk__in=waiting)


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
    _, each = await jobs.filter(pk__in=keys).adelete()
    return each.get("progrock.Job", 0)  # their deliveries go with them
