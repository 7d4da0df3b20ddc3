"""Jobs that programs do which are not ours, or not in Python: created and reported on with a signed token."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from .. import counts, push
from ..exceptions import BadToken, Invalid
from ..inbox import Report
from ..protocol import DEADLINE_MOST, State
from ..push.said import ended, line
from ..standing import key_of
from . import asked
from .route import route

LINES_MOST = 200
"""Lines in one report."""

B = TypeVar("B")

_Number = Annotated[float, msgspec.Meta(ge=0, le=1e15)]
_Title = Annotated[str, msgspec.Meta(max_length=200)]
_Message = Annotated[str, msgspec.Meta(max_length=500)]


class LineBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line for the job's journal."""

    text: _Message = ""
    level: Literal["debug", "info", "warning", "error"] = "info"
    data: Any = None


class ReportBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a job stands. What is not in it is as it was said before; if there is nothing, that its program is alive.

    With a `state` the job is over, `message` says why, and `result` is what came of it.
    """

    done: _Number | None = None
    total: _Number | None = None
    percent: Annotated[float, msgspec.Meta(ge=0, le=100)] | None = None
    message: _Message | None = None
    title: _Title | None = None
    lines: Annotated[list[LineBody], msgspec.Meta(max_length=LINES_MOST)] = []
    state: Literal["succeeded", "failed", "cancelled"] | None = None
    result: Any = None


class TrackBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A job that a program will do."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    deadline: Annotated[int, msgspec.Meta(ge=1, le=DEADLINE_MOST)] | None = None


class HeardBody(msgspec.Struct, frozen=True):
    """Whether somebody has asked for the job's end, and whether it was over before: then nothing of this counted."""

    cancelled: bool
    over: bool


class TrackedBody(msgspec.Struct, frozen=True):
    """A job that waits for its program: its id, where that reports, and the token that it reports with."""

    job: str
    report: str
    token: str


async def report(request: HttpRequest, job: str) -> HttpResponseBase:
    """Say something of a job."""
    if push.job_of_token(asked.token(request)) != key_of(job):
        raise BadToken("Expected the token of this job, got that of another.")
    body = _body(request, ReportBody)
    said = Report(body.done, body.total, body.percent, body.message, body.title)
    lines = [line(each.level, each.text, each.data) for each in body.lines]
    if body.result is not None and body.state != "succeeded":
        raise Invalid(f"result: expected the state 'succeeded' beside it, got {body.state or 'none'}.")
    end = ended(State(body.state), body.message or "", body.result) if body.state else None
    heard = await push.asay(job, said, lines, end)
    return _json(HeardBody(heard.cancelled, heard.over))


async def create(request: HttpRequest) -> HttpResponseBase:
    """Create a job that the program will do that asks for it."""
    owner = push.owner_of_token(asked.token(request))
    body = _body(request, TrackBody)
    made = push.acreate(body.title, owner=owner, key=body.key, deadline=body.deadline, limited=True)
    async with counts.refusals():
        job = (await made).job
    where = asked.url(request, "report", job=job)
    return _json(TrackedBody(job, where, push.token_for(job)), 201, {"Location": asked.url(request, "job", job=job)})


def _body(request: HttpRequest, kind: type[B]) -> B:
    try:
        return msgspec.convert(asked.json_object(request), kind)
    except msgspec.ValidationError as error:
        raise Invalid(f"body: {error}.") from None


def _json(said: HeardBody | TrackedBody, status: int = 200, headers: dict[str, str] | None = None) -> HttpResponse:
    headers = {**(headers or {}), "Cache-Control": "no-store"}
    return HttpResponse(msgspec.json.encode(said), content_type="application/json", status=status, headers=headers)


# There is no cookie in it that a page of somebody else's could make use of.
report_of_job = csrf_exempt(route(POST=report))
tracked = csrf_exempt(route(POST=create))
