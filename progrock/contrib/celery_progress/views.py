"""What celery_progress.js polls: how a task of one's own stands, or a group of them."""

from __future__ import annotations

import msgspec
from celery.result import GroupResult
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from ...delay.loops import PerLoop
from ...exceptions import NotFound, TooMany, Unavailable
from ...http import asked
from ...http.route import route
from ...services.threads import Threads
from ...step import Miss
from .progress import group_progress_of, progress_of

GROUP_MOST = 500
"""How many tasks of a group are asked for."""
_WITHIN = 5_000
"""Milliseconds that Celery's result backend has to say who is in a group."""


async def progress(request: HttpRequest, task_id: str) -> HttpResponseBase:
    """Tell how a task of the caller's stands."""
    return _json(await progress_of(task_id, await asked.caller(request)))


async def group_progress(request: HttpRequest, group_id: str) -> HttpResponseBase:
    """Tell how a group of tasks stands, all of which are the caller's."""
    caller = await asked.caller(request)
    tasks = await _backend().call(lambda _: _tasks_of(group_id))
    if isinstance(tasks, Miss):
        raise Unavailable(f"Expected a result backend that knows groups: {tasks.message}")
    if not tasks:
        raise NotFound(f"Expected the id of a group that was saved, got {group_id}.")
    if len(tasks) > GROUP_MOST:
        raise TooMany(f"Expected a group of at most {GROUP_MOST} tasks, got {len(tasks)}.")
    return _json(await group_progress_of(tasks, caller))


def _tasks_of(group: str) -> list[str]:
    restored = GroupResult.restore(group)
    return [each.id for each in restored.children or ()] if restored else []


@PerLoop
def _backend() -> Threads[None]:
    """Return what asks Celery's result backend, which blocks."""
    nothing = lambda *_: None  # noqa: E731 (Celery has links of its own)
    return Threads("Celery's result backend", nothing, nothing, nothing, most=4, timeout=_WITHIN)


def _json(told: object) -> HttpResponse:
    return HttpResponse(
        msgspec.json.encode(told), content_type="application/json", headers={"Cache-Control": "no-store"}
    )


get_progress = route(GET=progress)
get_group_progress = route(GET=group_progress)
