"""When a job will be over, from how its percentage moves and how long others like it took. Pure: no I/O, no clock.

What is kept, and smoothed, is the expected end: while nothing new is known, the time left just counts down.
docs/explanation/time-left.md says why it is done like this.
"""

from __future__ import annotations

import msgspec

WINDOW = 20.0
"""Points of percentage over which the recent pace is measured."""
PRIOR = 15.0
"""Points of percentage that past runs weigh as much as, at the start of a job; nothing once their time is over."""
ENOUGH_POINTS = 2.0
ENOUGH_TIME = 2_000_000
"""Microseconds of movement that must have been measured, beside so many points, before a job's own pace counts."""
ENOUGH_ALONE = 60_000_000
"""Microseconds of movement that are enough for a job that moves more slowly."""
CALM = 0.125
"""Time constant of the smoothing, as a share of what is left."""
BOUND = 0.25
"""Share of what is left by which the expected end may move at one look, beside a `SECOND`."""
PAUSE = 3
"""How many times its longest pause of late a job may rest before nothing is promised any more."""
GRACE = 0.05
"""Share of what is left that a job may rest beyond that, beside three times a `SECOND`."""
BACK = 5.0
"""Points of percentage by which a job goes back that starts again; less is noise."""
LEAST = 0.001
"""Points of percentage that are a movement."""
MOST = 365 * 86_400_000_000
"""Microseconds beyond which any estimate is a guess."""
SECOND = 1_000_000


class Pace(msgspec.Struct, frozen=True, array_like=True):
    """What is remembered of a job's progress from one look to the next. All times in microseconds of the store's clock.

    :param percent: the last percentage, below 0 before there was one.
    :param moved: when it was first seen.
    :param base: the percentage from which on the pace is measured: that of the first movement.
    :param since: when that was, 0 before; later by each stall since.
    :param recent: microseconds for one point of percentage, lately.
    :param gap: the longest pause between two movements, lately; microseconds.
    :param looked: when the last look was.
    :param end: when the job is expected to end, 0 while that would be a guess.
    :param until: how long that holds if the percentage does not move.
    """

    percent: float = -1.0
    moved: int = 0
    base: float = 0.0
    since: int = 0
    recent: float = 0.0
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
    looked, last, moved, base, since = pace.looked, pace.percent, pace.moved, pace.base, pace.since
    recent, gap, end, until = pace.recent, pace.gap, pace.end, pace.until
    now = max(now, looked)

    moving = False
    if percent is not None and not 0 <= percent <= 100:
        percent = 100.0 if percent > 100 else 0.0 if percent < 0 else None
    if percent is None or last - BACK <= percent < last + LEAST:
        pass
    elif last < 0 or percent < last:
        # The first percentage, or that of a job that began again: what comes before it moves is queueing or loading.
        if last >= 0:
            end = 0
        last, moved, base, since, recent, gap = percent, now, 0.0, 0, 0.0, 0
    else:
        moving = True
        # What was watched of a stall says nothing of the pace; what nobody watched may have been work.
        stall = max(0, looked - until) if until else 0
        took, points = now - moved - stall, percent - last
        gap = max(took, int(gap * (1 - points / WINDOW)))
        if since:
            since += stall
            recent += (took / points - recent) * min(1.0, points / min(WINDOW, percent - base))
        else:
            base, since = percent, now
        last, moved = percent, now

    own = 0.0
    rest = 0.0
    if since and now > since:
        measured, duration = last - base, moved - since
        if duration >= ENOUGH_ALONE or (measured >= ENOUGH_POINTS and duration >= ENOUGH_TIME):
            own = measured
            # Far from the end all that was seen counts, near it what was seen of late.
            share = (100 - last) / 200
            each = share * duration / measured + (1 - share) * recent
            # While it rests no longer than usual, its next movement may be due; beyond that the end moves on with it.
            rest = max(0.0, max(moved, now - gap) - now + (100 - last) * each)

    whole = min(usual * 1000, MOST)
    ahead = min(started + whole - now, whole)
    prior = PRIOR * ahead / whole if whole > 0 and ahead > 0 else 0.0
    if prior:
        rest = (prior * ahead + own * rest) / (prior + own)

    if not (own or prior) or rest > MOST or (own and not moving and now > until):
        end = 0
    else:
        target = now + int(rest)
        if end:
            shown, passed = max(0, end - looked), now - looked
            bound = (SECOND + shown * BOUND) * min(1.0, passed / SECOND)
            pull = (target - end) * passed / (passed + SECOND + shown * CALM)
            end = max(now, end + int(max(-bound, min(bound, pull))))
        else:
            end = target
        if not own:
            until = end
        elif moving:
            until = now + int(min(PAUSE * gap, 2 * rest) + 3 * SECOND + rest * GRACE)
    return Pace(last, moved, base, since, recent, gap, now, end, until)


def left(pace: Pace, now: int) -> int | None:
    """Return how long the job will still take, in milliseconds; None while that would be a guess.

    :param now: the store's time, in microseconds.
    """
    if not pace.end or now > pace.until:
        return None
    return max(0, pace.end - max(now, pace.looked)) // 1000
