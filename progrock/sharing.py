"""Share links: whoever has one may watch one job, and do nothing else, until it ends."""

from __future__ import annotations

import time
import uuid
from typing import NamedTuple

from django.core import signing

from . import jobs, registry, standing
from .delay import door
from .exceptions import Invalid, NotFound

SHARE = "share"
"""The key of a query that has a share link's token."""
SECONDS = 7 * 86_400
"""For how long a link is good if nobody says."""
SECONDS_MOST = 90 * 86_400
NOTHING = "-"
"""The job of a link that is none, or over: no job has this id."""
TOKEN_MOST = 300
_SALT = "progrock.share"


class Share(NamedTuple):
    """What a link says: which job, and until when, in whole seconds since 1970."""

    job: str
    until: int


def check_seconds(seconds: object) -> None:
    """Refuse what is no time that a link may be good for.

    :raises Invalid: saying what was expected and what came.
    """
    if not (type(seconds) is int and 0 < seconds <= SECONDS_MOST):
        raise Invalid(f"seconds: expected a whole number from 1 to {SECONDS_MOST}, got {seconds!a:.40}.")


async def ashare(job: str | uuid.UUID, *, owner: str, seconds: int = SECONDS) -> str:
    """Return a token with which anybody may watch a job, at `shared/<token>/` or as `?share=` on other routes.

    It cannot be taken back before it ends, but by another `SECRET_KEY`, or a class of rights that says no.

    :param owner: whose job it is.
    :param seconds: for how long, up to ninety days.
    :raises Invalid: if that is no such time.
    :raises NotFound: if there is no such job, or it is somebody else's.
    :raises Unavailable: if the database is away.
    """
    check_seconds(seconds)
    snapshot = await jobs.aget(job, owner=owner)
    return signing.dumps([snapshot.job, int(time.time()) + seconds], salt=_SALT)


share = door(ashare, registry.aclose)


def read(token: str) -> Share:
    """Return what a link's token says.

    :raises NotFound: if it was not made here, or is over: the two are not told apart.
    """
    try:
        if len(token) > TOKEN_MOST:
            raise ValueError
        job, until = signing.loads(token, salt=_SALT)
        if until <= time.time():
            raise ValueError
        return Share(standing.key_of(job), int(until))
    except (signing.BadSignature, ValueError, TypeError, NotFound):
        raise NotFound("Expected a share link that is still good, got another.") from None
