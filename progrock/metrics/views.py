"""`/healthz`, `/readyz` and `/metrics` of a web process; wired into the project by :func:`urls`."""

from __future__ import annotations

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.views.decorators.http import require_safe

from .guard import shows_token
from .prometheus import TYPE, page
from .readiness import ready, told

_PLAIN = "text/plain; charset=utf-8"


@require_safe
async def healthz(request: HttpRequest) -> HttpResponseBase:
    """Say that this process answers."""
    return _answer("ok\n")


@require_safe
async def readyz(request: HttpRequest) -> HttpResponseBase:
    """Say whether what this process needs answers, or what does not."""
    wrong = await ready()
    return _answer(told(wrong), 503 if wrong else 200)


@require_safe
async def metrics(request: HttpRequest) -> HttpResponseBase:
    """Say what was counted, to who has the token, and to staff."""
    if not (shows_token(request.headers.get("Authorization", "")) or await _is_staff(request)):
        response = _answer("Expected the METRICS_TOKEN of the settings as a bearer, or a session of staff.\n", 401)
        response["WWW-Authenticate"] = "Bearer"
        return response
    return _answer(await page(), kind=TYPE)


def urls() -> list[URLPattern]:
    """Return the routes, for the top of a project's `urlpatterns`."""
    return [path("healthz", healthz), path("readyz", readyz), path("metrics", metrics)]


async def _is_staff(request: HttpRequest) -> bool:
    if not hasattr(request, "auser"):
        return False
    try:
        user = await request.auser()
    except DatabaseError:
        return False  # whose session it is cannot be said now; a token can always be
    return bool(user.is_active and getattr(user, "is_staff", False))


def _answer(text: str, status: int = 200, kind: str = _PLAIN) -> HttpResponse:
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return HttpResponse(text, status=status, content_type=kind, headers=headers)
