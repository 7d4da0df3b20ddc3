"""When a job will be over, from how its percentage moves and how long others like it took. Pure: no I/O, no clock.

What is kept, and smoothed, is the expected end: while nothing new is known, the time left just counts down.
`docs/explanation/time-left.md` says why, and what it is worth.
"""

# ruff: noqa: FURB136 (min and max cost a third of a function that runs at every step)

from __future__ import annotations

import msgspec

SECOND = 1_000_000
"""In microseconds, as all times here."""
MOST = 365 * 86_400 * SECOND
"""Beyond this, any estimate is a guess."""

WINDOW = 15.0
"""Points of percentage over which the pace is measured."""
PRIOR = 20.0
"""Points of percentage that past runs weigh as much as when a job starts: less and less as it goes on, and nothing
once their time is over."""

ENOUGH_POINTS = 2.0
ENOUGH_TIME = 2 * SECOND
"""What must have been measured, both of it, before a job's own pace counts."""
ENOUGH_ALONE = 60 * SECOND
"""What is enough of a job that moves more slowly."""

CALM = 0.03
"""Time constant of the smoothing, as a share of what is left; a second comes on top."""
BOUND = 0.25
LEEWAY = 2 * SECOND
"""By this and by that share of what is left, the expected end moves at most, at one look or in one second."""

PAUSE = 3
"""How many of its longest pauses of late a job may rest before nothing is promised any more."""
GRACE = 0.05
"""Share of what is left that it may rest beyond that; three seconds come on top."""

LEAST = 0.001
"""Points of percentage that are a movement."""
BACK = 5.0
"""Points of percentage by which a job goes back that begins again; less is noise."""


class Pace(msgspec.Struct, frozen=True, array_like=True):
    """What is remembered of a job's progress from one look to the next. Times are microseconds of the store's clock.

    :param percent: the last percentage, below 0 before there was one.
    :param moved: when it was first seen.
    :param base: the percentage of the first movement, from where on the pace is measured.
    :param since: when that movement was seen, 0 before; set off by the stalls that were watched since.
    :param each: microseconds for one point of percentage, lately.
    :param gap: the longest pause between two movements, lately.
    :param looked: when the last look was.
    :param end: when the job is expected to end, 0 while that would be a guess.
    :param until: how long that holds while the percentage does not move, 0 if it comes from past runs alone.
    """

    percent: float = -1.0
    moved: int = 0
    base: float = 0.0
    since: int = 0
    each: float = 0.0
    gap: int = 0
    looked: int = 0
    end: int = 0
    until: int = 0


def observe(pace: Pace, percent: float | None, now: int, started: int, usual: int) -> Pace:
    """Return what is known after one more look.

    :param pace: what was known before; `Pace()` at the first.
    :param percent: 0 to 100, None if the service does not say.
    :param now: the store's time, in microseconds.
    :param started: when the job's first step was taken, in microseconds.
    :param usual: how long jobs of this service usually take, in milliseconds; 0 if that is not known.
    """
    last, moved, base, since, each, gap = pace.percent, pace.moved, pace.base, pace.since, pace.each, pace.gap
    looked, end, until = pace.looked, pace.end, pace.until
    if now < looked:
        now = looked
    if percent is not None and not 0 <= percent <= 100:
        percent = 100.0 if percent > 100 else 0.0 if percent < 0 else None

    moving = False
    if percent is not None:
        if percent >= last + LEAST and last >= 0:
            moving = True
            # What was watched of a stall says nothing of the pace; what nobody watched may have been work.
            stall = looked - until if until and looked > until else 0
            took, points = now - moved - stall, percent - last
            if since:
                since += stall
                gap = int(gap * (1 - points / WINDOW))
                if gap < took:
                    gap = took
                whole = percent - base
                weight = points / (whole if whole < WINDOW else WINDOW)
                each += (took / points - each) * (weight if weight < 1 else 1)
            else:
                # Whatever came before the first movement, it may have been queueing.
                base, since = percent, now
            last, moved = percent, now
        elif last < 0 or percent < last - BACK:
            last, moved, base, since, each, gap, until = percent, now, 0.0, 0, 0.0, 0, 0

    own = rest = 0.0
    if until or (moving and moved - since >= ENOUGH_TIME):
        own = last - base
        if until or own >= ENOUGH_POINTS or moved - since >= ENOUGH_ALONE:
            # While it rests no longer than it did, it may be about to move; beyond that the end moves on with it.
            rested = now - moved
            rest = (100 - last) * each - (rested if rested < gap else gap)
            if rest < 0:
                rest = 0.0
            elif rest > MOST:
                rest = MOST
        else:
            own = 0.0

    prior = 0.0
    length = usual * 1000
    if 0 < length < MOST:
        ahead = started + length - now
        if ahead > 0:
            if ahead > length:
                ahead = length
            prior = PRIOR * ahead / length * (1 - own / 100)
            rest = (prior * ahead + own * rest) / (prior + own)

    if moving and own:
        # A last movement that is awaited for longer than all the rest should take is no longer awaited.
        pause = PAUSE * gap
        until = now + 3 * SECOND + int((pause if pause < 2 * rest else 2 * rest) + GRACE * rest)
    if rest == MOST or (now > until if until else not prior):
        end = 0
    elif not end:
        end = now + int(rest)
    else:
        # What was shown moves by no more than a share of it; what is overdue starts from now, to catch up at all.
        shown = end - looked if end > looked else 0
        passed = now - looked
        if end < now:
            end = now
        change = (now + rest - end) * passed / (passed + SECOND + CALM * (shown if shown < rest else rest))
        bound = LEEWAY + BOUND * shown
        if passed < SECOND:
            bound *= passed / SECOND
        end += int(bound if change > bound else -bound if change < -bound else change)
    return Pace(last, moved, base, since, each, gap, now, end, until)


def left(pace: Pace, now: int) -> int | None:
    """Return how long the job will still take.

    :param now: the store's time, in microseconds.
    :returns: milliseconds, None while that would be a guess.
    """
    end, until = pace.end, pace.until
    if not end or now > (until or end):
        return None
    if now < pace.looked:
        now = pace.looked
    return (end - now) // 1000 if end > now else 0
