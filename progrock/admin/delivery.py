"""Deliveries in the admin: who was told of an end, or is to be told again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from .. import outbox
from ..models import Delivery
from ..tell import shown
from .readonly import ReadOnly, is_about

if TYPE_CHECKING:
    DeliveryModelAdmin = admin.ModelAdmin[Delivery]
else:
    DeliveryModelAdmin = admin.ModelAdmin  # generic only in its stubs


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

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        # Where it goes is not shown as it is, and a filter by it would tell it letter by letter.
        return not is_about(lookup, "target") and super().lookup_allowed(lookup, value, request)

    def has_steer_permission(self, request: HttpRequest) -> bool:
        """Whether the user may have deliveries sent: who could change rows, if anybody could."""
        return request.user.has_perm("progrock.change_delivery")

    @admin.action(description="Send selected deliveries again", permissions=["steer"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        """Try them for a day from now on."""
        count = outbox.send_again(list(queryset.values_list("pk", flat=True)))
        self.message_user(request, f"Sent again: {count}.", messages.SUCCESS)
