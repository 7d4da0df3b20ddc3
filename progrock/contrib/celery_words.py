"""What is said of a Celery task: why it failed, was ended, or is tried again."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from celery.exceptions import Retry

IGNORED = "It was left alone."
REVOKED = {
    "revoked": "It was revoked.",
    "expired": "It expired before a worker came to it.",
    "terminated": "Its worker was told to stop it.",
}
_RETRY = "It is tried again in {} s: {}"
_RETRIED = re.compile(r"It is tried again in (\d+) s: (.*)", re.DOTALL)


def said_by(error: object) -> str:
    """Return the type and the words of an exception."""
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def retried(retry: Retry) -> str:
    """Return when a task is tried again, and why."""
    when = retry.when
    if isinstance(when, datetime):
        when = (when - datetime.now(UTC if when.tzinfo else None)).total_seconds()
    return _RETRY.format(max(0, math.ceil(when or 0)), said_by(retry.exc or retry))


def retry_of(message: str) -> tuple[int, str] | None:
    """Return in how many seconds a task is tried again, and why, if that is what its job's message says."""
    found = _RETRIED.fullmatch(message)
    return (int(found[1]), found[2]) if found else None
