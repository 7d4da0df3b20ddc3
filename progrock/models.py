"""The record: what was asked for, how it ended, and who was told. What goes on in between is in the schedule."""

from __future__ import annotations

import uuid

from django.db import models, router
from django.db.models import Q, QuerySet

from .protocol import State

_OVER = [state.value for state in State if state.complete]
_LIVE = [state.value for state in State if not state.complete]


class Job(models.Model):
    """One job. Written when it is created, started, asked to end and finished, and never for a percentage.

    `owner` is what :mod:`progrock.access` makes of a user or a session. `key` is the client's own, so that the same
    start sent twice is one job. `seq` is that of the snapshot that ended it, and `lines` how many lines its journal had
    by then. `deadline` is in milliseconds. A job that is tried again stays as it ended: the new attempt is a job of its
    own, whose `retry_of` it is, and there is one. `tell` has the addressees that the start named. A child counts for
    its `parent`, a job of the same owner's, by its `weight`.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    service = models.CharField(max_length=64)
    title = models.CharField(max_length=200, blank=True)
    params = models.JSONField(default=dict)
    owner = models.CharField(max_length=120)
    key = models.CharField(max_length=120, null=True, blank=True)  # noqa: DJ001 (no key is no key: never equal)
    state = models.CharField(
        max_length=10, choices=[(state.value, state.value) for state in State], default=State.PENDING.value
    )
    remote = models.CharField(max_length=200, blank=True)
    message = models.CharField(max_length=500, blank=True)
    percent = models.FloatField(null=True, blank=True)
    file = models.CharField(max_length=100, null=True, blank=True)  # noqa: DJ001
    result = models.JSONField(null=True, blank=True)
    error = models.CharField(max_length=64, blank=True)
    seq = models.BigIntegerField(default=0)
    # In the database too: processes of the version before, which do not know the columns, go on during an upgrade.
    lines = models.PositiveIntegerField(default=0, db_default=0)
    deadline = models.PositiveBigIntegerField(null=True, blank=True)
    attempt = models.PositiveIntegerField(default=1, db_default=1)
    tell = models.JSONField(null=True, blank=True)
    retry_of = models.OneToOneField("self", on_delete=models.SET_NULL, null=True, blank=True, related_name="retried_as")
    # Most jobs have no parent: its index, below, is of those that have.
    parent = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="children", db_index=False
    )
    weight = models.FloatField(default=1.0, db_default=1.0)
    created = models.DateTimeField()
    changed = models.DateTimeField()
    started = models.DateTimeField(null=True, blank=True)
    finished = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["owner", "key"], name="progrock_job_owner_key"),
            models.CheckConstraint(condition=Q(state__in=[*_LIVE, *_OVER]), name="progrock_job_state"),
            models.CheckConstraint(
                condition=Q(finished__isnull=False, state__in=_OVER) | Q(finished__isnull=True, state__in=_LIVE),
                name="progrock_job_finished",
            ),
            models.CheckConstraint(
                condition=Q(started__isnull=False) | (~Q(state__in=["running", "succeeded"]) & Q(remote="")),
                name="progrock_job_started",
            ),
            models.CheckConstraint(
                condition=(Q(state="failed") & ~Q(error="")) | (~Q(state="failed") & Q(error="")),
                name="progrock_job_error",
            ),
            models.CheckConstraint(
                condition=Q(state="succeeded") | Q(file__isnull=True, result__isnull=True),
                name="progrock_job_result",
            ),
            models.CheckConstraint(
                condition=Q(percent__isnull=True) | Q(percent__gte=0, percent__lte=100),
                name="progrock_job_percent",
            ),
            models.CheckConstraint(condition=Q(attempt__gte=1), name="progrock_job_attempt"),
            models.CheckConstraint(condition=Q(weight__gte=0), name="progrock_job_weight"),
        ]
        indexes = [
            models.Index(fields=["owner", "-created"], name="progrock_job_mine"),
            models.Index(fields=["id"], name="progrock_job_unfinished", condition=Q(finished__isnull=True)),
            # What past runs tell of the next, and what ended long ago.
            models.Index(fields=["service", "-finished"], name="progrock_job_past", condition=Q(state="succeeded")),
            # Who calls us back knows a job by its own name for it.
            models.Index(
                fields=["service", "remote"],
                name="progrock_job_remote",
                condition=Q(finished__isnull=True) & ~Q(remote=""),
            ),
            models.Index(fields=["finished"], name="progrock_job_old", condition=Q(finished__isnull=False)),
            models.Index(fields=["parent", "state"], name="progrock_job_children", condition=Q(parent__isnull=False)),
        ]
        ordering = ["-created"]

    def __str__(self) -> str:
        return f"{self.title or self.service} ({self.state})"


class Delivery(models.Model):
    """That one addressee is told of one job's end. Made in the transaction of that end, and kept as long as the job.

    `id` is what the addressee knows a repeat by. `target` is where it goes, as it was declared: what the environment
    has for it is not in here. `until` is when it is given up. `error` is what came of the last try, in one line.
    """

    class State(models.TextChoices):
        PENDING = "pending"
        SENT = "sent"
        FAILED = "failed"

    class Kind(models.TextChoices):
        WEBHOOK = "webhook"
        EMAIL = "email"
        CALL = "call"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="deliveries")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    target = models.CharField(max_length=500)
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    tries = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=200, blank=True)
    created = models.DateTimeField()
    until = models.DateTimeField()
    sent = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["pending", "sent", "failed"]), name="progrock_delivery_state"
            ),
            models.CheckConstraint(condition=Q(kind__in=["webhook", "email", "call"]), name="progrock_delivery_kind"),
            models.CheckConstraint(
                condition=Q(state="sent", sent__isnull=False, error="") | (~Q(state="sent") & Q(sent__isnull=True)),
                name="progrock_delivery_sent",
            ),
            models.CheckConstraint(condition=~Q(state="failed") | ~Q(error=""), name="progrock_delivery_error"),
        ]
        indexes = [
            models.Index(fields=["id"], name="progrock_delivery_pending", condition=Q(state="pending")),
        ]
        ordering = ["-created"]
        verbose_name_plural = "deliveries"

    def __str__(self) -> str:
        return f"{self.kind} of {self.job_id} ({self.state})"


def primary() -> QuerySet[Job]:
    """Return all jobs, of the database that is written to.

    A copy that lags does not know yet what was just started, or ended: its word would drop the one and tell the other.
    """
    return Job.objects.using(router.db_for_write(Job))


def deliveries() -> QuerySet[Delivery]:
    """Return all deliveries, of that database too."""
    return Delivery.objects.using(router.db_for_write(Job))
