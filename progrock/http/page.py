"""The pages without JavaScript: a job, the caller's jobs, and what was refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.template.loader import render_to_string
from django.utils.translation import gettext

from ..feed import Answer
from ..protocol import Snapshot, State
from ..words import REASONS, STATES

REFRESH = "5"
"""Seconds after which the page of a job that is not over asks again by itself."""
NB = "\u00a0"
"""Between a number and its unit, which belong on one line."""


def wants_page(request: HttpRequest) -> bool:
    """Return whether the caller would rather have a page than JSON: whether it is a browser with somebody in front."""
    return request.get_preferred_type(["application/json", "text/html"]) == "text/html"


def token(request: HttpRequest) -> str:
    """Return the token that a POST needs, and have its cookie sent."""
    return get_token(request)


async def of_job(request: HttpRequest, answer: Answer) -> HttpResponse:
    """Return the page of one job, which comes again by itself until the job is over."""
    snapshot = answer.snapshot
    lines = [{"line": line, "at": moment(line.at)} for line in answer.lines]
    response = await shown(request, "job", {**words(snapshot), "lines": lines})
    if not snapshot.complete:
        response["Refresh"] = REFRESH
    return response


async def of_shared(request: HttpRequest, answer: Answer, src: str, file: str) -> HttpResponse:
    """Return the page of a job for who has a share link, which is live where there is JavaScript.

    :param src: of the element: where the websocket is, with the link's token.
    :param file: where the job's file is, with it.
    """
    lines = [{"line": line, "at": moment(line.at)} for line in answer.lines]
    context = {**words(answer.snapshot), "lines": lines, "src": src, "file": file, "refresh": REFRESH}
    return await shown(request, "shared", context)


async def of_jobs(request: HttpRequest, snapshots: Sequence[Snapshot], following: str | None) -> HttpResponse:
    """Return a page of the caller's jobs.

    :param following: where the next page is.
    """
    return await shown(request, "jobs", {"jobs": [words(each) for each in snapshots], "following": following})


async def shown(request: HttpRequest, name: str, context: Mapping[str, Any], status: int = 200) -> HttpResponse:
    """Return a page made from a template of ours, which a project may replace."""
    # In a thread: a project's own template may well ask who the user is.
    text = await sync_to_async(render_to_string)(f"progrock/{name}.html", context, request)
    return HttpResponse(text, status=status)


def words(snapshot: Snapshot) -> dict[str, Any]:
    """Return what a template needs to tell of a job."""
    return {
        "job": snapshot,
        "state": gettext(STATES[snapshot.state]),
        "created": moment(snapshot.created),
        "left": _left(snapshot),
        "reason": gettext(REASONS.get(snapshot.error.code, "No reason was given.")) if snapshot.error else "",
        "note": snapshot.error.message if snapshot.error else snapshot.message,
        "known": snapshot.percent is not None or snapshot.complete,
        "can_cancel": snapshot.state in (State.PENDING, State.RUNNING),
        "can_retry": snapshot.can_retry and snapshot.state in (State.FAILED, State.CANCELLED),
    }


def moment(milliseconds: int) -> datetime:
    """Return a time of a snapshot's."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _left(snapshot: Snapshot) -> str:
    """Return how much longer it takes, empty if nobody knows."""
    if snapshot.left is None or snapshot.complete or snapshot.state is State.CANCELLING:
        return ""
    if snapshot.left < 1000:
        return gettext("any moment")
    return gettext("about {time} left").format(time=duration(snapshot.left))


def duration(milliseconds: int) -> str:
    """Return a duration as people say it, in at most two units."""
    seconds = round(milliseconds / 1000)
    minutes, hours = seconds // 60, seconds // 3600
    if not minutes:
        return f"{seconds}{NB}s"
    large, rest, units = (hours, minutes % 60, ("h", "min")) if hours else (minutes, seconds % 60, ("min", "s"))
    return f"{large}{NB}{units[0]}" + (f"{NB}{rest}{NB}{units[1]}" if rest else "")
