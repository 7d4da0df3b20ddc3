"""Queues: what is pushed is a line in the journal of a job, which is that of whoever looks at the queue first."""

from __future__ import annotations

import weakref
from typing import Any

from ... import registry
from ...aside import anywhere
from ...delay import StoreAway, door
from ...exceptions import Unavailable
from ...protocol import Line
from ...push import complete, create, part
from ...push.reporter import BEAT, reporter
from ...push.rows import id_of


def job_of(name: str) -> str:
    """Return the id of the job that a queue is."""
    return str(id_of(f"pluto_rt:{name}"))


def get_rt_queue_handle(queue_name: str, owner: Any = None) -> Queue:
    """Return a handle on a queue, to write to it, or to read it.

    :param owner: whose queue it is: a user, a request, or an owner as text. Without it, it is that of whose page asks
        for it first.
    :raises NotFound: if it is somebody else's.
    :raises Unavailable: if the database or the store is away.
    """
    if owner is not None:
        anywhere(lambda: create(queue_name, owner=owner, job=job_of(queue_name)))
    return Queue(queue_name)


class Queue:
    """A handle on a queue. From its first `push` on, and as long as it is kept, it says that the queue's code is alive.

    :param name: of the queue.
    """

    QUEUE_EXHAUSTED = '"_queue_exhausted_"'

    def __init__(self, name: str) -> None:
        self.name = name
        self.job = job_of(name)
        self.cancelled = False
        """Whether somebody has asked for the end of the job."""
        self._popped = 0
        self._pulse: _Pulse | None = None

    def push(self, message: Any) -> None:
        """Add an item.

        :param message: what JSON can say, of at most 4 kB.
        :raises Invalid: if it is something else.
        :raises Unavailable: if the store is away.
        """
        if message == self.QUEUE_EXHAUSTED:
            self.complete()
            return
        text = message.get("msg", "") if isinstance(message, dict) else message
        self.cancelled = anywhere(lambda: part(self.job, message, text if isinstance(text, str) else ""))
        if self._pulse is None:
            self._pulse = _Pulse(self)
            reporter().add(self._pulse)

    def pop(self) -> Any:
        """Return the oldest item that this handle has not returned yet, None if there is none. The queue keeps it."""
        first, lines = self._read(self._popped + 1, 1)
        if not lines:
            return None
        self._popped = first
        return lines[0].data

    def range(self, start: int, end: int) -> list[Any]:
        """Return items, the one at `end` too. What is negative counts from the end.

        :raises Unavailable: if the store is away.
        """
        first, lines = self._read(1, registry.conf().journal_most)
        count = first - 1 + len(lines)
        begin, over = (each + count if each < 0 else each for each in (start, end))
        return [line.data for line in lines[max(0, begin - first + 1) : max(0, over - first + 2)]]

    def complete(self, clear_delay: int = 5) -> None:
        """End the queue, and return at once. Whoever comes later still gets what was in it.

        :param clear_delay: is not needed, and taken because others gave it.
        :raises Unavailable: if the store is away.
        """
        if self._pulse is not None:
            self._pulse.stopped = True
        anywhere(lambda: complete(self.job))

    def _read(self, first: int, most: int) -> tuple[int, list[Line]]:
        found, lines = anywhere(lambda: _lines(self.job, first, most))
        return found, list(lines)


async def _alines(job: str, first: int, most: int) -> tuple[int, Any]:
    try:
        return await registry.inbox().lines(job, first, most)
    except StoreAway as error:
        raise Unavailable("Expected a store that answers; it does not. Try again later.") from error


_lines = door(_alines, registry.aclose)


class _Pulse:
    """Says that a queue's code is alive, as long as its handle is."""

    def __init__(self, queue: Queue) -> None:
        self.stopped = False
        self._job = queue.job
        self._queue = weakref.ref(queue)
        self._at = 0.0

    @property
    def over(self) -> bool:
        return self.stopped or self._queue() is None

    def pressing(self) -> bool:
        return False

    async def tell(self, now: float) -> None:
        if not self.over and now - self._at >= BEAT:
            await registry.inbox().put(self._job)
            self._at = now
