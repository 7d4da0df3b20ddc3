"""Server-sent events: the frames of one job, resumed where the caller was."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from ..caller import Caller
from ..exceptions import Refused
from ..feed import Feed
from ..identity import Identity, of_request
from ..protocol import answer_frame, update_frame, with_lines
from ..vigil import vigil
from . import asked, bounds
from .jobs import now
from .route import route
from .waiting import feed_of, let_go

MEDIA_TYPE = "text/event-stream"
HEARTBEAT = 15.0
"""Seconds of silence after which a comment is sent: proxies cut off what says nothing, often after a minute."""
LIFE = 600.0
"""Seconds after which a stream ends. Who reads comes back at once, with a cursor; who has stopped reading is let go."""
BYTES_MOST = 4 * 1024 * 1024
"""Bytes after which a stream ends too: a server without flow control keeps what is not read."""
GRACE = 30.0
"""Seconds beyond its life after which a stream that is stuck in sending is broken off."""

Events = Callable[[Feed], AsyncGenerator[str, None]]


async def stream(request: HttpRequest, job: str) -> HttpResponseBase:
    """Stream how a job stands, and its updates until it is over."""
    caller = await asked.caller(request)
    after = asked.last_event_id(request)
    if after is None:
        after = asked.after(request)
    snapshot = await caller.get(job)
    if snapshot.complete and snapshot.seq == after:
        # An EventSource that is told so does not come back.
        return HttpResponse(status=204)

    async def of_the_job(feed: Feed) -> AsyncGenerator[str, None]:
        answer = await feed.watch(snapshot.job, after)
        frame = answer_frame("snapshot", answer.snapshot, now(), None, answer.resume, answer.lines)
        # Without a step that has spoken, or spoken again, there is no cursor; whoever has one keeps it. Nor is there
        # one as long as lines are still to be told.
        yield event(frame, (answer.snapshot.seq or None) if answer.resume else None)
        complete = answer.snapshot.complete
        while not complete:
            fresh = await feed.next(within=HEARTBEAT)
            for each in fresh:
                frame = update_frame([with_lines(each.update.body, each.lines)])
                yield event(frame, None if each.behind else each.update.seq)
                complete = each.update.complete
            for frame in feed.refusals():
                # Who comes back is told the same.
                yield event(frame)
                return
            if not fresh:
                yield SILENCE

    return sent(request, caller, of_the_job)


def event(frame: str, seq: int | None = None) -> str:
    """Return a frame as an event, with the cursor to come back with."""
    return f"data: {frame}\n\n" if seq is None else f"id: {seq}\ndata: {frame}\n\n"


SILENCE = ": \n\n"
"""A comment, which an EventSource keeps to itself."""


SIGNED_OUT = "event: signed-out\ndata: {}\n\n"
"""The last one of a stream whose session ended. By its name, so that it is taken for no frame, and for no row."""


def sent(request: HttpRequest, caller: Caller, events: Events) -> HttpResponseBase:
    """Return the response that sends events as long as they come, within bounds.

    :param events: makes them from a feed of the caller's.
    :raises TooMany: if the caller has too many open requests.
    """
    headers = {
        # Not to be compressed either: what compresses, collects.
        "Cache-Control": "no-cache, no-transform",
        "X-Accel-Buffering": "no",
    }
    if request.method == "HEAD":
        return HttpResponse(content_type=MEDIA_TYPE, headers=headers)
    bounds.look(caller.owner)
    return _Stream(_bounded(request, caller, events), content_type=MEDIA_TYPE, headers=headers)


class _Stream(StreamingHttpResponse):
    """A response whose source is closed as soon as it is not read any more, and not once that is noticed."""

    def __init__(self, source: AsyncGenerator[bytes, None], **options: Any) -> None:
        super().__init__(source, **options)
        self._source = source

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in super().__aiter__():
                yield part
        finally:
            await self._source.aclose()


async def _bounded(request: HttpRequest, caller: Caller, events: Events) -> AsyncGenerator[bytes, None]:
    loop = asyncio.get_running_loop()
    end, size = loop.time() + LIFE, 0
    # Where the server waits for its client, we are not asked whether it has been long enough.
    task = asyncio.current_task()
    force = loop.call_later(LIFE + GRACE, task.cancel) if task else None
    over = asyncio.Event()
    try:
        async with feed_of(caller) as feed, aclosing(events(feed)) as source, _kept(request, feed, over):
            # Those who lost their server together come back one by one.
            yield f"retry: {random.randrange(1_000, 4_000)}\n\n".encode()
            async for text in source:
                if over.is_set():
                    yield SIGNED_OUT.encode()
                    return
                if size == 0:
                    await let_go()
                body = text.encode()
                size += len(body)
                yield body
                if size > BYTES_MOST or loop.time() > end:
                    return
    except Refused:
        # Somebody else's by now, or the database is away: who comes back is told which.
        return
    finally:
        if force:
            force.cancel()


@asynccontextmanager
async def _kept(request: HttpRequest, feed: Feed, over: asyncio.Event) -> AsyncIterator[None]:
    """See, as long as a stream goes on, that the request is still whose it was."""

    def end() -> None:
        over.set()
        feed.wake()

    # Who comes by a share link is nobody, and stays so.
    identity = Identity() if feed.caller.shared else await of_request(request)
    release = vigil().keep(identity, end)
    try:
        yield
    finally:
        release()


one_stream = route(GET=stream)
