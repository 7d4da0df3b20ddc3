"""Jobs in the admin, to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.http import HttpRequest

from .models import Job

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Job]
else:
    ModelAdmin = admin.ModelAdmin  # generic only in its stubs


@admin.register(Job)
class JobAdmin(ModelAdmin):
    """Read-only: a job's life is the schedule's, and a row changed by hand would be a lie."""

    list_display = ["title", "service", "state", "message", "owner", "created", "finished"]
    list_filter = ["state", "service"]
    search_fields = ["id", "title", "owner", "remote"]
    date_hierarchy = "created"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        return False
