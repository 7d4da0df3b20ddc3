"""Jobs in the admin: to look at, to cancel, to try again; and who was told of their ends, or is to be told again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from . import jobs, outbox
from .exceptions import Refused
from .models import Delivery, Job
from .protocol import Snapshot
from .tell import shown

if TYPE_CHECKING:
    JobModelAdmin = admin.ModelAdmin[Job]
    DeliveryModelAdmin = admin.ModelAdmin[Delivery]
else:
    JobModelAdmin = DeliveryModelAdmin = admin.ModelAdmin  # generic only in its stubs


class ReadOnly:
    """Rows are read-only: their lives are the schedule's, and a row changed by hand would be a lie."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Job)
class JobAdmin(ReadOnly, JobModelAdmin):
    """Jobs, as they were asked for and ended."""

    exclude = ["tell"]  # in the query of a webhook's URL a token may be
    list_display = ["title", "service", "state", "message", "attempt", "owner", "created", "finished"]
    list_filter = ["state", "service"]
    search_fields = ["id", "title", "owner", "remote", "parent__id"]
    date_hierarchy = "created"
    actions = ["cancel", "retry"]

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


@admin.register(Delivery)
class DeliveryAdmin(ReadOnly, DeliveryModelAdmin):
    """Deliveries, and what came of them."""

    fields = ["id", "job", "kind", "to", "state", "tries", "error", "created", "until", "sent"]
    list_display = ["to", "kind", "state", "tries", "error", "job", "created", "sent"]
    list_filter = ["state", "kind"]
    list_select_related = ["job"]
    search_fields = ["id", "job__id", "job__owner"]
    date_hierarchy = "created"
    actions = ["send_again"]

    @admin.display(description="to")
    def to(self, delivery: Delivery) -> str:
        """Where it goes, without what may be a token."""
        return shown(delivery.kind, delivery.target)

    def has_steer_permission(self, request: HttpRequest) -> bool:
        """Whether the user may have deliveries sent: who could change rows, if anybody could."""
        return request.user.has_perm("progrock.change_delivery")

    @admin.action(description="Send selected deliveries again", permissions=["steer"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        """Try them for a day from now on."""
        count = outbox.send_again(list(queryset.values_list("pk", flat=True)))
        self.message_user(request, f"Sent again: {count}.", messages.SUCCESS)
