"""What happened to a job, in order: who asked for it, each attempt, who steered it, why it ended, who was told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db.models import Count

from ..models import Delivery, Job
from ..protocol import State
from ..tell import shown

AROUND = 3
"""How many attempts before this one, and after it, are shown: those further away are on the pages of these."""
MOST = 50
"""How many deliveries, and how many deeds in the admin, are shown."""


class Moment(NamedTuple):
    """Something that happened.

    :param said: more about it, for people.
    :param job: the attempt of which it tells, if that is another than the one looked at.
    """

    at: datetime
    what: str
    said: str = ""
    job: Job | None = None


def moments(job: Job, *, deliveries: bool) -> list[Moment]:
    """Return what happened to a job and to its attempts before and after, oldest first.

    :param deliveries: whether to say who was told; of where that went no more than what is no token.
    """
    found = [moment for each in _attempts(job) for moment in _of(each, other=each.pk != job.pk)]
    found += _deeds(job)
    if deliveries:
        found += _told(job)
    return sorted(found, key=lambda moment: moment.at)


def owner_in_words(owner: str) -> str:
    """Return whose jobs these are, with a user's name if there is one."""
    kind, _, key = owner.partition(":")
    if kind != "user":
        return owner
    try:
        user = get_user_model().objects.filter(pk=key).first()
    except (ValueError, ValidationError):
        return owner
    return f"{owner} ({user.get_username()})" if user else owner


def children_by_state(job: Job) -> list[tuple[str, int]]:
    """Return how many children a job has in each state."""
    counts = Job.objects.filter(parent=job).order_by("state").values_list("state").annotate(Count("pk"))
    return list(counts)


def _attempts(job: Job) -> Iterator[Job]:
    """Return the attempts around this one, oldest first, with one query however many they are."""
    around = ("__".join([name] * AROUND) for name in ("retry_of", "retried_as"))
    row = Job.objects.select_related(*around).filter(pk=job.pk).first()
    before: list[Job] = []
    each = row and row.retry_of
    while each is not None and len(before) < AROUND:
        before.append(each)
        each = each.retry_of if len(before) < AROUND else None
    yield from reversed(before)
    each = row
    for more in reversed(range(1 + AROUND)):
        if each is None:
            return
        yield each
        each = getattr(each, "retried_as", None) if more else None


def _of(job: Job, *, other: bool) -> Iterator[Moment]:
    which = job if other else None
    name = f"Attempt {job.attempt}"
    yield Moment(job.created, f"{name} asked for", "", which)
    if job.started:
        yield Moment(job.started, f"{name} started", f"as {job.remote} there" if job.remote else "", which)
    if job.state == State.CANCELLING:
        yield Moment(job.changed, f"{name}: its end asked for", "", which)
    if job.finished:
        why = ": ".join(filter(None, [job.error, job.message]))
        yield Moment(job.finished, f"{name} {job.state}", why, which)


def _deeds(job: Job) -> Iterator[Moment]:
    entries = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(Job), object_id=str(job.pk)
    ).select_related("user")
    for each in entries.order_by("-action_time")[:MOST]:
        yield Moment(each.action_time, each.get_change_message(), f"by {each.user.get_username()} in the admin")


def _told(job: Job) -> Iterator[Moment]:
    for each in Delivery.objects.filter(job=job).order_by("-created")[:MOST]:
        came = f"{each.state}, tries: {each.tries}"
        said = f"{shown(each.kind, each.target)}: {came}{f'. {each.error}' if each.error else ''}"
        yield Moment(each.sent or each.created, f"{Delivery.Kind(each.kind).label} of its end", said)
