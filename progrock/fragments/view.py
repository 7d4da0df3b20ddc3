"""Rows over HTTP: those that are new, to who asks, or one by one as they come, to who listens."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views import View

from .. import standing
from ..caller import Caller
from ..feed import Feed
from ..http import asked, waiting
from ..http.route import route
from ..http.stream import HEARTBEAT, MEDIA_TYPE, sent
from ..protocol import Line
from . import rows
from .cursor import NOTHING, Batch, Cursor, answered, batch, of_event, of_query
from .events import event, told
from .rows import TEMPLATE, Mode, Row, Rows, of_signed

STOP = 286
"""The status upon which htmx polls no more."""
_ID = re.compile(r"[A-Za-z][\w.:-]{0,127}", re.ASCII)


class FragmentsView(View):
    """The rows of a job, for its owner: `path("rows/<str:job>/", FragmentsView.as_view(template_name="row.html"))`.

    :cvar template_name: the template of one row.
    :cvar mode: `append`, `newest` or `replace`.
    """

    template_name: str = TEMPLATE
    mode: Mode = "append"
    silence = ": \n\n"
    """What is sent when there has been nothing to say for a while."""

    @classmethod
    def as_view(cls, **options: Any) -> Any:
        """Return the view.

        :param options: `template_name`, `mode`.
        :raises ValueError: if there is no such mode.
        """
        made = cls(**options)
        Rows(made.template_name, made.mode).checked()
        return super().as_view(**options)

    def dispatch(self, request: HttpRequest, *args: str, **parts: str) -> Any:
        """Answer, refusals as problems."""
        return route(GET=self.get)(request, **parts)

    async def get(self, request: HttpRequest, **parts: str) -> HttpResponseBase:
        """Answer with the rows behind the cursor, or a stream of them if that is asked for.

        :param parts: of the address: `job`.
        """
        job = standing.key_of(parts["job"])
        shown = self.rows(request, job)
        caller = await asked.caller(request)
        if request.get_preferred_type(["text/html", MEDIA_TYPE]) == MEDIA_TYPE:
            return await self.stream(request, caller, job, shown)
        return await self.poll(request, caller, job, shown)

    def rows(self, request: HttpRequest, job: str) -> Rows:
        """Return how the job is shown.

        :raises Invalid: if the request asks for what it may not.
        """
        return Rows(self.template_name, self.mode)

    def context(self, job: str, line: Line) -> dict[str, Any]:
        """Return what the template of one row is given."""
        return rows.context(job, line)

    async def rendered(self, shown: Rows, job: str, lines: Sequence[Line]) -> list[Row]:
        """Return lines as rows."""
        # In a thread: a project's own template may well ask the database.
        return await sync_to_async(shown.each)(job, lines, self.context) if lines else []

    async def poll(self, request: HttpRequest, caller: Caller, job: str, shown: Rows) -> HttpResponse:
        """Answer with the rows behind the cursor of the query."""
        before = of_query(request)
        within, applied = asked.wait(request)
        answer = await waiting.answer(caller, job, before.seq or None, lambda each: each.lines > before.n, within)
        new = answered(answer, before)
        made = await self.rendered(shown, job, new.lines)
        over = answer.snapshot.complete and not new.behind
        headers = {"Preference-Applied": applied} if applied else {}
        if not over:
            query = request.GET.copy()
            query["after"] = str(new.cursor)
            headers["Link"] = f'<{request.path}?{query.urlencode()}>; rel="next"'
        if new.whole:
            headers["HX-Reswap"] = "innerHTML"
        elif not made:
            headers["HX-Reswap"] = "none"
        status = STOP if over else 200 if made else 204
        body = shown.together(made) + (_held(request, new.cursor) if status != 204 else "")
        return HttpResponse(body, status=status, headers=headers)

    async def stream(
        self, request: HttpRequest, caller: Caller, job: str, shown: Rows, *, together: bool = True
    ) -> HttpResponseBase:
        """Answer with a stream of rows.

        :param together: whether a reader knows what to do with all rows at once. Who comes without a cursor is told so:
            not every client keeps the one that it was given, and its page may be full of rows.
        """
        returned = of_event(request)
        before = of_query(request) if returned is None else returned
        snapshot = await caller.get(job)
        if snapshot.complete and before.seq and snapshot.seq == before.seq:
            # An EventSource that is told so does not come back.
            return HttpResponse(status=204)
        # A template that is missing is found out before the answer has begun.
        await sync_to_async(shown.found)()
        return sent(request, caller, lambda feed: self._events(feed, job, before, shown, together))

    async def _events(
        self, feed: Feed, job: str, before: Cursor, shown: Rows, together: bool
    ) -> AsyncGenerator[str, None]:
        answer = await feed.watch(job, before.seq or None)
        new, complete = answered(answer, before), answer.snapshot.complete
        anew = before == NOTHING
        while True:
            if not together:
                new = new._replace(lines=[line for line in new.lines if line.n > before.n], whole=False)
            elif anew and new.lines:
                new, anew = new._replace(whole=True), False
            made = await self.rendered(shown, job, new.lines)
            for text in told(new, before, made, shown):
                yield text
            if made:
                await waiting.let_go()
            before = new.cursor
            if complete:
                if not new.behind:
                    yield event("close")
                return
            fresh = await feed.next(within=HEARTBEAT)
            if feed.refusals():
                return  # who comes back is told why
            if fresh:
                (each,) = fresh  # there is one job
                new = batch(each.lines, before, each.update.seq, behind=each.behind)
                complete = each.update.complete
            else:
                yield self.silence
                new = Batch([], False, before)


class _Shown(FragmentsView):
    """Rows as a page of this site has said, signed."""

    def rows(self, request: HttpRequest, job: str) -> Rows:
        return of_signed(job, request.GET["show"]) if "show" in request.GET else Rows()


shown = _Shown.as_view()


def _held(request: HttpRequest, cursor: Cursor) -> str:
    """Return the field with the cursor, which htmx puts in the place of the one that the page has."""
    poller = request.headers.get("HX-Trigger", "")
    if not _ID.fullmatch(poller):
        return ""
    return field(f"{poller}-cursor", cursor, swap=True)


def field(name: str, cursor: Cursor, *, swap: bool = False) -> str:
    """Return a hidden field with a cursor, which may stand anywhere in a page, in a table too.

    :param name: its id.
    :param swap: whether it takes the place of the one with that id.
    """
    oob = ' hx-swap-oob="true"' if swap else ""
    return format_html('<input type="hidden" id="{}" name="after" value="{}"{}>', name, str(cursor), SafeString(oob))
