"""Events: a word to the pages of one user, of a job, or of a channel; at most once, and kept nowhere."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from typing import Any

import msgspec
from django.db import router, transaction

from . import registry, updates
from .access import owner_text
from .delay import door, trouble
from .exceptions import Invalid
from .models import Job
from .protocol import event_frame
from .updates import Event

logger = logging.getLogger(__name__)

ME = "me"
"""What subscribers call the channel of their own: events to a user, or to a browser session."""
NAME_MOST = 200
"""Characters of an event's name."""
DATA_MOST = 10 * 1024
"""Bytes of what an event says, as JSON."""
TO_MOST = 100
"""How many may be told at once."""
TIMEOUT = 2.0
"""Seconds that the channel layer has to take an event."""
_CHANNEL = re.compile(r"[A-Za-z0-9_=@,.;:/+-]{1,100}")
_OWNER = re.compile(r"(?:user|session|socket):.+", re.DOTALL)


async def atrigger(to: Any, name: str, data: Any = None) -> None:
    """Send an event to all pages that have subscribed to it. At once, even in a transaction.

    :param to: whose pages hear it: a user or a request, or `user:<pk>` or another owner's text; the id of a job; or
        `channel:` and a name. Or several of them, at most a hundred.
    :param name: of the event, at most 200 printable characters.
    :param data: any JSON, at most 10 kB of it.
    :raises Invalid: if one of these is something else. That the channel layer is away is logged.
    """
    await _send(_events(to, name, data))


def trigger(to: Any, name: str, data: Any = None) -> None:
    """Send an event from where no event loop runs. In a transaction, it is on its way once that is committed.

    Parameters and refusals are those of :func:`atrigger`.
    """
    events = _events(to, name, data)
    using = router.db_for_write(Job)
    # Asked without connecting: who is in no transaction may have no database.
    if transaction.get_connection(using).in_atomic_block:
        transaction.on_commit(lambda: _send_now(events), using)
    else:
        _send_now(events)


async def _send(events: list[Event]) -> None:
    try:
        async with asyncio.timeout(TIMEOUT):
            await updates.spread(events)
    except Exception as error:
        trouble.say(logger, "%d events are heard by nobody: %r", len(events), error)


_send_now = door(_send, registry.aclose)


def _events(to: Any, name: str, data: Any) -> list[Event]:
    if not isinstance(name, str) or not 0 < len(name) <= NAME_MOST or not name.isprintable():
        raise Invalid(f"event: expected a name of 1 to {NAME_MOST} printable characters, got {name!a:.80}.")
    try:
        body = msgspec.json.encode(data)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Invalid(f"event {name}: expected data that JSON can say, got other ({error}).") from None
    if len(body) > DATA_MOST:
        raise Invalid(f"event {name}: expected at most {DATA_MOST} bytes of JSON, got {len(body)}.")
    several = list(to) if isinstance(to, list | tuple | set | frozenset) else [to]
    if not 0 < len(several) <= TO_MOST:
        raise Invalid(f"event {name}: expected 1 to {TO_MOST} to send it to, got {len(several)}.")
    channels = dict(map(_addressed, several))
    return [Event(topic, event_frame(channel, name, msgspec.Raw(body))) for topic, channel in channels.items()]


def _addressed(to: Any) -> tuple[str, str]:
    """Return the topic of those who are meant, and what they call the channel."""
    text = str(to) if isinstance(to, str | uuid.UUID) else owner_text(to)
    kind, _, name = text.partition(":")
    if kind == "channel":
        return topic_of(check(name), ""), name
    job = job_in(text)
    if job is not None:
        return topic_of(job, ""), job
    if _OWNER.fullmatch(text):
        return text, ME
    raise Invalid(f"Expected a user, 'user:' and a key, the id of a job, or 'channel:' and a name, got {to!a:.80}.")


def check(channel: str) -> str:
    """Return a name that a channel with permission can have.

    :raises Invalid: if it is another.
    """
    if not _CHANNEL.fullmatch(channel) or channel == ME or job_in(channel) is not None:
        says = f"a name of 1 to 100 letters, digits and _=@,.;:/+- that is neither '{ME}' nor the id of a job"
        raise Invalid(f"channel: expected {says}, got {channel!a:.80}.")
    return channel


def topic_of(channel: str, owner: str) -> str:
    """Return the topic of what a subscriber calls its channel.

    :param owner: for whom the subscriber speaks.
    """
    if channel == ME:
        return owner
    return f"channel:{channel}" if job_in(channel) is None else f"job:{channel}"


def job_in(channel: str) -> str | None:
    """Return the key of the job whose id this is, None if it is none."""
    try:
        return str(uuid.UUID(channel))
    except ValueError:
        return None
