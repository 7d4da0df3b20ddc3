"""The two views of pluto-rt, for whom a queue belongs to: its items as events, or for those who ask again."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from ...caller import Caller
from ...exceptions import NotFound
from ...fragments import FragmentsView, Rows
from ...fragments.rows import Mode
from ...fragments.view import STOP
from ...http import asked
from ...protocol import Line
from ...push import acreate
from ...push.rows import SERVICE
from .ops import job_of

COUNT_MOST = 1_000
_MODES: dict[str, Mode] = {"reverse": "newest", "replace": "replace"}


class _QueueView(FragmentsView):
    """Both: a template gets `item`, and silence is an event."""

    silence = "event: keepalive\ndata: \n\n"

    def context(self, job: str, line: Line) -> dict[str, Any]:
        return {**super().context(job, line), "item": line.data}

    async def get(self, request: HttpRequest, **parts: str) -> HttpResponseBase:
        """Answer with rows.

        :param parts: of the address: `queue_name` and `item_template`.
        """
        name = parts["queue_name"]
        caller, job = await asked.new_caller(request), job_of(name)
        try:
            await caller.get(job)
        except NotFound as refusal:
            # Perhaps the first who comes, from the page that was made for this queue: it is theirs from now on.
            if not await caller.may("start", SERVICE):
                raise
            try:
                await acreate(name, owner=caller.owner, job=job)
            except NotFound:
                raise refusal from None
        shown = Rows(parts["item_template"], _MODES.get(request.GET.get("mode", ""), "append"))
        return await self.answered(request, caller, job, shown)

    async def answered(self, request: HttpRequest, caller: Caller, job: str, shown: Rows) -> HttpResponseBase:
        """Answer, now that it is known whose it is."""
        raise NotImplementedError


class _SSE(_QueueView):
    async def answered(self, request: HttpRequest, caller: Caller, job: str, shown: Rows) -> HttpResponseBase:
        # Only templates of ours know what to do with all rows at once.
        return await self.stream(request, caller, job, shown, together=asked.flag(request, "reset"))


class _Polling(_QueueView):
    async def answered(self, request: HttpRequest, caller: Caller, job: str, shown: Rows) -> HttpResponseBase:
        # Templates of ours have a cursor.
        answer = self.poll if "after" in request.GET else self._counted
        return await answer(request, caller, job, shown)

    async def _counted(self, request: HttpRequest, caller: Caller, job: str, shown: Rows) -> HttpResponse:
        """Answer who counts the rows in the page: with the items from `index` to `index + count`."""
        index = asked.number(request, "index", 0, 10**9) or 0
        count = asked.number(request, "count", 0, COUNT_MOST) if request.GET.get("count") else None
        snapshot = await caller.get(job)
        lines = [line for line in await caller.journal(job) if line.n > index]
        some = lines[-1:] if shown.mode == "replace" else lines[: (5 if count is None else count) + 1]
        over = snapshot.complete and some[-1:] == lines[-1:]
        made = await self.rendered(shown, job, some)
        return HttpResponse(shown.together(made), status=STOP if over else 200 if made else 204)


# A POST is refused by us in any case: Django would log its path, where the signed name of a queue is.
sse = csrf_exempt(_SSE.as_view())
polling = csrf_exempt(_Polling.as_view())
