"""What a journal promises, wherever it is kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import msgspec

from ..protocol import Line

LIVE = 30 * 86_400_000
"""Milliseconds for which the journal of a job is kept that says nothing more, and whose end is not heard of."""


class Extract(msgspec.Struct, frozen=True):
    """The lines behind a cursor.

    :param lines: oldest first.
    :param whole: whether none is missing between the cursor and the first of them. Behind a cursor there is one before
        it too, or nobody knows: a journal of which nothing is kept was empty, or is gone.
    """

    lines: Sequence[Line]
    whole: bool


class Journal(ABC):
    """The journals of all jobs.

    Written by steps alone, so that the lines of a job come in order; a line is known by its number, so that a step that
    is taken again writes none twice; and it has a `seq` of the job's own sequence, so that one cursor is enough for its
    snapshots and its journal: a snapshot is shown only when the lines that it counts are in, and a line that is said
    again gets a new `seq`, since snapshots that did not count it may have been shown meanwhile.
    """

    @abstractmethod
    async def append(self, job: str, lines: Sequence[Line]) -> None:
        """Add lines, in place of those that have their numbers; what is older than what is in is left out.

        :param lines: in order, with numbers and `seq`.
        :raises StoreAway: if it is not to be reached; some of them may be in.
        """

    @abstractmethod
    async def read(self, job: str, after: int = 0) -> Extract:
        """Return what is kept of a job's journal, newer than `after`.

        :param after: the `seq` of a snapshot or a line; 0 is before the first.
        :raises StoreAway: if it is not to be reached.
        """

    @abstractmethod
    async def keep(self, job: str) -> None:
        """Keep the journal of a job that has ended, for as long as the settings say.

        :raises StoreAway: if it is not to be reached.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Let go of the running event loop's connections."""
