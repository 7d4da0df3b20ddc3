"""The URLs of a site with pages of its own, plain ones, that use the template tags."""

from __future__ import annotations

import time
import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template import RequestContext, Template
from django.urls import path
from django.utils import translation

from config import urls
from progrock.access import ensure_owner
from progrock.protocol import Failure, Snapshot, State

PAGE = """{% load progrock static %}<!doctype html>
<html lang="{{ lang }}" dir="{{ dir }}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><link rel="icon" href="{% static 'rock/icon.svg' %}">
<title>A page</title>
{% progrock_head %}{% if css %}<link rel="stylesheet" href="{% static css %}">{% endif %}</head>
<body><main><h1>A page</h1>{% block content %}{% endblock %}</main></body></html>"""
CONTENT = {
    "states": "{% for each in samples %}{% progrock each journal=True %}<hr>{% endfor %}",
    "jobs": "{% progrock_jobs limit=3 %}",
    "mine": "{% progrock_jobs unfinished=True %}<p><a href='?of=toasts'>Elsewhere</a></p>",
    "toasts": "<p>Something else.</p>{% progrock_toasts %}",
    "notified": "<p>Something else.</p>{% progrock_toasts notify=True %}",
    "all": "{% progrock first journal=True %}{% progrock_jobs limit=3 %}{% progrock_toasts %}",
    "form": """<form method="post" action="{% url 'progrock:jobs' %}">{% csrf_token %}<button>Start</button></form>""",
    "fallback": "{% for each in samples %}{% progrock each %}{% endfor %}",
}


def sample(name: str, state: State, **changes: Any) -> Snapshot:
    """Return a snapshot that may have come this moment."""
    now = int(time.time() * 1000)
    known: dict[str, Any] = {
        "job": str(uuid.uuid5(uuid.NAMESPACE_OID, name)),
        "service": "synth",
        "title": f"{name} — 7/8, 142 bpm",
        "state": state,
        "created": now - 60_000,
        "seq": now * 1000,
        "percent": 42.0,
        "at": now,
        "heard": now,
        "moved": now,
        "due": None if state.complete else now + 600_000,
    }
    return Snapshot(**{**known, **changes})


def samples() -> list[Snapshot]:
    """Return a job in every state, and in every condition that the server can tell of."""
    failure = Failure("vanished", "The studio does not know this track any more.")
    now = int(time.time() * 1000)
    return [
        sample("Waiting", State.PENDING, percent=None),
        sample("Running", State.RUNNING, message="Recording the organ", left=72_000, attempt=2),
        sample("Unknown", State.RUNNING, percent=None, message="Tuning"),
        sample("Retrying", State.RUNNING, misses=3),
        sample("Stalled", State.RUNNING, stalled=True, moved=now - 200_000),
        sample("Quiet", State.RUNNING, due=now - 7_000, heard=now - 12_000),
        sample("Cancelling", State.CANCELLING),
        sample("Done", State.SUCCEEDED, percent=100.0, file="audio/wav"),
        sample("Failed", State.FAILED, error=failure),
        sample("Cancelled", State.CANCELLED),
    ]


def page(request: HttpRequest) -> HttpResponse:
    """Show what the query asks for: `of`, one of CONTENT; `lang`; `css`, a file of ours."""
    # As most sites have it: tabs of one person share a connection.
    ensure_owner(request)
    lang = request.GET.get("lang", "en")
    source = PAGE.replace("{% block content %}{% endblock %}", CONTENT[request.GET.get("of", "all")])
    context = {
        "lang": lang,
        "dir": "rtl" if lang == "ar" else "ltr",
        "css": request.GET.get("css", ""),
        "samples": samples(),
        "first": samples()[1],
    }
    with translation.override(lang):
        return HttpResponse(Template(source).render(RequestContext(request, context)))


urlpatterns = [path("page/", page), *urls.urlpatterns]
