"""Share links: made by whose job it is, and the page that whoever has one sees."""

from __future__ import annotations

from typing import Annotated

import msgspec
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from ..caller import Caller, caller_of_share
from ..exceptions import Invalid
from ..protocol import answer_frame
from ..sharing import SECONDS, SECONDS_MOST, SHARE, read
from . import asked, page, waiting
from .jobs import now
from .route import route


class ShareBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For how many seconds the link is good."""

    seconds: Annotated[int, msgspec.Meta(ge=1, le=SECONDS_MOST)] = SECONDS


class SharedBody(msgspec.Struct, frozen=True):
    """A link: its page, its token, for `share` in other queries, and when it ends, in milliseconds since 1970."""

    url: str
    token: str
    expires: int


async def make(request: HttpRequest, job: str) -> HttpResponseBase:
    """Make a link to a job."""
    caller = await asked.caller(request)
    body = {} if page.wants_page(request) else asked.json_object(request)
    if isinstance(seconds := body.get("seconds"), float) and seconds.is_integer():
        body["seconds"] = int(seconds)  # JSON makes no difference
    try:
        wish = msgspec.convert(body, ShareBody)
    except msgspec.ValidationError as error:
        raise Invalid(f"body: {error}.") from None
    token = await caller.share(job, wish.seconds)
    where = asked.url(request, "shared", token=token)
    if page.wants_page(request):
        return HttpResponseRedirect(where, status=303)
    told = SharedBody(request.build_absolute_uri(where), token, read(token).until * 1000)
    headers = {"Location": where, "Cache-Control": "no-store"}
    return HttpResponse(msgspec.json.encode(told), content_type="application/json", status=201, headers=headers)


async def look(request: HttpRequest, token: str) -> HttpResponseBase:
    """Show the job that a link is to."""
    return await shown(request, await caller_of_share(request, token), token)


async def shown(request: HttpRequest, caller: Caller, token: str) -> HttpResponse:
    """Return the page of a job for who has a link to it, or the same as JSON."""
    answer = await waiting.answer(caller, caller.shared, None, lambda _: True, 0)
    if page.wants_page(request):
        endpoint = asked.url(request, "jobs").removesuffix("jobs/")
        file = asked.url(request, "file", job=caller.shared)
        response = await page.of_shared(request, answer, f"{endpoint}?{SHARE}={token}", f"{file}?{SHARE}={token}")
    else:
        frame = answer_frame("snapshot", answer.snapshot, now(), None, answer.resume, answer.lines)
        response = HttpResponse(frame, content_type="application/json")
    # Its address is all that it takes: it is told to nobody else, and found by nobody.
    response["Referrer-Policy"] = "no-referrer"
    response["X-Robots-Tag"] = "noindex"
    return response


share_of_job = route(POST=make)
# A POST is refused by us in any case: Django would log its path, where the token is.
shared_job = csrf_exempt(route(GET=look))
