"""What is asked for by plain HTTP: the finished file; and what is told: that there is something to see of a job."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing

from django.core.exceptions import SuspiciousOperation
from django.db import Error as DatabaseTrouble
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse, UnreadablePostError
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from . import registry, webhooks
from .ask import ref_of_row
from .caller import caller_of_request
from .delay import StoreAway
from .exceptions import NotFound, TooMany, Unavailable, UnknownService
from .hooks import Call
from .http import bounds
from .models import primary
from .services import Elsewhere
from .step import Miss

_ANSWERS: dict[webhooks.Outcome, tuple[int, str]] = {
    # The same whatever came of it: whether there is such a job is nobody's business.
    "heard": (202, "Thank you."),
    "repeated": (202, "Thank you."),
    "unknown": (202, "Thank you."),
    "forged": (401, "This is not signed by whom it should be."),
    "stale": (401, "This was signed too long ago, or is not of today yet."),
    "malformed": (400, "This cannot be read."),
    "too long": (413, "This is too long."),
}
# Django's own bounds, such as a thousand fields in a query: whoever likes goes beyond them, and it logs a traceback.
_BEYOND = (400, "Expected a request within this site's bounds, got one beyond.")
_CONDITIONS = ("Range", "If-Range", "If-None-Match", "If-Modified-Since")


@require_safe
async def file(request: HttpRequest, job: uuid.UUID) -> HttpResponseBase:
    """Stream a job's finished file through, ranges kept, or say where it is, to whom may watch the job."""
    row = await primary().filter(pk=job, file__isnull=False).afirst()
    try:
        caller = await caller_of_request(request)
        if row is None or not await caller.may("watch", ref_of_row(row)):
            raise NotFound
        bounds.look(caller.owner)
    except NotFound:
        return _plain(404, "There is no such file, or it is not yours.")
    except TooMany as refusal:
        return _plain(429, str(refusal))
    except SuspiciousOperation:
        return _plain(*_BEYOND)
    except Unavailable:
        return _plain(503, "Not now. Try again later.")
    given = {name: request.headers.get(name, "") for name in _CONDITIONS}
    asked = {name: value for name, value in given.items() if value and value.isascii() and value.isprintable()}
    if request.method == "HEAD" or "," in asked.get("Range", ""):
        # Several parts come as a body of another type than the file's, and nobody has to send parts.
        asked.pop("Range", None)
    try:
        opened = await registry.service(row.service).open(row.remote, asked)
    except UnknownService:
        return _plain(410, "The service that had this file is not set up here any more.")
    if isinstance(opened, Miss):
        return _plain(410 if opened.code == "vanished" else 502, opened.message)
    if isinstance(opened, Elsewhere):
        # Who has such an address often has the file: it is kept nowhere, and told to nobody else.
        kept_from = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
        return HttpResponseRedirect(opened.url, headers=kept_from)
    if request.method == "HEAD":
        # The server would drop the body, but only once all of it has come.
        await opened.body.aclose()
    response = StreamingHttpResponse(
        _counted(caller.owner, opened.body), status=opened.status, headers=dict(opened.headers)
    )
    # What the service calls its file decides nothing about what a browser may do with it.
    response["Content-Type"] = str(row.file)
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["Cache-Control"] = "private, max-age=3600"
    return response


async def _counted(owner: str, body: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Pass a body on, as one of the answers that are open for an owner."""
    async with aclosing(body) as parts:
        with bounds.room(owner):
            async for part in parts:
                yield part


@csrf_exempt
@require_POST
async def hook(request: HttpRequest, service: str, job: uuid.UUID | None = None) -> HttpResponseBase:
    """Take a webhook: whoever it is from, the service's signature is what counts."""
    declared = registry.hooks().get(service)
    if declared is None:
        return _plain(404, "There is nothing here.")
    try:
        # Not `body`, which reads as much as there is; and a length that is announced may be any.
        body = request.read(declared.most + 1)
    except UnreadablePostError:
        body = b""
    try:
        call = Call(request.headers, request.GET.dict(), body)
        outcome = await webhooks.take(service, call, str(job) if job else None)
    except SuspiciousOperation:
        return _plain(*_BEYOND)
    except (StoreAway, DatabaseTrouble):
        response = _plain(503, "Not now. Try again later.")
        response["Retry-After"] = "5"
        return response
    return _plain(*_ANSWERS[outcome])


def _plain(status: int, text: str) -> HttpResponse:
    return HttpResponse(text + "\n", status=status, content_type="text/plain; charset=utf-8")
