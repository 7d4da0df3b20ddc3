"""Following jobs from a process of its own: by the feed that clients have, and by asking again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import msgspec

from progrock.exceptions import Unavailable
from progrock.feed import Feed
from progrock.protocol import Line, Snapshot

ASK = 5.0
"""Seconds after which how the jobs stand is asked again: an update may be lost, or no channel layer lead here."""
PATIENCE = 60.0
"""Seconds for which nobody need be able to say how they stand."""
PAUSE = 1.0
"""Seconds after which that is tried again."""

R = TypeVar("R")

_decode = msgspec.json.Decoder(Snapshot).decode


class Told(msgspec.Struct, frozen=True):
    """How a job stands, with the lines of its journal that are new."""

    snapshot: Snapshot
    lines: Sequence[Line] = ()


@asynccontextmanager
async def feed_of(owner: str) -> AsyncIterator[Feed]:
    """A feed, closed at the end. Who follows from a shell need not be the owner, and may be a script."""
    feed = Feed(owner, page=False)
    try:
        yield feed
    finally:
        await feed.aclose()


async def follow(feed: Feed, names: Sequence[str]) -> AsyncIterator[Told]:
    """Tell how jobs stand, and what is new of them, until all of them are over.

    :param names: their ids, spelled as snapshots do.
    :raises NotFound: if there is no such job, or it is somebody else's.
    :raises TooMany: if these are more jobs than one may watch.
    :raises Unavailable: if nobody can say how they stand, for longer than `PATIENCE`.
    """
    loop = asyncio.get_running_loop()
    cursors: dict[str, int | None] = dict.fromkeys(names)
    shown: dict[str, int] = dict.fromkeys(names, 0)

    def told(snapshot: Snapshot, lines: Sequence[Line], *, behind: bool = False) -> Told:
        job = snapshot.job
        # An answer may bring all that are kept.
        new = [line for line in lines if line.n > shown[job]]
        shown[job] = max((line.n for line in new), default=shown[job])
        if snapshot.complete:
            del cursors[job]
        elif not behind:
            cursors[job] = snapshot.seq
        return Told(snapshot, new)

    while cursors:
        for job in list(cursors):
            answer = await _patiently(partial(feed.watch, job, cursors[job]))
            yield told(answer.snapshot, answer.lines, behind=answer.resume is None)
        again = loop.time() + ASK
        while cursors and (rest := again - loop.time()) > 0:
            for each in await feed.next(rest):
                if each.update.job in cursors:
                    yield told(_decode(each.update.body), each.lines, behind=each.behind)


async def follow_all(feed: Feed) -> AsyncIterator[Told]:
    """Tell how all jobs of an owner's stand, and what is new of them, also of those to come; without end.

    :raises Unavailable: if nobody can say how they stand, for longer than `PATIENCE`.
    """
    loop = asyncio.get_running_loop()
    while True:
        for snapshot in reversed(await _patiently(feed.watch_all)):
            yield Told(snapshot)
        again = loop.time() + ASK
        while (rest := again - loop.time()) > 0:
            for each in await feed.next(rest):
                yield Told(_decode(each.update.body), each.lines)


async def _patiently(ask: Callable[[], Awaitable[R]]) -> R:
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE
    while True:
        try:
            return await ask()
        except Unavailable:
            if loop.time() >= end:
                raise
            await asyncio.sleep(PAUSE)
