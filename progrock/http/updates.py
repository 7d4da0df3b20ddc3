"""News of many jobs: server-sent events in one stream, or an answer that waits for them (a long poll)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from ..exceptions import Invalid, NotFound, Refused, TooMany
from ..feed import Feed, frames
from ..protocol import SEQ_MOST, Snapshot, answer_frame, jobs_frame, subscribed_frame
from ..subscriptions import CHANNELS_MOST
from . import asked, problem
from .jobs import now
from .route import route
from .stream import BYTES_MOST, HEARTBEAT, MEDIA_TYPE, SILENCE, event, sent
from .waiting import feed_of, let_go, newer

JOBS_MOST = 100
SLACK = 1_000
"""Milliseconds by which the clocks of web servers and store may differ: what is that old may be news."""


async def updates(request: HttpRequest) -> HttpResponseBase:
    """Tell of the jobs that the query names, and of all of the caller's if it says list=1."""
    caller = await asked.caller(request)
    listed, cursors = asked.flag(request, "list"), _cursors(request)
    since = asked.number(request, "since", 0, SEQ_MOST)
    within, applied = asked.wait(request)
    channels = request.GET.getlist("channel")
    if len(channels) > CHANNELS_MOST:
        raise Invalid(f"channel: expected at most {CHANNELS_MOST} of them, got {len(channels)}.")
    if not listed and not cursors and not channels:
        raise Invalid("Expected list=1, or the id of a job as job, or a channel, or several of them; got none.")
    if request.get_preferred_type(["application/json", MEDIA_TYPE]) == MEDIA_TYPE:

        async def of_the_jobs(feed: Feed) -> AsyncGenerator[str, None]:
            for frame in await _subscribed(feed, channels):
                yield event(frame)
            for frame in (await _answers(feed, listed, None, cursors, quiet_too=True))[0]:
                yield event(frame)
            while True:
                fresh = await feed.next(within=HEARTBEAT)
                heard = feed.events.take()
                lost = feed.refusals()
                for frame in (*heard, *frames(fresh), *lost):
                    yield event(frame)
                if not heard and not fresh and not lost:
                    yield SILENCE

        return sent(request, caller, of_the_jobs)
    if channels:
        raise Invalid(f"channel: expected a stream, Accept: {MEDIA_TYPE}, got another: events are not polled.")
    async with feed_of(caller) as feed:
        end = asyncio.get_running_loop().time() + within
        answers, patience = await _answers(feed, listed, since, cursors)
        while (rest := min(end - asyncio.get_running_loop().time(), patience)) > 0:
            await let_go()
            await _wait(feed, rest)
            answers, patience = await _answers(feed, listed, since, cursors)
            if listed:
                break  # by its clock a list may be no newer, and has changed all the same
    text = f'{{"frames":[{",".join(answers)}],"now":{now()}}}'
    headers = {"Preference-Applied": applied} if applied else {}
    return HttpResponse(text, content_type="application/json", headers=headers)


async def _subscribed(feed: Feed, channels: Iterable[str]) -> list[str]:
    """Subscribe to channels, and return the frames that answer, those of the refused ones too."""
    answers = []
    for channel in channels:
        try:
            await feed.events.subscribe(channel)
            answers.append(subscribed_frame(channel, None))
        except Refused as refusal:
            answers.append(problem.frame(refusal, channel=channel))
    return answers


async def _wait(feed: Feed, within: float) -> None:
    """Return as soon as something is new, or the time is over."""
    end = asyncio.get_running_loop().time() + within
    while not await feed.next(within=max(0.0, end - asyncio.get_running_loop().time())):
        if asyncio.get_running_loop().time() >= end:
            return


async def _answers(
    feed: Feed, listed: bool, since: int | None, cursors: Mapping[str, int | None], *, quiet_too: bool = False
) -> tuple[list[str], float]:
    """Return the frames that answer, and for how many seconds they may be waited for: 0 if there is news in them.

    :param quiet_too: whether to answer of all jobs that are named; else of those with news, or all if there is none.
    """
    answers: list[str] = []
    news: list[str] = []
    quiet: list[str] = []
    size, patience = 0, float(asked.WAIT_MOST)
    if listed:
        try:
            snapshots = await feed.watch_all()
        except NotFound as refusal:
            news.append(problem.frame(refusal))
        else:
            answers.append(jobs_frame(snapshots, now(), None))
            patience = _patience(snapshots, since)
    for job, after in cursors.items():
        if size > BYTES_MOST:
            break  # the others are asked for again, as those of which there is no news yet
        try:
            answer = await feed.watch(job, after)
        except (NotFound, TooMany) as refusal:
            news.append(problem.frame(refusal, job=job))
            continue
        frame = answer_frame("snapshot", answer.snapshot, now(), None, answer.resume, answer.lines)
        size += len(frame)
        counted = bool(answer.snapshot.seq and answer.lines)
        (news if newer(answer.snapshot, after) or counted else quiet).append(frame)
    return answers + (news + quiet if quiet_too else news or quiet), 0.0 if news else patience


def _patience(snapshots: list[Snapshot], since: int | None) -> float:
    """Return for how many seconds a list may be waited for: 0 if it is newer than what the caller has."""
    newest = max((snapshot.at for snapshot in snapshots), default=0)
    if since is None or newest > since:
        return 0.0
    return SLACK / 1000 if newest > since - SLACK else float(asked.WAIT_MOST)


def _cursors(request: HttpRequest) -> dict[str, int | None]:
    """Return the jobs that the query names, with the cursor of each, None if it has none.

    :raises Invalid: if one is none, or there are too many.
    """
    named = request.GET.getlist("job")
    if len(named) > JOBS_MOST:
        raise Invalid(f"job: expected at most {JOBS_MOST} of them, got {len(named)}.")
    cursors: dict[str, int | None] = {}
    for each in named:
        job, colon, after = each.partition(":")
        try:
            key = str(uuid.UUID(job))
        except ValueError:
            raise Invalid(f"job: expected the id of a job, or id:cursor, got {each!a:.80}.") from None
        cursors[key] = asked.whole("job", after, 0, SEQ_MOST) if colon else None
    return cursors


all_updates = route(GET=updates)
