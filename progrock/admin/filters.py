"""By what jobs are filtered in the admin, beside their columns: age, children, and why they failed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from ..models import Job

_CODES_MOST = 50
_AGES = {
    "hour": ("Past hour", timedelta(hours=1)),
    "day": ("Past day", timedelta(days=1)),
    "week": ("Past week", timedelta(days=7)),
}


class Age(admin.SimpleListFilter):
    """How long ago they were asked for."""

    title = "age"
    parameter_name = "age"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [*((name, words) for name, (words, _) in _AGES.items()), ("older", "Older")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        value = self.value()
        if value in _AGES:
            return queryset.filter(created__gte=timezone.now() - _AGES[value][1])
        if value == "older":
            return queryset.filter(created__lt=timezone.now() - _AGES["week"][1])
        return queryset


class Family(admin.SimpleListFilter):
    """Whether they have children, or are some."""

    title = "children"
    parameter_name = "family"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("parents", "Has children"), ("children", "Is a child"), ("alone", "Neither")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        # Not by a join, which would show a parent once for each child.
        with_children = Exists(Job.objects.filter(parent=OuterRef("pk")))
        match self.value():
            case "parents":
                return queryset.filter(with_children)
            case "children":
                return queryset.filter(parent__isnull=False)
            case "alone":
                return queryset.filter(~with_children, parent__isnull=True)
        return queryset


class ErrorCode(admin.SimpleListFilter):
    """Why they failed."""

    title = "error code"
    parameter_name = "error"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        codes = model_admin.get_queryset(request).exclude(error="").order_by("error").values_list("error", flat=True)
        return [(code, code) for code in codes.distinct()[:_CODES_MOST]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        value = self.value()
        return queryset.filter(error=value) if value else queryset
