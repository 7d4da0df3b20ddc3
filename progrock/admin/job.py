"""Jobs in the admin: to look at while they run, to cancel, to try again."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from .. import jobs
from ..exceptions import Invalid, Refused
from ..models import Job, primary
from ..protocol import Snapshot
from . import dead, live, timeline
from .filters import Age, ErrorCode, Family
from .readonly import ReadOnly, is_about

if TYPE_CHECKING:
    JobModelAdmin = admin.ModelAdmin[Job]
else:
    JobModelAdmin = admin.ModelAdmin  # generic only in its stubs


class _Standing(ChangeList):
    """A page of jobs that knows how each stands, by one question to the schedule."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list.defer("result"))
        _stand(rows)
        self.result_list = rows


@admin.register(Job)
class JobAdmin(ReadOnly, JobModelAdmin):
    """Jobs, as they were asked for, as they stand, and as they ended."""

    list_display = ["name", "service", "bar", "whose", "created"]
    list_filter = ["state", "service", Age, Family, ErrorCode]
    list_per_page = 50
    list_max_show_all = live.MOST
    # A count of all rows, beside that of those which are found, is too much to ask of a large table.
    show_full_result_count = False
    search_fields = ["id", "title", "owner", "remote", "message", "key", "parent__id"]
    search_help_text = "An id, or a part of a title, an owner, a message, a key, or of the service's own name for a job"
    date_hierarchy = "created"
    actions = ["cancel", "retry"]
    # Whom to tell is not among them: in the query of a webhook's URL a token may be.
    fieldsets = [
        ("Row", {"fields": ["id", "service", "title", "owner", "state", "message", "percent", "error"]}),
        ("As it was asked for", {"fields": ["params", "key", "deadline", "attempt", "retry_of", "parent", "weight"]}),
        ("On the service", {"fields": ["remote", "created", "started", "changed", "finished", "file", "result"]}),
        ("Cursor", {"fields": ["seq", "lines"], "classes": ["collapse"]}),
    ]

    @admin.display(description="title", ordering="title")
    def name(self, job: Job) -> SafeString:
        """What a job is called, for people, and which attempt it is."""
        attempt = format_html('<span class="rock-attempt">attempt {}</span>', job.attempt) if job.attempt > 1 else ""
        return format_html("{}{}", job.title or str(job.pk), attempt)

    @admin.display(description="progress", ordering="state")
    def bar(self, job: Job) -> SafeString:
        """How a job stands, moving as long as it is not over."""
        return live.bar(_snapshot(job))

    @admin.display(description="owner", ordering="owner")
    def whose(self, job: Job) -> SafeString:
        """Whose it is, cut by the style where it is a long token."""
        return format_html('<span class="rock-owner" title="{0}">{0}</span>', job.owner)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return _Standing

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        # Whom to tell is not shown, and a filter by it would tell it letter by letter.
        return not is_about(lookup, "tell") and super().lookup_allowed(lookup, value, request)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Job], search_term: str
    ) -> tuple[QuerySet[Job], bool]:
        # A whole id is found by an index; parts of one are looked for in all rows.
        try:
            key = uuid.UUID(search_term.strip())
        except ValueError:
            return super().get_search_results(request, queryset, search_term)
        return queryset.filter(pk=key) | queryset.filter(parent=key), False

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("live/", view(self.live_view), name="progrock_job_live"),
            path("dead/", view(self.dead_view), name="progrock_job_dead"),
            *super().get_urls(),
        ]

    def live_view(self, request: HttpRequest) -> HttpResponse:
        """Tell how the jobs stand that the query names, those of them that the user may see."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            keys, after = live.asked(request)
        except Invalid as refusal:
            return HttpResponse(str(refusal), status=400, content_type="text/plain; charset=utf-8")
        found = self.get_queryset(request).using(primary().db).filter(pk__in=keys).defer("result")
        rows = [row for row in found if self.has_view_permission(request, row)]
        headers = {"Cache-Control": "no-store"}
        return HttpResponse(live.frame(rows, after), content_type="application/json", headers=headers)

    def dead_view(self, request: HttpRequest) -> HttpResponse:
        """Show dead entries of the schedule, and act on them."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        # So that links lead to this site, if there are several.
        request.current_app = self.admin_site.name
        context = {**self.admin_site.each_context(request), "opts": self.opts}
        return dead.page(request, context, may_act=self.has_steer_permission(request))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        job = self.get_object(request, object_id)
        more = self._told(request, job) if job is not None and self.has_view_permission(request, job) else {}
        return super().change_view(request, object_id, form_url, {**more, **(extra_context or {})})

    def _told(self, request: HttpRequest, job: Job) -> dict[str, Any]:
        """Return what the page of one job has beside its row."""
        _stand([job])
        snapshot = _snapshot(job)
        lines = live.journal_of(job)
        may_see_told = any(request.user.has_perm(f"progrock.{each}_delivery") for each in ("view", "change"))
        return {
            "bar": live.bar(snapshot),
            "moments": timeline.moments(job, deliveries=may_see_told),
            "owner": timeline.owner_in_words(job.owner),
            "children": timeline.children_by_state(job),
            "journal": lines,
            "after": lines[-1].seq if lines else 0,
            "offer": self._offer(snapshot) if self.has_steer_permission(request) else "",
            "list_url": reverse("admin:progrock_job_changelist", current_app=self.admin_site.name),
        }

    def _offer(self, snapshot: Snapshot) -> str:
        """Return the action that may be of use to a job."""
        if not snapshot.complete:
            return "cancel"
        return "retry" if snapshot.can_retry else ""

    def has_steer_permission(self, request: HttpRequest) -> bool:
        """Whether the user may change what becomes of jobs: who could change rows, if anybody could."""
        return request.user.has_perm("progrock.change_job")

    @admin.action(description="Cancel selected jobs", permissions=["steer"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Ask for their end."""
        self._each(request, queryset, jobs.cancel, "Cancelled or over", "Cancelled")

    @admin.action(description="Try selected jobs again", permissions=["steer"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Start a new attempt of those that are over."""
        self._each(request, queryset, jobs.retry, "Tried again", "Tried again")

    def _each(
        self, request: HttpRequest, queryset: QuerySet[Job], act: Callable[..., Snapshot], done: str, deed: str
    ) -> None:
        count = 0
        for job in queryset:
            try:
                act(job.pk, owner=job.owner)
            except Refused as refusal:
                self.message_user(request, f"{job}: {refusal}", messages.ERROR)
            else:
                count += 1
                # What is over stays as it ended, whoever wanted it to end.
                if act is jobs.retry or not job.finished:
                    self.log_change(request, job, deed)
        if count:
            self.message_user(request, f"{done}: {count}.", messages.SUCCESS)


def _stand(rows: Sequence[Job]) -> None:
    """Note on rows how their jobs stand."""
    for row, snapshot in zip(rows, live.snapshots_of(rows), strict=True):
        row.stands = snapshot  # type: ignore[attr-defined]


def _snapshot(row: Job) -> Snapshot:
    snapshot: Snapshot = row.stands  # type: ignore[attr-defined]
    return snapshot
