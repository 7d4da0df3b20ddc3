"""What a request asks for, checked: whose it is, its body, its query, how long it waits."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, cast

import msgspec
from asgiref.sync import sync_to_async
from django.http import HttpRequest, QueryDict, UnreadablePostError
from django.urls import reverse

from .. import quota, registry
from ..access import ensure_owner, goes_by
from ..caller import Caller, caller_of_request
from ..exceptions import BadFrame, Invalid, SignedOut
from ..protocol import SEQ_MOST, Start, parse, parse_object
from .problem import OtherType, TooLong

WAIT_MOST = 30
"""Seconds. Proxies and browsers give up after a minute."""
_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,30})?(e[-+]?\d{1,3})?", re.ASCII | re.IGNORECASE)
_NUMBER = re.compile(r"\d{1,16}", re.ASCII)
_PREFERRED_WAIT = re.compile(r'(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=$|[,;])', re.ASCII | re.IGNORECASE)


async def caller(request: HttpRequest) -> Caller:
    """Return who asks.

    :raises NotFound: if it is by a share link that is not good.
    """
    return await caller_of_request(request)


async def same(request: HttpRequest, owner: str) -> None:
    """See that the page that asks was made for who asks, if it says for whom.

    :raises SignedOut: if it was made for somebody else.
    """
    if "who" in request.GET and not await goes_by(request.GET["who"], owner, request.session):
        raise SignedOut("Expected whom this page was made for, got somebody else: they have logged out.")


async def new_caller(request: HttpRequest) -> Caller:
    """Return who asks; a browser that has no session gets one.

    :raises NotFound: if it is by a share link that is not good.
    :raises TooMany: if too many have got one at its address, lately.
    """
    known = await caller(request)
    if known.shared or not known.owner.startswith("nobody:"):
        return known
    quota.take_of_address(known.address, known.owner)
    await sync_to_async(ensure_owner)(request)
    # What they start now is counted already.
    return replace(await caller(request), address="")


def url(request: HttpRequest, name: str, **parts: str) -> str:
    """Return the path of one of our routes, below where the caller has found us."""
    match = request.resolver_match
    return reverse(f"progrock:{name}", kwargs=parts, current_app=match.namespace if match else None)


def start(request: HttpRequest) -> Start:
    """Return the start that a body asks for, JSON or a form; none at all is a bare start.

    :raises OtherType: if it is neither.
    :raises TooLong: if it is longer than a frame may be.
    :raises BadFrame: if it is no JSON object.
    :raises Invalid: if a key has the wrong type or value, or there are two keys for the same start.
    """
    _check_length(request)
    frame = _form(request.POST) if request.content_type == _FORM else json_object(request)
    key = _key(request.headers.get("Idempotency-Key"))
    if key is not None and frame.get("key") not in (None, key):
        raise Invalid("key: expected the one of the header Idempotency-Key, got another one in the body.")
    if key is not None:
        frame["key"] = key
    return cast("Start", parse(msgspec.json.encode({**frame, "action": "start"}).decode()))


def json_object(request: HttpRequest) -> dict[str, Any]:
    """Return the JSON object that is a request's body; none at all is an empty one.

    :raises OtherType: if it is said to be something else.
    :raises TooLong: if it is longer than a frame may be.
    :raises BadFrame: if it is no JSON object.
    """
    _check_length(request)
    try:
        # Not `body`, which reads as much as there is.
        most = registry.conf().max_frame_bytes
        body = request.read(most + 1)
    except UnreadablePostError:
        raise BadFrame("Expected a JSON object, got a body that broke off.") from None
    if len(body) > most:
        raise TooLong(f"Expected a body of at most {most} bytes, got more.")
    if not body and request.content_type in ("", _JSON):
        return {}
    if request.content_type != _JSON:
        raise OtherType(f"Expected a body of {_JSON} or {_FORM}, got {request.content_type or 'none'!a:.80}.")
    try:
        return parse_object(body.decode())
    except UnicodeDecodeError:
        raise BadFrame("Expected a JSON object, got bytes that are not UTF-8.") from None


def _check_length(request: HttpRequest) -> None:
    length = request.META.get("CONTENT_LENGTH") or ""
    most = registry.conf().max_frame_bytes
    if _NUMBER.fullmatch(length) and int(length) > most:
        raise TooLong(f"Expected a body of at most {most} bytes, got {length}.")


def token(request: HttpRequest) -> str:
    """Return the bearer token of a request (RFC 6750), empty if it has none."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def _form(form: QueryDict) -> dict[str, Any]:
    """Return what a form asks for: a field that is left empty asks for nothing."""
    params: dict[str, Any] = {}
    for name, values in form.lists():
        filled = [value for value in values if value]
        if filled and name not in ("service", "csrfmiddlewaretoken"):
            params[name] = filled[0] if len(filled) == 1 else filled
    service = form.get("service")
    return {"params": params, **({"service": service} if service else {})}


def _key(header: str | None) -> str | None:
    """Return the key in the header, which may be a quoted string, as RFC 8941 has them."""
    if header is not None and len(header) > 1 and header[0] == header[-1] == '"':
        return header[1:-1]
    return header


def number(request: HttpRequest, name: str, least: int, most: int) -> int | None:
    """Return a whole number of the query, None if it is not given.

    :raises Invalid: if it is none, or out of bounds.
    """
    return whole(name, request.GET[name], least, most) if name in request.GET else None


def whole(name: str, value: str, least: int, most: int) -> int:
    """Return a text as a whole number.

    :param name: of what it is, for people.
    :raises Invalid: if it is none, or out of bounds.
    """
    if not _NUMBER.fullmatch(value) or not least <= int(value) <= most:
        raise Invalid(f"{name}: expected a whole number from {least} to {most}, got {value!a:.40}.")
    return int(value)


def flag(request: HttpRequest, name: str) -> bool:
    """Return a yes or no of the query, no if it is not given.

    :raises Invalid: if it is neither 1 nor 0.
    """
    return number(request, name, 0, 1) == 1


def after(request: HttpRequest) -> int | None:
    """Return the cursor of the query, None if there is none.

    :raises Invalid: if it cannot be one.
    """
    return number(request, "after", 0, SEQ_MOST)


def last_event_id(request: HttpRequest) -> int | None:
    """Return the cursor with which an EventSource comes back, None if there is none, or what there is, is none."""
    value = request.headers.get("Last-Event-ID", "")
    return int(value) if _NUMBER.fullmatch(value) and int(value) <= SEQ_MOST else None


def wait(request: HttpRequest) -> tuple[float, str | None]:
    """Return for how many seconds an answer may be waited for, and the header Preference-Applied if it is by that.

    A preference that cannot be kept is kept as well as it can; a query says what it means.

    :raises Invalid: if the query asks for what is no time, or for too long.
    """
    if "wait" in request.GET:
        value = request.GET["wait"]
        if not _SECONDS.fullmatch(value) or float(value) > WAIT_MOST:
            raise Invalid(f"wait: expected at most {WAIT_MOST} seconds, got {value!a:.40}.")
        return float(value), None
    preferred = _PREFERRED_WAIT.search(request.headers.get("Prefer", ""))
    if preferred is None:
        return 0.0, None
    seconds = min(WAIT_MOST, int(preferred[1]))
    return float(seconds), f"wait={seconds}"
