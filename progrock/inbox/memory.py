"""Inboxes in the memory of one process: those of embedded mode, and of tests."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from msgspec.structs import asdict, replace

from ..protocol import Line, State
from .inbox import LIVE, OVER, End, Heard, Inbox, Report, Said


class _Box:
    """What was said of one job."""

    def __init__(self, most: int) -> None:
        self.said = Said()
        self.at = 0
        self.cancelled = False
        self.lines: deque[Line] = deque(maxlen=most)
        self.numbers: dict[str, int] = {}


def _newest(before: Report, now: Report) -> Report:
    return replace(before, **{name: said for name, said in asdict(now).items() if said is not None})


class MemoryInbox(Inbox):
    """Of one process, any thread and any event loop of it.

    :param clock: returns whole microseconds.
    :param most: how many lines of a job are kept: the newest.
    """

    def __init__(self, clock: Callable[[], int], most: int) -> None:
        self._clock = clock
        self._most = most
        self._lock = threading.Lock()
        self._boxes: dict[str, _Box] = {}

    async def put(
        self,
        job: str,
        report: Report | None = None,
        lines: Sequence[Line] = (),
        end: End | None = None,
        *,
        waiting: bool = False,
        sender: str = "",
        number: int = 0,
    ) -> Heard:
        with self._lock:
            box = self._box(job)
            over = box.said.end is not None
            if waiting and not sender and box.at:
                return Heard(box.cancelled, over)
            box.at = self._clock()
            if over:
                return Heard(box.cancelled, over)
            if not sender or box.numbers.get(sender, 0) < number:
                if sender:
                    box.numbers[sender] = number
                box.lines.extend(lines)
                known = box.said.report if report is None else _newest(box.said.report, report)
                box.said = Said(known, box.said.lines + len(lines), end, waiting=waiting)
            return Heard(box.cancelled, over=False)

    async def read(self, jobs: Sequence[str]) -> Sequence[Said | None]:
        with self._lock:
            self._forget()
            boxes = [self._boxes.get(job) for job in jobs]
            now = self._clock()
            return [None if box is None else replace(box.said, silence=max(0, now - box.at) // 1000) for box in boxes]

    async def lines(self, job: str, first: int, most: int) -> tuple[int, Sequence[Line]]:
        with self._lock:
            box = self._boxes.get(job)
            if box is None:
                return first, []
            oldest = box.said.lines - len(box.lines) + 1
            first = max(first, oldest)
            return first, list(box.lines)[first - oldest : first - oldest + most]

    async def follow(self, job: str, last: int) -> None:
        with self._lock:
            box = self._boxes.get(job)
            if box is not None and 0 < box.said.lines < last:
                box.said = replace(box.said, lines=last + len(box.lines))

    async def cancel(self, job: str) -> None:
        with self._lock:
            box = self._box(job)
            box.cancelled = True
            if box.said.waiting and box.said.end is None:
                box.said = replace(box.said, end=End(State.CANCELLED))

    async def aclose(self) -> None:
        pass

    def _box(self, job: str) -> _Box:
        """Return a job's box, behind all others: the order is that in which they are forgotten."""
        self._forget()
        box = self._boxes.pop(job, None) or _Box(self._most)
        self._boxes[job] = box
        return box

    def _forget(self) -> None:
        now = self._clock()
        while self._boxes:
            job, box = next(iter(self._boxes.items()))
            if now - box.at <= (OVER if box.said.end else LIVE) * 1000:
                return
            del self._boxes[job]
