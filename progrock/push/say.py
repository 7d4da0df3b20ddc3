"""What can be said of a job by its id, from any process: each at once, and heard, or refused."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

from asgiref.sync import sync_to_async

from .. import registry
from ..delay import StoreAway, door, trouble
from ..exceptions import Unavailable
from ..inbox import End, Heard, Report
from ..models import Job
from ..protocol import Line, Snapshot, State
from ..standing import entry_for, key_of, snapshot_of
from .rows import insert, new_row
from .said import ended, line, number, words

logger = logging.getLogger(__name__)

R = TypeVar("R")

WITHIN = 2.0
"""Seconds that the inbox has for an answer."""


async def acreate(
    title: str,
    *,
    owner: Any,
    job: str | uuid.UUID | None = None,
    key: str | None = None,
    deadline: int | None = None,
    tell: Sequence[Mapping[str, Any]] = (),
    parent: str | uuid.UUID | None = None,
    weight: float = 1.0,
    limited: bool = False,
) -> Snapshot:
    """Create a job that code of your own will do, somewhere else or later: it waits until that says something of it.

    :param title: what people see.
    :param owner: whose job it is: a user, a request, or an owner as text; None is its parent's owner.
    :param job: its id: a UUID, or any name, of which one is made; a job that is there is returned as its row has it.
    :param key: the caller's own name for it; the same owner's same key is the same job.
    :param deadline: milliseconds that it may take.
    :param tell: who is told when it ends, as :func:`progrock.jobs.start` takes it.
    :param parent: the unfinished job of the same owner's that it is a child of, most often a group.
    :param weight: how much it counts there, 0 or more.
    :param limited: whether it is refused when its owner has made MAX_STARTS_PER_MINUTE of them in a minute.
    :returns: the job's snapshot.
    :raises TooMany: if it is.
    :raises Invalid: if owner, key, deadline, tell or weight cannot be one, or the parent is over.
    :raises NotFound: if the id, or the parent's, is that of somebody else's job.
    :raises Unavailable: if the database or the store is away.
    """
    row = new_row(title, owner=owner, job=job, key=key, deadline=deadline, tell=tell, parent=parent, weight=weight)
    # First, so that no step ever finds a job of which nothing was said.
    await _put(str(row.pk), waiting=True)
    return snapshot_of(await sync_to_async(insert)(row, door(_schedule, registry.aclose), limited=limited))


async def _schedule(row: Job) -> None:
    """Put it into the schedule. If that fails, the reconciler does it."""
    if row.finished is None:
        try:
            async with asyncio.timeout(WITHIN):
                await registry.store().schedule([entry_for(row, 0)])
        except (StoreAway, TimeoutError) as error:
            trouble.say(logger, "Job %s begins late: %r", row.pk, error, extra={"job": row.pk})


async def areport(
    job: str | uuid.UUID,
    done: float | None = None,
    *,
    total: float | None = None,
    percent: float | None = None,
    message: str | None = None,
    title: str | None = None,
) -> bool:
    """Say how a job stands. What is not given is as it was said before.

    :param done: how much is done, in whatever it counts.
    :param total: of how much.
    :param percent: 0 to 100, if it does not count.
    :param message: what is going on, for people.
    :param title: what the job is called.
    :returns: whether somebody has asked for its end.
    :raises NotFound: if it is no id of a job.
    :raises Unavailable: if the store is away.
    """
    numbers = number("done", done), number("total", total), number("percent", percent)
    report = Report(*numbers, words(message), words(title))
    return (await asay(job, report)).cancelled


async def alog(job: str | uuid.UUID, level: str, text: str, *, data: Any = None) -> bool:
    """Add a line to a job's journal.

    :param level: `debug`, `info`, `warning` or `error`.
    :param text: for people.
    :param data: any JSON, of at most 4 kB.
    :returns: whether somebody has asked for its end.
    :raises Invalid: if `level` is another, or `data` is no such JSON.
    :raises NotFound: if it is no id of a job.
    :raises Unavailable: if the store is away.
    """
    return (await asay(job, lines=[line(level, text, data)])).cancelled


async def apart(job: str | uuid.UUID, data: Any, text: str = "") -> bool:
    """Add a part of the result to a job's journal; as :func:`alog` otherwise."""
    return await alog(job, "info", text, data=data)


async def acomplete(job: str | uuid.UUID, result: Any = None, message: str = "") -> bool:
    """End a job as succeeded. What is said of it afterwards does not count.

    :param result: any JSON, of at most a megabyte.
    :returns: whether somebody has asked for its end.
    :raises Invalid: if `result` is no such JSON.
    :raises NotFound: if it is no id of a job.
    :raises Unavailable: if the store is away.
    """
    return (await asay(job, end=ended(State.SUCCEEDED, message, result))).cancelled


async def afail(job: str | uuid.UUID, message: str) -> bool:
    """End a job as failed, and say why; as :func:`acomplete` otherwise."""
    return (await asay(job, end=ended(State.FAILED, message))).cancelled


async def astop(job: str | uuid.UUID, message: str = "") -> bool:
    """End a job as cancelled; as :func:`acomplete` otherwise."""
    return (await asay(job, end=ended(State.CANCELLED, message))).cancelled


async def abeat(job: str | uuid.UUID) -> bool:
    """Say that the code that does a job is alive, every few seconds: after 15 of silence, people are told.

    :returns: whether somebody has asked for its end.
    :raises NotFound: if it is no id of a job.
    :raises Unavailable: if the store is away.
    """
    return (await _put(key_of(job))).cancelled


async def asay(
    job: str | uuid.UUID, report: Report | None = None, lines: Sequence[Line] = (), end: End | None = None
) -> Heard:
    """Say several things of a job at once.

    :param report: how it stands.
    :param lines: to be added to its journal.
    :param end: how it ended.
    :returns: whether somebody has asked for its end, and whether it was over before.
    :raises NotFound: if it is no id of a job.
    :raises Unavailable: if the store is away.
    """
    key = key_of(job)
    heard = await _put(key, report, lines, end)
    await _within(registry.store().nudge([key]))
    return heard


async def _put(key: str, *said: Any, waiting: bool = False) -> Heard:
    return await _within(registry.inbox().put(key, *said, waiting=waiting))


async def _within(work: Awaitable[R]) -> R:
    try:
        async with asyncio.timeout(WITHIN):
            return await work
    except (StoreAway, TimeoutError) as error:
        raise Unavailable("Expected a store that answers; it does not. Try again later.") from error


create = door(acreate, registry.aclose)
report = door(areport, registry.aclose)
log = door(alog, registry.aclose)
part = door(apart, registry.aclose)
complete = door(acomplete, registry.aclose)
fail = door(afail, registry.aclose)
stop = door(astop, registry.aclose)
beat = door(abeat, registry.aclose)
