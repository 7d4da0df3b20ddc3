"""What a process counts of jobs, calls and clients; no label ever comes from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from .delay.counts import Counter, Gauge, Histogram
from .exceptions import Refused

STEPS = Histogram("progrock_step_seconds", "How long a step took, its remote call included.", "service", "outcome")
CALLS = Histogram("progrock_call_seconds", "How long a call to a service took.", "service", "outcome")
REPLIES = Counter("progrock_http_replies_total", "Replies of services over HTTP.", "service", "status")
STARTED = Counter("progrock_jobs_started_total", "Jobs that were started.", "service")
REFUSED = Counter("progrock_starts_refused_total", "Starts that were refused, by the protocol's code.", "code")
ENDED = Counter("progrock_jobs_ended_total", "Jobs that ended.", "service", "state")
SOCKETS = Gauge("progrock_sockets", "Websockets that are open.")
SENT = Counter("progrock_updates_sent_total", "Updates that were taken to be sent to a client, on any transport.")
OVERTAKEN = Counter("progrock_updates_overtaken_total", "Updates that a newer one has replaced before they were sent.")

OTHER = "other"
"""What stands for a service that is not in the settings, and for a status that is none."""

asking: ContextVar[str] = ContextVar("progrock_asking", default=OTHER)
"""The service that is being called, as a label: a client does not know the name of whose it is."""


def replied(status: int) -> None:
    """Count a reply of the service that is being called.

    :param status: of HTTP, as it came.
    """
    REPLIES.add(asking.get(), str(status) if 100 <= status <= 599 else OTHER)


@asynccontextmanager
async def refusals() -> AsyncIterator[None]:
    """Count a start that is refused inside; decorates what starts."""
    try:
        yield
    except Refused as refusal:
        REFUSED.add(refusal.code)
        raise
