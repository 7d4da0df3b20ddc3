"""Waiting for news of jobs, with no database connection and no thread held meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from asgiref.sync import SyncToAsync, sync_to_async
from django.db import connections

from ..caller import Caller
from ..feed import Answer, Feed
from ..protocol import Snapshot
from ..standing import key_of
from . import bounds


@asynccontextmanager
async def feed_of(caller: Caller) -> AsyncIterator[Feed]:
    """A feed, closed at the end.

    :raises TooMany: if the caller has too many.
    """
    with bounds.room(caller.owner):
        feed = Feed(caller)
        try:
            yield feed
        finally:
            await feed.aclose()


async def answer(
    caller: Caller, job: str, after: int | None, enough: Callable[[Snapshot], bool], within: float
) -> Answer:
    """Return how a job stands, as soon as that is enough, or it is over, or the time is.

    :param after: the caller's cursor.
    :param within: seconds.
    :raises NotFound: if there is no such job, or the caller may not watch it.
    :raises TooMany: if the caller waits for too much already.
    :raises Unavailable: if the database is away.
    """
    end = asyncio.get_running_loop().time() + within
    key = key_of(job)  # its updates and its journal know no other spelling
    async with feed_of(caller) as feed:
        while True:
            answered = await feed.watch(key, after)
            rest = end - asyncio.get_running_loop().time()
            if answered.snapshot.complete or enough(answered.snapshot) or rest <= 0:
                return answered
            await let_go()
            await feed.next(within=rest)


def newer(snapshot: Snapshot, after: int | None) -> bool:
    """Return whether a snapshot is news to who has the cursor `after`, None if they have nothing.

    An older one is, too: the server does not know theirs. But not one of before the first step has spoken.
    """
    return after is None or (snapshot.seq != after and snapshot.seq > 0)


async def let_go() -> None:
    """Give back what this request has taken to ask the database: connections, and the thread that they are in."""
    context = SyncToAsync.thread_sensitive_context.get(None)
    threads = SyncToAsync.context_to_thread_executor
    if context is not None and context not in threads:
        return
    await sync_to_async(_disconnect)()
    # One that was given to the context by somebody is theirs.
    if context is not None and getattr(context, "_executor", None) is None and (thread := threads.pop(context, None)):
        thread.shutdown(wait=False)


def _disconnect() -> None:
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
