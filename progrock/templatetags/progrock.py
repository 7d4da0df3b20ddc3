"""Template tags that put the elements into a page: with their words, and with what is known of the jobs already."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from django import template
from django.http import HttpRequest
from django.template.context import Context
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext

from .. import jobs, protocol, registry, standing
from ..access import owner_of, public_name
from ..caller import Caller, caller_of
from ..delay import door
from ..exceptions import Refused
from ..models import Job
from ..protocol import Snapshot
from ..words import STATES, translations

R = TypeVar("R")
register = template.Library()

MOST = 50
"""How many jobs are put into a page."""
# What would end the script, or begin a comment in it; the rest of JSON means nothing to an HTML parser.
_INERT = {ord(">"): "\\u003E", ord("<"): "\\u003C", ord("&"): "\\u0026"}


@register.simple_tag(takes_context=True)
def progrock_head(context: Context) -> SafeString:
    """Put what the elements need into the head: their module, their words, the token that a POST has to carry, and a
    name for whom the page is made for, whose tabs share one connection."""
    names = {"csrf-token": context.get("csrf_token"), "progrock-who": _who(context)}
    metas = format_html_join(
        "", '<meta name="{}" content="{}">', ((name, text) for name, text in names.items() if text)
    )
    module = format_html('<script type="module" src="{}"></script>', static("progrock/elements.js"))
    return format_html("{}{}{}", metas, progrock_words(), module)


@register.simple_tag
def progrock_words() -> SafeString:
    """Put the words of the active language into the page: a block of JSON, which no policy takes for a script."""
    text = protocol.to_json(translations()).translate(_INERT)
    return format_html(
        '<script type="application/json" id="progrock-words" lang="{}">{}</script>',
        get_language() or "",
        SafeString(text),
    )


@register.simple_tag(takes_context=True)
def progrock(context: Context, job: Snapshot | Job | uuid.UUID | str, **attributes: Any) -> SafeString:
    """Put a job into the page, with its first snapshot, and readable without JavaScript.

    An id is that of a job of whom the page is made for. Where an event loop runs, nothing can be asked for: give a
    snapshot, `await jobs.aget(…)`, or the element has to ask.

    :param job: a snapshot, a row, or an id.
    :param attributes: of the element, `journal=True` for one; underscores become hyphens.
    """
    return _element(_snapshot_of(context, job), _id_of(job), attributes)


@register.simple_tag(takes_context=True)
def progrock_jobs(context: Context, snapshots: Iterable[Snapshot | Job] | None = None, **attributes: Any) -> SafeString:
    """Put the newest jobs of whom the page is made for into it, or those given; `unfinished=True`: those that run.

    :param snapshots: what to show, newest first; without it they are asked for, as with an id.
    :param attributes: of the element; `limit`, at most 50, is how many.
    """
    limit = min(int(attributes.get("limit") or MOST), MOST)
    if snapshots is None:
        caller = _caller_of(context)
        mine: Sequence[Snapshot] = (caller and _ask(lambda: _list(caller))) or []
    else:
        mine = [each if isinstance(each, Snapshot) else standing.snapshot_of(each) for each in snapshots]
    retried = {each.retry_of for each in mine}
    shown = [each for each in mine if each.job not in retried and not (attributes.get("unfinished") and each.complete)][
        :limit
    ]
    passed = {"journal": attributes.get("journal")}
    rows = format_html_join("", "{}", ((_element(each, each.job, {**passed, "role": "listitem"}),) for each in shown))
    role = {"role": "list"} if shown else {}
    given = _attributes({"src": _endpoint(), **role, **attributes})
    return format_html("<prog-rock-jobs{}>{}</prog-rock-jobs>", given, rows)


@register.simple_tag
def progrock_toasts(**attributes: Any) -> SafeString:
    """Put into the page what tells of jobs that nobody is looking at; `notify=True`: with notifications, if allowed."""
    return format_html("<prog-rock-toasts{}></prog-rock-toasts>", _attributes({"src": _endpoint(), **attributes}))


def _element(snapshot: Snapshot | None, job: str, attributes: dict[str, Any]) -> SafeString:
    given: dict[str, Any] = {"job": job, "src": _endpoint()}
    if snapshot is not None:
        # As a watch would be answered, so that the ages in it can be told.
        given["snapshot"] = protocol.answer_frame("snapshot", snapshot, int(time.time() * 1000), None)
    return format_html("<prog-rock{}>{}</prog-rock>", _attributes({**given, **attributes}), _fallback(snapshot, job))


def _fallback(snapshot: Snapshot | None, job: str) -> SafeString:
    """Return what is seen without JavaScript, and until it has come."""
    page = _link("job", job, gettext("See how it goes"))
    if snapshot is None:
        return format_html("<p>{}</p>", page)
    known = snapshot.percent is not None or snapshot.complete
    value = format_html(' value="{}"', snapshot.progress) if known else ""
    bar = "" if snapshot.complete else format_html(' <progress max="100"{}></progress>', value)
    title = format_html("<label><strong><bdi>{}</bdi></strong>{}</label><br>", snapshot.title or snapshot.service, bar)
    reason = snapshot.error.message if snapshot.error else snapshot.message
    words = format_html("{} <bdi>{}</bdi>", gettext(STATES[snapshot.state]), reason)
    link = _link("file", job, gettext("Open the file")) if snapshot.file else page
    return format_html("<p>{} {} {}</p>", title, words, link)


def _attributes(attributes: dict[str, Any]) -> SafeString:
    """Return attributes as HTML: true is one without a value, false and None are none."""
    kept = [(name.replace("_", "-"), value) for name, value in attributes.items() if value not in (None, False)]
    return format_html_join("", ' {}="{}"', ((name, "" if value is True else value) for name, value in kept))


def _snapshot_of(context: Context, job: Snapshot | Job | uuid.UUID | str) -> Snapshot | None:
    if isinstance(job, Snapshot):
        return job
    if isinstance(job, Job):
        # A row of a job that is not over knows little: what is going on is in the schedule.
        key, owner = str(job.pk), job.owner
        return (
            standing.snapshot_of(job)
            if job.finished
            else _ask(lambda: jobs.get(key, owner=owner)) or standing.snapshot_of(job)
        )
    wanted, caller = str(job), _caller_of(context)
    return _ask(lambda: _get(caller, wanted)) if caller else None


def _id_of(job: Snapshot | Job | uuid.UUID | str) -> str:
    if isinstance(job, Snapshot):
        return job.job
    return str(job.pk if isinstance(job, Job) else job)


def _owner_of(context: Context) -> str | None:
    request = context.get("request")
    return owner_of(request) if isinstance(request, HttpRequest) and not _in_loop() else None


def _caller_of(context: Context) -> Caller | None:
    """Return whom the page is made for; None if nobody is known, or can be asked."""
    return caller_of(context["request"]) if _owner_of(context) else None


async def _alist(caller: Caller) -> list[Snapshot]:
    return (await caller.page())[0]


_list = door(_alist, registry.aclose)
_get = door(Caller.get, registry.aclose)


def _who(context: Context) -> str:
    """Return the public name of whom the page is made for."""
    owner = _owner_of(context)
    return public_name(owner) if owner else ""


def _ask(question: Callable[[], R]) -> R | None:
    """Return the answer; None if there is none now, or no way to wait for it: the element asks by itself."""
    if _in_loop():
        return None
    try:
        return question()
    except Refused:
        return None


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _endpoint() -> str:
    """Return the path at which the project has the websocket and `progrock.urls`."""
    try:
        return reverse("progrock:file", args=[uuid.UUID(int=0)]).removesuffix(f"jobs/{uuid.UUID(int=0)}/file")
    except NoReverseMatch:
        return "/prog/"


def _link(name: str, job: str, words: str) -> SafeString:
    try:
        return format_html('<a href="{}">{}</a>', reverse(f"progrock:{name}", args=[job]), words)
    except NoReverseMatch:
        return SafeString("")
