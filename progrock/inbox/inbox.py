"""What an inbox promises, wherever it is kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import msgspec

from ..protocol import Line, State

LIVE = 30 * 86_400_000
"""Milliseconds for which what was said is kept, if nothing more is."""
OVER = 7 * 86_400_000
"""The same of a job whose end was said: as long as it may take until a worker is there again to read it."""


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a job stands, as its own code has it. What is None is as it was said before.

    :param done: how much of it is done, in whatever it counts.
    :param total: of how much.
    :param percent: 0 to 100, where it does not count.
    :param message: what is going on, for people.
    :param title: what the job is called.
    """

    done: float | None = None
    total: float | None = None
    percent: float | None = None
    message: str | None = None
    title: str | None = None


class End(msgspec.Struct, frozen=True):
    """How a job ended, as its own code has it.

    :param state: SUCCEEDED, FAILED or CANCELLED.
    :param message: for people; of a failure, why.
    :param result: any JSON.
    """

    state: State
    message: str = ""
    result: Any = None


class Said(msgspec.Struct, frozen=True):
    """All that was said of a job.

    :param report: the newest of each of its parts.
    :param lines: how many lines there were.
    :param end: how it ended, if it did.
    :param silence: milliseconds since anything was said, be it only that its code is alive.
    :param waiting: whether its code has yet to begin.
    """

    report: Report = Report()
    lines: int = 0
    end: End | None = None
    silence: int = 0
    waiting: bool = False


class Heard(msgspec.Struct, frozen=True):
    """What whoever says something is told.

    :param cancelled: whether somebody has asked for the job's end.
    :param over: whether an end was said before: nothing that follows counts.
    """

    cancelled: bool
    over: bool


class Inbox(ABC):
    """What is said of all jobs by code of one's own. Any process may say something, and steps read it.

    The newest report wins, the first end is the end, and lines are numbered as they come in, from 1.
    """

    @abstractmethod
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
        """Say something of a job; if nothing else, that its code is alive.

        :param lines: to be added to its journal.
        :param waiting: whether its code has yet to begin, so that no silence is one. Without a sender, it
            counts only if nothing was said of the job before.
        :param sender: who may say this again, because no answer came: a name of its own.
        :param number: of what that sender says, counted up: what has come already is not taken twice.
        :raises StoreAway: if it is not to be reached; it may have been put or not.
        """

    @abstractmethod
    async def read(self, jobs: Sequence[str]) -> Sequence[Said | None]:
        """Return what was said of each, None if nothing was, or it is forgotten.

        :raises StoreAway: if it is not to be reached.
        """

    @abstractmethod
    async def lines(self, job: str, first: int, most: int) -> tuple[int, Sequence[Line]]:
        """Return what is kept of a job's lines.

        :param first: the number of the first that is of interest.
        :param most: how many at most.
        :returns: the number of the first line that is returned, and the lines.
        :raises StoreAway: if it is not to be reached.
        """

    @abstractmethod
    async def follow(self, job: str, last: int) -> None:
        """Number a job's lines from where they were read to, if there are fewer: it was emptied, and they began at 1.

        :param last: the number of the last line that was read.
        :raises StoreAway: if it is not to be reached.
        """

    @abstractmethod
    async def cancel(self, job: str) -> None:
        """Ask for a job's end: its code hears it when it says something next. One that has yet to begin ends here.

        :raises StoreAway: if it is not to be reached.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Let go of the running event loop's connections."""
