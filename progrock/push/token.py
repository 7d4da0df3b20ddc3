"""Signed tokens, with which programs that are not ours report over HTTP."""

from __future__ import annotations

import uuid
from typing import Any

from django.core import signing

from ..access import owner_text
from ..exceptions import BadToken
from ..standing import key_of
from ..terms import check_owner

_REPORT = "progrock.push.report"
_CREATE = "progrock.push.create"
AGE = 30 * 86_400
"""Seconds for which a token is good."""


def token_for(job: str | uuid.UUID) -> str:
    """Return the token with which one job is reported on, for thirty days.

    :raises NotFound: if it is no id of a job.
    """
    return signing.dumps(key_of(job), salt=_REPORT)


def token_to_create(owner: Any) -> str:
    """Return the token with which jobs of one owner are created, for thirty days.

    :param owner: a user, a request, or an owner as text.
    :raises Invalid: if it is none.
    """
    text = owner_text(owner)
    check_owner(text)
    return signing.dumps(text, salt=_CREATE)


def job_of_token(token: str) -> str:
    """Return the id of the job that a token is for.

    :raises BadToken: if it is none.
    """
    return _loads(token, _REPORT)


def owner_of_token(token: str) -> str:
    """Return the owner whose jobs a token creates.

    :raises BadToken: if it is none.
    """
    return _loads(token, _CREATE)


def _loads(token: str, salt: str) -> str:
    try:
        said = signing.loads(token, salt=salt, max_age=AGE)
    except (signing.BadSignature, ValueError):
        said = None
    if not isinstance(said, str):
        raise BadToken("Expected a token that was made for this, less than 30 days ago; got another.")
    return said
