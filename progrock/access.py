"""Whose job it is: a user's, or a browser session's."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from . import registry
from .aside import anywhere
from .delay import StoreAway, door
from .exceptions import Invalid
from .models import primary

logger = logging.getLogger(__name__)

_SESSION_KEY = "progrock.owner"
_PUBLIC_NAME = re.compile(r"[0-9a-f]{16}")


async def owner_of_scope(scope: Mapping[str, Any]) -> str:
    """Return the owner that a connection speaks for.

    One with neither user nor session gets an owner of its own, which ends with it.
    """
    session = scope.get("session")
    token = await session.aget(_SESSION_KEY) if session is not None else None
    return _owner(scope.get("user"), token) or f"socket:{secrets.token_hex(16)}"


async def owner_of_request(request: HttpRequest) -> str | None:
    """Return the owner that a request speaks for; None if it has neither user nor session."""
    return _owner(await request.auser(), await request.session.aget(_SESSION_KEY))


def owner_of(request: HttpRequest) -> str | None:
    """Return the same, where no event loop runs."""
    session = getattr(request, "session", None)
    return _owner(getattr(request, "user", None), session.get(_SESSION_KEY) if session is not None else None)


def owner_text(owner: Any) -> str:
    """Return an owner as jobs have it.

    :param owner: a user, a request of theirs, or an owner as text.
    :raises Invalid: if it is none of these, or nobody.
    """
    if isinstance(owner, str):
        return owner
    # Who asks may be known to a database alone, which no event loop may ask.
    text = anywhere(lambda: owner_of(owner)) if isinstance(owner, HttpRequest) else None
    if text is None and isinstance(owner, AbstractBaseUser) and owner.pk is not None:
        text = _owner(owner, None)
    if text is None:
        raise Invalid(f"owner: expected a user, a request with a user or a session, or a text, got {owner!r:.80}.")
    return text


def public_name(owner: str) -> str:
    """Return a name that is the same on all pages for an owner, and tells nothing of it."""
    return _names(owner)[0]


def _names(owner: str) -> list[str]:
    """Return the owner's public name, and those that pages know which were made before `SECRET_KEY` was changed."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return [salted_hmac("progrock.who", owner, secret=key).hexdigest()[:16] for key in keys]


async def goes_by(name: str, owner: str, session: Any) -> bool:
    """Return whether a page with that public name was made for an owner, or for the session before its login.

    :param session: of the connection, None if there is none.
    """
    if not _PUBLIC_NAME.fullmatch(name):
        return True  # one that a page has made up by itself: nobody here knows whose
    token = await session.aget(_SESSION_KEY) if session is not None else None
    return name in {*_names(owner), *_names(f"session:{token}")}


def session_for(owner: str) -> SessionBase:
    """Return a session that is kept nowhere, and makes whoever has it that owner, if it is a session's."""
    session: SessionBase = import_module(settings.SESSION_ENGINE).SessionStore()
    kind, _, token = owner.partition(":")
    if kind == "session":
        session[_SESSION_KEY] = token
    return session


def ensure_owner(request: HttpRequest) -> None:
    """Make the browser's session an owner, so that its jobs are still its own after a reload."""
    # A token in the session, not the session's key: whoever reads the jobs' table must not be able to take it over.
    if _SESSION_KEY not in request.session:
        request.session[_SESSION_KEY] = secrets.token_hex(16)


def adopt(sender: object, request: HttpRequest, user: Any, **kwargs: Any) -> None:
    """Make the jobs that a browser started before its user logged in that user's. Receives `user_logged_in`."""
    token = request.session.get(_SESSION_KEY)
    before, after = _owner(None, token), _owner(user, token)
    if before is None or after is None:
        return
    jobs = primary().filter(owner=before)
    live = [str(pk) for pk in jobs.filter(finished__isnull=True).values_list("pk", flat=True)]
    with transaction.atomic():
        # A key that the user has used already stays with the job that has it.
        taken = primary().filter(owner=after, key__isnull=False).values("key")
        jobs.filter(key__in=taken).update(key=None)
        jobs.update(owner=after)
    # Their entries carry the owner too, and learn of it from the row at the next step.
    try:
        door(registry.store().nudge, registry.aclose)(live)
    except StoreAway as trouble:
        logger.warning("Jobs learn late whose they are now: %s", trouble)


async def aemail_of(owner: str) -> str:
    """Return an owner's e-mail address; empty if it is no user, one that is not active, or one without."""
    user = await auser_of(owner)
    return str(getattr(user, user.get_email_field_name(), "") or "") if user else ""


async def auser_of(owner: str) -> AbstractBaseUser | None:
    """Return the user that an owner is; None if it is no user, or one that is not active."""
    kind, _, key = owner.partition(":")
    if kind != "user":
        return None
    try:
        return await get_user_model().objects.filter(pk=key, is_active=True).afirst()
    except (ValueError, ValidationError):
        return None


def _owner(user: Any, token: str | None) -> str | None:
    if user is not None and user.is_authenticated:
        return f"user:{user.pk}"
    return f"session:{token}" if token else None
