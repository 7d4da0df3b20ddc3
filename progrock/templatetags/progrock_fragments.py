"""The template tag that puts rows of a job into a page: those that there are, and for htmx what brings the others."""

from __future__ import annotations

import secrets
import uuid

from django import template
from django.template.context import Context
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from .. import registry, standing
from ..caller import Caller, trusted
from ..delay import door
from ..fragments import Rows, signed
from ..fragments.cursor import NOTHING, Cursor
from ..fragments.rows import SWAPS, TEMPLATE, Mode
from ..fragments.view import field
from ..models import Job
from ..protocol import Line, Snapshot
from .progrock import _ask, _caller_of, _id_of, _snapshot_of

register = template.Library()

EVERY_MOST = 3_600
ELEMENTS = ("div", "section", "ul", "ol")


@register.simple_tag(takes_context=True)
def fragments(
    context: Context,
    job: Snapshot | Job | uuid.UUID | str,
    template_name: str = TEMPLATE,
    mode: Mode = "append",
    every: int | None = None,
    element: str = "div",
    target: str = "",
    url: str = "",
) -> SafeString:
    """Put the rows of a job into the page, and what brings the others: htmx' event streams, or its polling.

    :param job: a snapshot, a row, or an id.
    :param template_name: the template of one row.
    :param mode: `append`, `newest` or `replace`.
    :param every: seconds between two polls; without it, a stream.
    :param element: what the rows are in.
    :param target: the id of an element of the page's own that the rows go into, empty as yet; there is no other then.
    :param url: where a view of the project's has them; without it, where `progrock.urls` has.
    :raises ValueError: if an argument is none of these.
    """
    rows = Rows(template_name, mode).checked()
    if every is not None and not (isinstance(every, int) and 1 <= every <= EVERY_MOST):
        raise ValueError(f"every: expected whole seconds from 1 to {EVERY_MOST}, got {every!r}")
    if element not in ELEMENTS:
        raise ValueError(f"element: expected one of {', '.join(ELEMENTS)}, got {element!r}")
    key = standing.key_of(_id_of(job))
    if not url:
        url = f"{reverse('progrock:fragments', args=[key])}?show={signed(key, rows)}"
    # A page may show a job twice.
    name = f"rows-{secrets.token_hex(4)}"
    if target:
        return _feed(name, f"#{target}", url, rows, every, NOTHING)
    snapshot, lines = _so_far(context, job)
    made = rows.each(key, lines)
    text = mark_safe(rows.together(made))  # noqa: S308 (the template has escaped what there was to)
    kept = format_html('<{0} id="{1}">{2}</{0}>', element, name, text)
    if snapshot is not None and snapshot.complete and (lines or not snapshot.lines):
        return kept
    cursor = Cursor(snapshot.seq, lines[-1].n) if snapshot is not None and lines else NOTHING
    return kept + _feed(f"{name}-feed", f"#{name}", url, rows, every, cursor)


def _so_far(context: Context, job: Snapshot | Job | uuid.UUID | str) -> tuple[Snapshot | None, list[Line]]:
    """Return how the job stands, and its lines; None and none of them if nobody can be asked now."""
    # The snapshot first: what it counts is in then.
    snapshot, caller = _snapshot_of(context, job), trusted(job.owner) if isinstance(job, Job) else _caller_of(context)
    if snapshot is None or caller is None:
        return snapshot, []
    key = snapshot.job
    return snapshot, list(_ask(lambda: _journal(caller, key)) or [])


_journal = door(Caller.journal, registry.aclose)


def _feed(name: str, target: str, url: str, rows: Rows, every: int | None, cursor: Cursor) -> SafeString:
    swap = SWAPS[rows.mode]
    if every is not None:
        return format_html(
            '{}<div id="{}" hx-get="{}" hx-include="#{}-cursor" hx-trigger="load, every {}s"'
            ' hx-target="{}" hx-swap="{}"></div>',
            field(f"{name}-cursor", cursor), name, url, name, every, target, swap,
        )  # fmt: skip
    # No cursor in the address: htmx may come back with the same one, and would be given again what came since.
    return format_html(
        '<div id="{0}" hx-ext="sse" sse-connect="{1}">'
        '<i sse-swap="reset" hx-target="{2}" hx-swap="innerHTML"></i>'
        '<i sse-swap="message" hx-target="{2}" hx-swap="{3}"></i>'
        '<i sse-swap="close" hx-target="#{0}" hx-swap="delete"></i></div>',
        name, url, target, swap,
    )  # fmt: skip
