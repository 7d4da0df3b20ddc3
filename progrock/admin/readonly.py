"""What may not be done by hand to any row of ours."""

from __future__ import annotations

from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest


def is_about(lookup: str, field: str) -> bool:
    """Return whether a filter of the query is by a column, or by something in it."""
    return lookup.partition(LOOKUP_SEP)[0] == field


class ReadOnly:
    """Rows are read-only: their lives are the schedule's, and a row changed by hand would be a lie."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False
