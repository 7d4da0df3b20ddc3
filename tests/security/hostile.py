"""A remote service, a user and a schedule that say nothing but HTML, and a site that shows all of it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import RequestContext, Template
from django.urls import path

from config.settings import *  # noqa: F403
from progrock.protocol import Line, State
from progrock.services import File, Order, Service, Started
from progrock.step import Look, Reading

ROOT_URLCONF = "tests.security.hostile"
EVIL = (
    '"\'><img src=/pwned data-pwned onerror="pwned()"><script data-pwned>pwned()</script></title></style></textarea>'
    "<a href=javascript:pwned() data-pwned>x</a>{{ 7 }}{% now 'c' %}${7}"
)
NAME = "\"'><img src=/pwned data-pwned onerror=pwned()>"
"""The same, as short as the name of a service and a client's key have to be."""
FILE = b"<script>pwned()</script><svg onload='pwned()'></svg>"
PROGROCK = {"SERVICES": {NAME: {"BACKEND": "tests.security.hostile.Hostile"}}, "STORE": "memory://"}
PAGE = """{% load progrock progrock_fragments static %}<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>A page</title><link rel="icon" href="{% static 'rock/icon.svg' %}">
<meta name="htmx-config" content='{"includeIndicatorStyles": false, "allowEval": false}'>{% progrock_head %}
<script src="/files/htmx-2.js"></script><script src="/files/sse-2.js"></script></head>
<body>{% if job %}{% progrock job journal=True %}{% fragments job %}{% endif %}
{% if not bare %}{% progrock_jobs journal=True %}{% endif %}{% progrock_toasts %}</body></html>"""


class Hostile(Service):
    """Says HTML wherever it may say anything; how its jobs end is the last word of their names."""

    def title(self, params: dict[str, Any]) -> str:
        return str(params["title"])

    async def start(self, order: Order) -> Started:
        return Started(f"{NAME} {order.params['how']}", Reading(State.RUNNING, 1, EVIL, EVIL))

    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        return [_said(each) for each in remotes]

    async def cancel(self, remote: str) -> Look:
        return Reading(State.CANCELLED, 42, EVIL, EVIL)

    async def open(self, remote: str, headers: Mapping[str, str]) -> File:
        async def body() -> AsyncGenerator[bytes, None]:
            yield FILE

        return File(200, {"Content-Type": "text/html", "Content-Security-Policy": "script-src *"}, body())

    async def aclose(self) -> None:
        pass


def _said(remote: str) -> Look:
    lines = [Line(EVIL, level, {EVIL: EVIL}) for level in ("info", "error", EVIL)]
    match remote.split()[-1]:
        case "fails":
            return Reading(State.FAILED, 42, EVIL, EVIL, lines=lines)
        case "ends":
            return Reading(State.SUCCEEDED, 100, EVIL, EVIL, {EVIL: [EVIL]}, "text/html", lines=lines)
        case _:
            return Reading(State.RUNNING, 42, EVIL, EVIL, lines=lines)


def begin(request: HttpRequest) -> HttpResponse:
    """Begin jobs of all kinds, for an owner whose name is HTML too, and return their ids."""
    import progrock
    from progrock import jobs
    from progrock.access import owner_of
    from progrock.models import Delivery, Job

    request.session["progrock.owner"] = NAME + secrets.token_hex(4)
    owner = owner_of(request)
    begun = {
        how: jobs.start(NAME, {"title": EVIL, "how": how, EVIL: EVIL}, owner=owner, key=f"{NAME}{how}").job
        for how in ("runs", "fails", "ends")
    }
    with progrock.group(EVIL, owner=owner) as group, group.track(EVIL) as child:
        child.log("info", EVIL)
    row = Job.objects.get(pk=begun["ends"])
    for kind, target in (("webhook", f"https://{EVIL}/"), ("email", EVIL), ("call", EVIL)):
        Delivery.objects.create(
            job=row, kind=kind, target=target, state="failed", error=EVIL, created=row.created, until=row.created
        )
    die()
    return JsonResponse({**begun, "group": group.id})


def die() -> None:
    """Have an entry of another consumer's be given up."""
    from progrock import registry
    from progrock.delay import Dead, Lease, NewEntry, door

    async def given_up() -> None:
        store = registry.store()
        (receipt,) = await store.schedule([NewEntry(EVIL, "evil", EVIL.encode(), 60_000)])
        if receipt is None:
            return  # it was before
        lease = Lease(EVIL, "evil", EVIL.encode(), receipt, receipt, receipt)
        (held,) = await store.renew([lease], 60_000, "evil.1")
        assert held
        assert await store.settle([(held, Dead(EVIL))]) == [True]

    door(given_up, registry.aclose)()


def enter(request: HttpRequest) -> HttpResponse:
    """Let somebody in whose name is HTML, and who may do everything."""
    from django.contrib.auth.models import User

    user, _ = User.objects.get_or_create(username=EVIL[:150], defaults={"is_staff": True, "is_superuser": True})
    login(request, user)
    return HttpResponse("Welcome.")


def again(request: HttpRequest) -> HttpResponse:
    """Try a job again."""
    from progrock import jobs
    from progrock.access import owner_of

    return JsonResponse({"job": jobs.retry(request.GET["job"], owner=str(owner_of(request))).job})


def link(request: HttpRequest) -> HttpResponse:
    """Return a link to a job, for everybody who has it."""
    from progrock.access import owner_of
    from progrock.sharing import share

    return JsonResponse({"token": share(request.GET["job"], owner=str(owner_of(request)))})


def shown(request: HttpRequest) -> HttpResponse:
    """A page of somebody's own, with every tag, or, `bare`, toasts; `raw` is what must not be: all as a job says it."""
    from progrock import jobs
    from progrock.access import owner_of

    if "raw" in request.GET:
        return HttpResponse(f"<!doctype html><title>A mistake</title><body>{EVIL}</body>")
    job = jobs.get(request.GET["job"], owner=str(owner_of(request))) if "job" in request.GET else None
    return HttpResponse(Template(PAGE).render(RequestContext(request, {"job": job, "bare": "bare" in request.GET})))


def __getattr__(name: str) -> Any:
    # Settings are read before apps are there, URLs after: the project's can only be imported then.
    if name == "urlpatterns":
        from config import urls
        from tests.e2e.rows import file

        own = [path(each.__name__, each) for each in (begin, enter, again, link, shown)]
        return [*own, path("files/<str:name>", file), *urls.urlpatterns]
    raise AttributeError(name)
