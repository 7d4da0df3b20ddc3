"""Dead entries of the schedule as a page: to look at, to have looked at again, to forget."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import NamedTuple

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from .. import registry
from ..delay import Entry, StoreAway, door
from ..exceptions import Invalid

MOST = 200
"""How many are shown, and acted on at once."""
_AWAY = "Expected a delay store that answers; it does not. Try again later."


class Shown(NamedTuple):
    """A dead entry without its message, in which anything may be.

    :param name: its key, as a form can carry it: in Redis it may be no text.
    """

    name: str
    key: str
    channel: str
    attempt: int
    reason: str


async def _adead() -> tuple[list[Entry], int]:
    store = registry.store()
    return await store.dead(MOST), (await store.status()).dead


async def _arevive(keys: Sequence[str]) -> int:
    return await registry.store().revive(keys)


async def _adrop(keys: Sequence[str]) -> int:
    return await registry.store().bury(keys)


_dead = door(_adead, registry.aclose)
_ACTS = {
    "revive": (door(_arevive, registry.aclose), "due now"),
    "drop": (door(_adrop, registry.aclose), "forgotten"),
}


def page(request: HttpRequest, context: dict[str, object], *, may_act: bool) -> HttpResponse:
    """Show dead entries; act on those that a form names.

    :param context: what every page of the admin has.
    :param may_act: whether the user may do more than look.
    :raises PermissionDenied: if the user wants to and may not.
    """
    if request.method == "POST":
        if not may_act:
            raise PermissionDenied
        try:
            _act(request)
        except (Invalid, StoreAway) as trouble:
            messages.error(request, str(trouble) if isinstance(trouble, Invalid) else _AWAY)
        return HttpResponseRedirect(request.path)
    try:
        entries, count = _dead()
    except StoreAway:
        messages.error(request, _AWAY)
        entries, count = [], 0
    rows = [
        Shown(_name(each.key), _text(each.key), _text(each.channel), each.attempt, _text(each.reason))
        for each in entries
    ]
    context = {**context, "title": "Dead entries", "rows": rows, "count": count, "may_act": may_act}
    return TemplateResponse(request, "admin/progrock/job/dead.html", context)


def _act(request: HttpRequest) -> None:
    named, action = request.POST.getlist("key"), request.POST.get("action", "")
    if action not in _ACTS:
        raise Invalid(f"action: expected one of {', '.join(_ACTS)}, got {action!a:.40}.")
    if not 0 < len(named) <= MOST:
        raise Invalid(f"key: expected 1 to {MOST} of them, got {len(named)}.")
    act, done = _ACTS[action]
    try:
        keys = [binascii.unhexlify(each).decode(errors="surrogateescape") for each in named]
    except ValueError:
        raise Invalid("key: expected those that the page has, got something else.") from None
    messages.success(request, f"{act(keys)} of {len(keys)} entries are {done}.")


def _name(key: str) -> str:
    return key.encode(errors="surrogateescape").hex()


def _text(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
