"""What a connection's right to speak for somebody rests on, and whether it still holds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib import import_module
from itertools import islice
from typing import Any

import msgspec
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends import db, file, signed_cookies
from django.db import router
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

SCOPE = "progrock.identity"
"""Where the scope of a connection has its identity, if that comes from no session."""
_MOST = 500
"""How many a query asks for: databases have a most."""


class Identity(msgspec.Struct, frozen=True):
    """What must stay as it is for a connection to go on.

    :param user: primary key; empty if nobody is logged in.
    :param secret: what changes with the user's password.
    :param active: whether the user was active at the beginning: some backends let others in, too.
    :param session: key of the session, empty if the server keeps none.
    :param mark: what the session is called where its key must not be read; empty without one.
    """

    user: str = ""
    secret: str = ""
    active: bool = True
    session: str = ""
    mark: str = ""

    def __repr__(self) -> str:
        # Its other parts are what somebody would need to be this one.
        return f"Identity(user={self.user!r})"


def of_scope(scope: Mapping[str, Any]) -> Identity:
    """Return the identity of a socket, whose session has been read."""
    known = scope.get(SCOPE)
    return known if isinstance(known, Identity) else _identity(scope.get("user"), scope.get("session"))


async def of_request(request: HttpRequest) -> Identity:
    """Return the identity of a request, whose session has been read."""
    return _identity(await request.auser(), getattr(request, "session", None))


def of_user(user: Any, mark: str = "") -> Identity:
    """Return the identity of a user, whatever the session.

    :param mark: of the session that it came from.
    """
    if user is None or not user.is_authenticated:
        return Identity(mark=mark)
    secret = user.get_session_auth_hash() if hasattr(user, "get_session_auth_hash") else ""
    return Identity(str(user.pk), secret, bool(user.is_active), mark=mark)


def over_of(mark: str) -> str:
    """Return by what name it is remembered that the session which is called so in public is over."""
    return f"over:{mark}"


def mark_of(session: Any) -> str:
    """Return what a session is called in public; empty if there is none."""
    key = getattr(session, "session_key", None)
    return salted_hmac("progrock.identity", key, algorithm="sha256").hexdigest() if key else ""


def _identity(user: Any, session: Any) -> Identity:
    whose = of_user(user, mark_of(session))
    if not whose.mark or issubclass(_engine(), signed_cookies.SessionStore):
        return whose
    return msgspec.structs.replace(whose, session=session.session_key)


def gone(identities: Collection[Identity]) -> list[Identity]:
    """Return those that hold no more."""
    users = _users({each.user for each in identities if each.user})
    sessions = _sessions({each.session for each in identities if each.session})
    return [
        each
        for each in identities
        if (each.user and not _holds(each, users.get(each.user))) or (each.session and each.session not in sessions)
    ]


def _holds(identity: Identity, user: Any) -> bool:
    if user is None or (identity.active and not user.is_active):
        return False
    return constant_time_compare(of_user(user).secret, identity.secret)


def _users(keys: Iterable[str]) -> dict[str, Any]:
    """Return the users that there are, by their keys. From where they are written: a copy may be late."""
    model = get_user_model()
    users = model.objects.using(router.db_for_write(model))
    return {str(user.pk): user for some in _some(keys) for user in users.filter(pk__in=some)}


def _sessions(keys: Iterable[str]) -> set[str]:
    """Return the keys of the sessions that there are."""
    engine = _engine()
    if issubclass(engine, db.SessionStore):
        model = engine.get_model_class()
        rows = model.objects.using(router.db_for_write(model)).filter(expire_date__gt=timezone.now())
        asked = (rows.filter(session_key__in=some) for some in _some(keys))
        return {key for some in asked for key in some.values_list("session_key", flat=True)}
    return {key for key in keys if _is_there(engine, key)}


def _is_there(engine: Any, key: str) -> bool:
    store = engine(key)
    # Not by loading it: that takes a cache that is away for one that has forgotten.
    if not store.exists(key):
        return False
    if issubclass(engine, file.SessionStore):
        store.load()  # a file outlives its session
    return bool(store.session_key == key)


def _some(keys: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(keys)
    while some := list(islice(rest, _MOST)):
        yield some


def _engine() -> Any:
    return import_module(settings.SESSION_ENGINE).SessionStore
