"""Limits and marks in the memory of one process: those of embedded mode, and of tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from math import ceil, floor

from ..conf import Limit
from .limits import FIRST_GUESS, HOLD, PROMISE_MOST, Answer, Ask, Limits
from .watched import Audience

Clock = Callable[[], int]
_HAIR = 1e-6
"""Of a call: what adding up fractions may lose."""


class _Bucket:
    """One service's calls. `lua/take.lua` is the same for many processes."""

    def __init__(self, burst: float, now: int) -> None:
        self._tokens = burst
        self._at = now
        self._turn = now
        self._took = 0.0
        # Calls under way and the end of their permits, by name.
        self._permits: dict[str, tuple[int, int]] = {}

    def take(self, limit: Limit, ask: Ask, now: int) -> Answer:
        self._turn += min(0, now - self._at)  # a clock that steps back takes promises along
        most = now + PROMISE_MOST
        self._turn = min(self._turn, most)
        for name, calls in ask.finished:
            left, until = self._permits.pop(name, (0, 0))
            if left > calls:
                self._permits[name] = left - calls, until
        self._permits = {name: held for name, held in self._permits.items() if now < held[1] <= now + HOLD}
        if ask.took:
            self._took = self._took * 7 / 8 + ask.took / 8 if self._took else ask.took
        wanted = room = ask.first + ask.due + ask.fresh
        gap = front = 0.0
        if limit.rate:
            passed = max(0, now - self._at) * limit.rate / 1_000_000
            owing = -limit.rate * PROMISE_MOST / 1_000_000
            self._tokens = max(owing, min(limit.burst_or_rate, self._tokens + passed) - ask.owed)
            room = min(room, floor(self._tokens + _HAIR))
            gap = 1_000_000 / limit.rate
        if limit.concurrency:
            room = min(room, limit.concurrency - sum(calls for calls, _ in self._permits.values()))
            gap = max(gap, (self._took or FIRST_GUESS) / limit.concurrency)
        self._at = now
        room = max(0, room)
        first = min(ask.first, room)
        due = min(ask.due, room - first)
        fresh = min(ask.fresh, room - first - due) if self._turn <= now else 0
        granted = first + due + fresh
        if limit.rate:
            self._tokens -= granted
            front = max(0.0, 1 - self._tokens) * 1_000_000 / limit.rate
        if limit.concurrency:
            if granted:
                self._permits[ask.permit] = granted, now + HOLD
            if room < wanted:
                front = max(front, gap)
        # The first whose promise did not come true waits for the next call, and does not join the end again.
        behind = max(0, ask.due - due - 1) + ask.fresh - fresh
        end = min(max(self._turn, now + front), most)
        if behind:
            self._turn = min(round(end + behind * gap), most)
        return Answer(first, due, fresh, ceil(front), ceil(end - now), ceil(gap))


class MemoryLimits(Limits):
    """Of one process.

    :param clock: returns whole microseconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    async def take(self, service: str, limit: Limit, ask: Ask) -> Answer:
        now = self._clock()
        bucket = self._buckets.get(service)
        if bucket is None:
            bucket = self._buckets[service] = _Bucket(limit.burst_or_rate, now)
        return bucket.take(limit, ask, now)


class MemoryAudience(Audience):
    """Of one process.

    :param clock: returns whole microseconds.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, int] = defaultdict(int)

    async def mark(self, topics: Sequence[str], duration: int) -> list[bool]:
        now = self._clock()
        self._until = defaultdict(int, {topic: until for topic, until in self._until.items() if until > now})
        new = [topic not in self._until for topic in topics]
        self._until.update(dict.fromkeys(topics, now + duration * 1000))
        return new

    async def watched(self, topics: Sequence[str]) -> list[bool]:
        now = self._clock()
        return [self._until.get(topic, 0) > now for topic in topics]
