"""What is asked for by plain HTTP: the finished file."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from . import registry
from .access import owner_of_request
from .exceptions import UnknownService
from .models import primary
from .step import Miss

_CONDITIONS = ("Range", "If-Range", "If-None-Match", "If-Modified-Since")


@require_safe
async def file(request: HttpRequest, job: uuid.UUID) -> HttpResponseBase:
    """Stream a job's finished file through, ranges kept, to its owner and nobody else."""
    owner = await owner_of_request(request)
    row = await primary().filter(pk=job, owner=owner, file__isnull=False).afirst() if owner else None
    if row is None:
        return _plain(404, "There is no such file, or it is not yours.")
    asked = {name: request.headers[name] for name in _CONDITIONS if name in request.headers}
    try:
        opened = await registry.service(row.service).open(row.remote, asked)
    except UnknownService:
        return _plain(410, "The service that had this file is not set up here any more.")
    if isinstance(opened, Miss):
        return _plain(410 if opened.code == "vanished" else 502, opened.message)
    response = StreamingHttpResponse(opened.body, status=opened.status, headers=dict(opened.headers))
    # What the service calls its file decides nothing about what a browser may do with it.
    response["Content-Type"] = str(row.file)
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["Cache-Control"] = "private, max-age=3600"
    return response


def _plain(status: int, text: str) -> HttpResponse:
    return HttpResponse(text + "\n", status=status, content_type="text/plain; charset=utf-8")
