"""What is refused over HTTP, said as a problem (RFC 9457), or to a person as a page."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from django.http import HttpRequest, HttpResponse

from ..exceptions import Refused, TooMany
from ..protocol import error_frame
from .page import shown, wants_page

MEDIA_TYPE = "application/problem+json"


class NoSuchMethod(Refused):
    """A method that the URL does not have."""

    code = "no_such_method"


class TooLong(Refused):
    """A body that is longer than anything we take."""

    code = "too_long"


class OtherType(Refused):
    """A body of a media type that we do not take."""

    code = "other_type"


class NotSucceeded(Refused):
    """A job that ended without a result has none."""

    code = "not_succeeded"


STATUS = {
    "bad_frame": 400,
    "invalid": 400,
    "bad_token": 401,
    "signed_out": 401,
    "forbidden": 403,
    "not_found": 404,
    "no_such_method": 405,
    "not_complete": 409,
    "not_succeeded": 409,
    "too_long": 413,
    "other_type": 415,
    "unknown_service": 422,
    "invalid_params": 422,
    "too_many": 429,
    "unavailable": 503,
}
"""The status of each code; those of the protocol, and those above."""
RETRY_AFTER = {"unavailable": 5}
"""Seconds after which it is worth while to try again."""


class Problem(msgspec.Struct, frozen=True):
    """A problem, as RFC 9457 has it.

    :param title: what the status means.
    :param detail: what was expected and what came.
    :param code: as in the protocol's `error` frame.
    """

    title: str
    status: int
    detail: str
    code: str
    type: str = "about:blank"


async def problem(request: HttpRequest, refusal: Refused, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """Return the answer to a request that is refused."""
    status = STATUS.get(refusal.code, 400)
    told = Problem(HTTPStatus(status).phrase, status, str(refusal), refusal.code)
    if wants_page(request):
        response = await shown(request, "problem", {"problem": told}, status=status)
    else:
        response = HttpResponse(msgspec.json.encode(told), content_type=MEDIA_TYPE, status=status)
    if status == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = "Bearer"
    after = refusal.after if isinstance(refusal, TooMany) else RETRY_AFTER.get(refusal.code)
    if after is not None:
        response["Retry-After"] = str(after)
    for name, value in (headers or {}).items():
        response[name] = value
    response["Cache-Control"] = "no-store"
    return response


def frame(refusal: Refused, **about: str) -> str:
    """Return the `error` frame that says in a stream what is refused, and of which `job` or `channel`."""
    return error_frame(refusal.code, str(refusal), None, **about)
