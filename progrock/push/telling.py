"""A job of this process as its reporter tells of it: what the code has said since, each time once."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

from .. import registry
from ..inbox import End, Report
from ..models import Job
from ..protocol import Line
from ..standing import entry_for
from .reporter import BEAT
from .said import line, number

_AT_ONCE = 200
"""How many lines are told at once."""
_RATE = 0.2
"""The weight of the last report in the rate that is shown."""


class Telling:
    """What code has said of a job, for the reporter's thread. The code writes it down, and never waits for it.

    .. attribute:: done
        How much is done. Count it up as you like.
    .. attribute:: total
        Of how much; None if nobody knows.
    """

    def __init__(self, row: Job, total: float | None, *, interrupt: bool) -> None:
        self.done: float | None = None
        self.total = total
        self._row = row
        self._interrupt = interrupt
        self._percent: float | None = None
        self._message: str | None = None
        self._title: str | None = None
        self._lines: deque[Line] = deque()
        self._dropped = 0
        self._end: End | None = None
        self._resting = False
        self._asked = self._stop = False
        # What has been told: the last report, and what was given to be told and not answered yet.
        self._told: Report | None = None
        self._given: _Given | None = None
        self._name, self._number = secrets.token_hex(4), 0
        self._at = float("-inf")
        self._scheduled = False
        self._over: Future[None] = Future()
        self._rate: float | None = None
        self._counted: tuple[float, float] | None = None

    @property
    def id(self) -> str:
        """The job's id."""
        return str(self._row.pk)

    @property
    def over(self) -> bool:
        return self._over.done()

    def pressing(self) -> bool:
        return self._end is not None or self._resting or bool(self._lines) or self._given is not None

    async def tell(self, now: float) -> None:
        if self._given is None:
            self._given = self._news(now)
        given = self._given
        if given is None:
            return
        heard = await registry.inbox().put(
            self.id,
            given.report,
            given.lines,
            given.end,
            waiting=given.rests,
            sender=self._name,
            number=given.number,
        )
        store, is_new = registry.store(), False
        if not self._scheduled:
            is_new = (await store.schedule([entry_for(self._row, 0)]))[0] is not None
            self._scheduled = True
        if given.presses and not is_new:
            await store.nudge([self.id])
        self._given, self._at = None, now
        if heard.cancelled:
            self._asked = True
            self._stop = self._interrupt
        if given.end is not None or given.rests or heard.over:
            self._over.set_result(None)

    def _news(self, now: float) -> _Given | None:
        """Return what is to be told: what is new, or after a while that it is alive."""
        last = len(self._lines) <= _AT_ONCE
        end, rests = (self._end, self._resting) if last else (None, False)
        report = self._report(now)
        lines = self._some()
        presses = bool(lines) or end is not None or rests or report != self._told
        if not presses and now - self._at < BEAT:
            return None
        self._told = report
        self._number += 1
        return _Given(report, lines, end, presses, self._number, rests)

    def _some(self) -> list[Line]:
        some = [self._lines.popleft() for _ in range(min(len(self._lines), _AT_ONCE))]
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            some.insert(0, line("warning", f"{dropped} lines are missing here: they could not be told in time."))
        return some

    def _report(self, now: float) -> Report:
        done, total = number("done", self.done), number("total", self.total)
        message = self._message
        if message is None and done is not None:
            message = self._count(done, total, now)
        return Report(done, total, number("percent", self._percent), message, self._title)

    def _count(self, done: float, total: float | None, now: float) -> str:
        """Return how much is done, and how fast, in words."""
        before, self._counted = self._counted, (done, now)
        if before is not None and now > before[1] and done >= before[0]:
            rate = (done - before[0]) / (now - before[1])
            self._rate = rate if self._rate is None else self._rate + _RATE * (rate - self._rate)
        words = f"{done:,.10g} of {total:,.10g}" if total else f"{done:,.10g}"
        return f"{words}, {self._rate:,.3g}/s" if self._rate and self._end is None else words


class _Given:
    """What was given to be told, the same each time that it is tried again."""

    def __init__(
        self, report: Report, lines: Sequence[Line], end: End | None, presses: bool, number: int, rests: bool
    ) -> None:
        self.report = report
        self.lines = lines
        self.end = end
        self.presses = presses
        self.number = number
        self.rests = rests
