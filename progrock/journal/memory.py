"""Journals in the memory of one process: those of embedded mode, and of tests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from ..protocol import Line
from .journal import LIVE, Extract, Journal


class MemoryJournal(Journal):
    """Of one process.

    :param clock: returns whole microseconds.
    :param most: how many lines of a job are kept: the newest.
    :param keep: for how many milliseconds after its end.
    """

    def __init__(self, clock: Callable[[], int], most: int, keep: int) -> None:
        self._clock = clock
        self._most = most
        self._keep = keep
        self._jobs: dict[str, deque[Line]] = {}
        # Until when the journals of jobs that go on, and of those that are over, are kept: oldest first, since all of a
        # kind are kept for the same time.
        self._live: dict[str, int] = {}
        self._over: dict[str, int] = {}

    async def append(self, job: str, lines: Sequence[Line]) -> None:
        kept = self._jobs.setdefault(job, deque(maxlen=self._most))
        for line in lines:
            if not kept or line.seq > kept[-1].seq:
                while kept and kept[-1].n >= line.n:
                    kept.pop()
                kept.append(line)
        self._until(job, self._live, LIVE)

    async def read(self, job: str, after: int = 0) -> Extract:
        self._forget()
        kept = self._jobs.get(job, ())
        lines = [line for line in kept if line.seq > after]
        before = [line.n for line in kept if line.seq <= after]
        if not lines:
            return Extract(lines, bool(before) or not after)
        return Extract(lines, lines[0].n == (before[-1] if before else 0) + 1)

    async def keep(self, job: str) -> None:
        if job in self._jobs:
            self._until(job, self._over, self._keep)

    async def aclose(self) -> None:
        pass

    def _until(self, job: str, ends: dict[str, int], duration: int) -> None:
        self._live.pop(job, None)
        self._over.pop(job, None)
        ends[job] = self._clock() + duration * 1000
        self._forget()

    def _forget(self) -> None:
        now = self._clock()
        for ends in (self._live, self._over):
            while ends and ends[job := next(iter(ends))] <= now:
                del ends[job], self._jobs[job]
