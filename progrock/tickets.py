"""Tickets: for a socket of somebody's where no cookie goes, good for half a minute, and once."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from django.contrib.auth.base_user import AbstractBaseUser
from django.core import signing
from django.utils.crypto import constant_time_compare, salted_hmac

from . import registry
from .access import auser_of, owner_text
from .delay import StoreAway
from .exceptions import BadToken, Invalid, Unavailable
from .identity import Identity, of_user, over_of

LIFE = 30
"""Seconds."""
SCOPE = "progrock.ticket"
"""Where the scope of a socket has its ticket, once that has been taken."""
SOCKET = "socket"
"""What tickets are for. One for something else is none."""
_LENGTH_MOST = 1_000
_REMEMBERED = 2 * LIFE * 1_000
"""Milliseconds for which a ticket that was used is remembered: the clocks of web servers differ."""


class Ticket(msgspec.Struct, frozen=True):
    """What is said in one.

    :param id: its own.
    :param owner: for whom it speaks.
    :param proof: what changes with the user's password; empty if the owner is no user.
    :param mark: of the session that it was made in; empty without one.
    """

    id: str
    owner: str
    proof: str
    mark: str


def ticket_for(user: Any, *, purpose: str = SOCKET) -> str:
    """Return a ticket for a user, to be handed to a client of theirs: `wss://…/prog/?ticket=…`.

    :param user: who is logged in at the client, as your code knows.
    :param purpose: what it is for.
    :raises Invalid: if that is no user.
    """
    if not isinstance(user, AbstractBaseUser):
        raise Invalid(f"user: expected one who can log in, got {user!r:.80}.")
    return make(owner_text(user), of_user(user), purpose)


def make(owner: str, identity: Identity, purpose: str = SOCKET) -> str:
    """Return a ticket for an owner.

    :param identity: of the connection on which it is asked for: the socket ends with it.
    """
    proof = _proof(identity) if identity.user else ""
    fields = msgspec.structs.astuple(Ticket(secrets.token_urlsafe(16), owner, proof, identity.mark))
    return signing.dumps(fields, salt=_salt(purpose))


async def redeem(text: str, purpose: str = SOCKET) -> Ticket:
    """Take a ticket, which is none any more after that.

    :raises BadToken: if it is none: not made here, not for this, too old, or taken before.
    :raises Unavailable: if that cannot be asked now.
    """
    try:
        fields = signing.loads(text[:_LENGTH_MOST], salt=_salt(purpose), max_age=LIFE)
        ticket = msgspec.convert(fields, tuple[str, str, str, str])
    except (signing.BadSignature, msgspec.ValidationError):
        raise BadToken(f"Expected a ticket made here for a {purpose} at most {LIFE} s ago, got another.") from None
    try:
        first = await registry.once(f"ticket:{ticket[0]}", _REMEMBERED)
    except StoreAway as error:
        raise Unavailable(f"Whether a ticket was used before cannot be asked now: {error}") from error
    if not first:
        raise BadToken("Expected a ticket that was not used before, got one that was.")
    return Ticket(*ticket)


async def identity_of(ticket: Ticket) -> tuple[Any, Identity]:
    """Return the user that a ticket speaks for, None if it is a session, and what its connection rests on.

    :raises BadToken: if the user is not what they were when it was made, or has signed out since.
    :raises Unavailable: if that cannot be asked now.
    """
    try:
        over = bool(ticket.mark) and await registry.remembered(over_of(ticket.mark))
    except StoreAway as error:
        raise Unavailable(f"Whether a ticket's session is over cannot be asked now: {error}") from error
    if over:
        raise BadToken("Expected a ticket of a session that goes on, got one of a session that is over.")
    if not ticket.proof:
        return None, Identity(mark=ticket.mark)
    user = await auser_of(ticket.owner)
    identity = of_user(user, ticket.mark)
    if user is None or not constant_time_compare(_proof(identity), ticket.proof):
        raise BadToken("Expected a ticket of a user who may log in, got one whose password or account has changed.")
    return user, identity


def _proof(identity: Identity) -> str:
    # Not the secret itself: a ticket can be read.
    return salted_hmac("progrock.ticket.proof", f"{identity.user} {identity.secret}", algorithm="sha256").hexdigest()


def _salt(purpose: str) -> str:
    return f"progrock.ticket.{purpose}"
