"""Journals in the memory of one process: those of embedded mode, and of tests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush

from ..protocol import Line
from .journal import LIVE, Extract, Journal


class _Lines:
    def __init__(self, most: int) -> None:
        self.kept: deque[Line] = deque(maxlen=most)
        self.until = 0


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
        self._jobs: dict[str, _Lines] = {}
        self._ends: list[tuple[int, str]] = []

    async def append(self, job: str, lines: Sequence[Line]) -> None:
        mine = self._jobs.setdefault(job, _Lines(self._most))
        for line in lines:
            if not mine.kept or line.seq > mine.kept[-1].seq:
                while mine.kept and mine.kept[-1].n >= line.n:
                    mine.kept.pop()
                mine.kept.append(line)
        self._until(job, LIVE)

    async def read(self, job: str, after: int = 0) -> Extract:
        self._forget()
        kept = list(self._jobs[job].kept) if job in self._jobs else []
        lines = [line for line in kept if line.seq > after]
        before = [line.n for line in kept if line.seq <= after]
        if not lines:
            return Extract(lines, bool(before) or not after)
        return Extract(lines, lines[0].n == (before[-1] if before else 0) + 1)

    async def keep(self, job: str) -> None:
        if job in self._jobs:
            self._until(job, self._keep)

    async def aclose(self) -> None:
        pass

    def _until(self, job: str, duration: int) -> None:
        end = self._clock() + duration * 1000
        self._jobs[job].until = end
        heappush(self._ends, (end, job))
        self._forget()

    def _forget(self) -> None:
        now = self._clock()
        while self._ends and self._ends[0][0] <= now:
            _, job = heappop(self._ends)
            if job in self._jobs and self._jobs[job].until <= now:
                del self._jobs[job]
