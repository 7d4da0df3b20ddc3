"""Who speaks on a socket, in its scope: by the cookie of a session, or by a ticket."""

from __future__ import annotations

import logging
from typing import Any

from channels.auth import AuthMiddleware
from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model, load_backend
from django.contrib.auth.models import AnonymousUser
from django.utils.crypto import constant_time_compare

from . import identity, tickets
from .access import owner_of_scope, session_for
from .delay import trouble
from .exceptions import BadToken, Unavailable
from .origins import Application, Receive, Scope, Send, deny

logger = logging.getLogger(__name__)


class SessionAuth(AuthMiddleware):
    """Channels' own, that takes sessions from before `SECRET_KEY` was changed too, as Django does. Channels' ends them.

    Django makes them new with the next page. A websocket could not: it has no way to say their new cookie.
    """

    async def resolve_scope(self, scope: Scope) -> None:
        """Say in the scope whose session it is."""
        if settings.SECRET_KEY_FALLBACKS and (user := await database_sync_to_async(_user_of_before)(scope["session"])):
            scope["user"] = user
        else:
            await super().resolve_scope(scope)  # type: ignore[no-untyped-call]


def _user_of_before(session: Any) -> Any:
    """Return the user of a session that was signed with a key of before; None if it was not."""
    backend, signed = session.get(BACKEND_SESSION_KEY), session.get(HASH_SESSION_KEY)
    if not signed or backend not in settings.AUTHENTICATION_BACKENDS:
        return None
    key = get_user_model()._meta.pk.to_python(session[SESSION_KEY])  # noqa: SLF001 (that is its name)
    user: Any = load_backend(backend).get_user(key)
    hashes = user.get_session_auth_fallback_hash() if hasattr(user, "get_session_auth_fallback_hash") else ()
    return user if any(constant_time_compare(signed, each) for each in hashes) else None


class TicketAuth:
    """An ASGI application before yours, and behind those that know users by their cookies.

    :param application: yours. Of a socket with a ticket, its scope says what that does. One whose cookies say something
        else is answered 403.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ticket = scope.get(tickets.SCOPE)
        if ticket is not None:
            try:
                scope = await _admitted(scope, ticket)
            except (BadToken, Unavailable) as refusal:
                trouble.say(logger, "A websocket is refused: %s", refusal)
                await deny(receive, send)
                return
        await self._application(scope, receive, send)


async def _admitted(scope: Scope, ticket: tickets.Ticket) -> Scope:
    by_cookie = await owner_of_scope(scope)
    if by_cookie != ticket.owner and not by_cookie.startswith("socket:"):
        raise BadToken("Expected a ticket of whoever is logged in, got somebody else's.")
    user, rests_on = await tickets.identity_of(ticket)
    session = session_for(ticket.owner)
    return {**scope, "user": user or AnonymousUser(), "session": session, identity.SCOPE: rests_on}
