"""Whose job it is: a user's, or a browser session's."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from django.utils.crypto import salted_hmac


def owner_of_scope(scope: Mapping[str, Any]) -> str:
    """Return the owner that a connection speaks for.

    One with neither user nor session gets an owner of its own, which ends with it.
    """
    session = scope.get("session")
    key = session.session_key if session is not None else None
    return _owner(scope.get("user"), key) or f"socket:{secrets.token_hex(16)}"


async def aowner_of_request(request: HttpRequest) -> str | None:
    """Return the owner that a request speaks for; None if it has neither user nor session."""
    return _owner(await request.auser(), request.session.session_key)


def ensure_session(request: HttpRequest) -> None:
    """Give the browser a session, so that its jobs are still its own after a reload."""
    # A cookie may outlive its session: only reading it tells, and then forgets the key.
    request.session.get("")
    if not request.session.session_key:
        request.session.create()


def _owner(user: Any, session_key: str | None) -> str | None:
    if user is not None and user.is_authenticated:
        return f"user:{user.pk}"
    if session_key:
        # Not the key itself: whoever reads the table must not be able to take over the session.
        return "session:" + salted_hmac("progrock.owner", session_key, algorithm="sha256").hexdigest()[:40]
    return None
