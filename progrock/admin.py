"""Jobs in the admin: to look at, to cancel, to try again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from . import jobs
from .exceptions import Refused
from .models import Job
from .protocol import Snapshot

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Job]
else:
    ModelAdmin = admin.ModelAdmin  # generic only in its stubs


@admin.register(Job)
class JobAdmin(ModelAdmin):
    """Rows are read-only: a job's life is the schedule's, and a row changed by hand would be a lie."""

    list_display = ["title", "service", "state", "message", "attempt", "owner", "created", "finished"]
    list_filter = ["state", "service"]
    search_fields = ["id", "title", "owner", "remote"]
    date_hierarchy = "created"
    actions = ["cancel", "retry"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        return False

    def has_steer_permission(self, request: HttpRequest) -> bool:
        """Whether the user may change what becomes of jobs: who could change rows, if anybody could."""
        return request.user.has_perm("progrock.change_job")

    @admin.action(description="Cancel selected jobs", permissions=["steer"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Ask for their end."""
        self._each(request, queryset, jobs.cancel, "Cancelled or over")

    @admin.action(description="Try selected jobs again", permissions=["steer"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Start a new attempt of those that are over."""
        self._each(request, queryset, jobs.retry, "Tried again")

    def _each(self, request: HttpRequest, queryset: QuerySet[Job], act: Callable[..., Snapshot], done: str) -> None:
        count = 0
        for job in queryset:
            try:
                act(job.pk, owner=job.owner)
            except Refused as refusal:
                self.message_user(request, f"{job}: {refusal}", messages.ERROR)
            else:
                count += 1
        if count:
            self.message_user(request, f"{done}: {count}.", messages.SUCCESS)
