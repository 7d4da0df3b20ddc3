"""A ticket for a socket, to whoever asks in their own name."""

from __future__ import annotations

import msgspec
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from .. import tickets
from ..identity import of_request
from . import asked
from .jobs import now
from .route import route


async def ticket(request: HttpRequest) -> HttpResponseBase:
    """Make a ticket."""
    caller = await asked.new_caller(request)
    made = {"ticket": tickets.make(caller.owner, await of_request(request)), "expires": now() + tickets.LIFE * 1_000}
    return HttpResponse(
        msgspec.json.encode(made), content_type="application/json", headers={"Cache-Control": "no-store"}
    )


new_ticket = route(POST=ticket)
