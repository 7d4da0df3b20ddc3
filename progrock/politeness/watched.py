"""The contract of the marks that tell workers which jobs are watched."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence


def topic(owner: str, job: str = "") -> str:
    """Return what is marked: a job that is watched, or, without a job, an owner whose jobs all are.

    With its owner: who tries to watch somebody else's job marks nothing that counts.
    """
    return f"{job or 'all'} of {owner}"


def end_topic(owner: str, job: str) -> str:
    """Return what is marked once a page was told that a job has ended."""
    return f"end of {job} of {owner}"


class Audience(ABC):
    """Who is watched, as all web processes have it together."""

    @abstractmethod
    async def mark(self, topics: Sequence[str], duration: int) -> list[bool]:
        """Mark topics as watched.

        :param duration: milliseconds until a mark ends by itself.
        :returns: of each, whether it had no mark.
        """

    @abstractmethod
    async def watched(self, topics: Sequence[str]) -> list[bool]:
        """Return of each topic whether it is marked."""
