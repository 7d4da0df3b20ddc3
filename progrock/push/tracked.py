"""A job that a block of code does: it begins and ends with the block, and its progress is told from another thread."""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence, Sized
from concurrent.futures import wait
from types import TracebackType
from typing import Any, TypeVar

from asgiref.sync import sync_to_async

from ..aside import anywhere
from ..exceptions import Cancelled
from ..inbox import End
from ..models import Job
from ..protocol import Line, State
from .reporter import reporter
from .rows import insert, new_row
from .said import ended, line, why, words
from .telling import Telling

logger = logging.getLogger(__name__)

T = TypeVar("T")

LINES_MOST = 1_000
"""How many lines wait at most while nobody takes them: the newest."""
LINGER = 2.0
"""Seconds for which leaving the block waits until its end is told; after that, it is told when it can be."""


class Tracked(Telling):
    """A job that this process does. Use it as a context manager, sync or async; then it is one.

    What is said of it is told five times a second at most, from a thread of its own, the newest of it; nothing here
    waits for Redis or raises because of it, but leaving the block, which waits two seconds at most.
    """

    def __init__(self, row: Job, total: float | None, *, interrupt: bool) -> None:
        super().__init__(row, total, interrupt=interrupt)
        self._pid = 0
        self._heeded = self._entered = False

    @property
    def cancelled(self) -> bool:
        """Whether somebody has asked for its end. Code that leaves the block after it has seen this has heeded it."""
        self._heeded = self._heeded or self._asked
        return self._asked

    def report(
        self,
        done: float | None = None,
        *,
        total: float | None = None,
        percent: float | None = None,
        message: str | None = None,
        title: str | None = None,
    ) -> None:
        """Say how it stands. What is not given is as it was.

        :param done: how much is done, in whatever it counts.
        :param total: of how much.
        :param percent: 0 to 100, if it does not count.
        :param message: what is going on, for people.
        :param title: what the job is called.
        :raises Cancelled: if its end was asked for, and the job was tracked with `interrupt`.
        """
        if done is not None:
            self.done = done
        if total is not None:
            self.total = total
        if percent is not None:
            self._percent = percent
        if message is not None:
            self._message = words(message)
        if title is not None:
            self._title = words(title)
        if self._stop:
            self._raise()

    def advance(self, count: float = 1) -> None:
        """Say that so much more is done.

        :raises Cancelled: as :meth:`report` does.
        """
        self.done = (self.done or 0) + count
        if self._stop:
            self._raise()

    def iterate(self, items: Iterable[T], total: float | None = None) -> Iterator[T]:
        """Yield the items, and count them: each is done when the next is asked for.

        :param total: how many there are, if they do not know it themselves.
        :raises Cancelled: as :meth:`report` does.
        """
        done = self._expect(items, total)
        for item in items:
            yield item
            done += 1
            self.done = done
            if self._stop:
                self._raise()

    async def aiterate(self, items: AsyncIterable[T], total: float | None = None) -> AsyncIterator[T]:
        """Do the same for items that come asynchronously."""
        done = self._expect(items, total)
        async for item in items:
            yield item
            done += 1
            self.done = done
            if self._stop:
                self._raise()

    def log(self, level: str, text: str, *, data: Any = None) -> None:
        """Add a line to the job's journal.

        :param level: `debug`, `info`, `warning` or `error`.
        :param text: for people.
        :param data: any JSON, of at most 4 kB.
        :raises Invalid: if `level` is another, or `data` is no such JSON.
        """
        self._add(line(level, text, data))

    def part(self, data: Any, text: str = "") -> None:
        """Add a part of the result to the job's journal.

        :raises Invalid: as :meth:`log` does.
        """
        self._add(line("info", text, data))

    def complete(self, result: Any = None, message: str = "") -> None:
        """End it as succeeded. What is said of it afterwards does not count.

        :param result: any JSON, of at most a megabyte.
        :raises Invalid: if `result` is no such JSON.
        """
        self._finish(ended(State.SUCCEEDED, message, result))

    def fail(self, message: str) -> None:
        """End it as failed.

        :param message: why, for people.
        """
        self._finish(ended(State.FAILED, message))

    def stop(self, message: str = "") -> None:
        """End it as cancelled."""
        self._finish(ended(State.CANCELLED, message))

    def rest(self, message: str) -> None:
        """Leave it waiting, for whoever tracks it by its id next: until then nobody need say that it is alive.

        :param message: what it waits for, for people.
        """
        self._message, self._resting = words(message), True
        reporter().wake()

    def __enter__(self) -> Tracked:
        self._enter()
        try:
            self._row = anywhere(lambda: insert(self._row, self._begin))
        except BaseException as error:
            self._leave(error)
            raise
        return self

    async def __aenter__(self) -> Tracked:
        self._enter()
        try:
            self._row = await sync_to_async(insert)(self._row, self._begin)
        except BaseException as error:
            # Who waits was interrupted, and the row may be there all the same: nobody else will end it.
            self._leave(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        stops = self._leave(error)
        if self._pid == os.getpid():
            wait([self._over], LINGER)
        return stops

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        stops = self._leave(error)
        if self._pid == os.getpid():
            # Not in a thread: an event loop has few of them, and any number of blocks.
            await asyncio.wait([asyncio.wrap_future(self._over)], timeout=LINGER)
        return stops

    def _enter(self) -> None:
        if self._entered:
            raise RuntimeError(f"Job {self.id}: expected to be entered once, got entered again; track another.")
        self._entered = True

    def _expect(self, items: object, total: float | None) -> float:
        """Take note of how many more items there are; return how many are done."""
        done = self.done or 0
        if total is None and self.total is None and isinstance(items, Sized):
            total = len(items)
        if total is not None:
            self.total = done + total
        self.done = done
        return done

    def _raise(self) -> None:
        self._heeded = True
        raise Cancelled("The end of this job was asked for.")

    def _add(self, said: Line) -> None:
        if self._end is not None:
            return  # or who goes on to talk would keep the end back
        if len(self._lines) >= LINES_MOST:
            self._lines.popleft()
            self._dropped += 1
        self._lines.append(said)

    def _finish(self, end: End) -> None:
        if self._end is None:
            self._end = end
            reporter().wake()

    def _leave(self, error: BaseException | None) -> bool:
        """End the job as its block ended; return whether that was by our own exception, which stays in here."""
        if os.getpid() != self._pid and self._pid:
            return False  # a fork of the process that does it
        if self._resting:
            return False
        ours = isinstance(error, Cancelled) and self._stop
        if error is None or ours:
            self._finish(ended(State.CANCELLED if self._heeded else State.SUCCEEDED, ""))
        else:
            self._finish(ended(State.FAILED, why(error)))
        return ours

    def _begin(self, row: Job) -> None:
        """Have it told of, now that its row is there for everybody."""
        self._row = row
        self._pid = os.getpid()
        if row.state in (State.CANCELLING, State.CANCELLED):
            # While it waited to be begun.
            self._asked = True
            self._stop = self._interrupt
        if row.finished is None:
            reporter().add(self)
        else:
            what = "Job %s was over before its block began: nothing that is said of it counts."
            logger.warning(what, row.pk, extra={"job": row.pk})
            self._over.set_result(None)


def track(
    title: str,
    *,
    owner: Any,
    total: float | None = None,
    job: str | uuid.UUID | None = None,
    key: str | None = None,
    deadline: int | None = None,
    tell: Sequence[Mapping[str, Any]] = (),
    parent: str | uuid.UUID | None = None,
    weight: float = 1.0,
    interrupt: bool = False,
) -> Tracked:
    """Track what a block of code does, as a job: `with track("Import", owner=user) as job`, or `async with`.

    The job begins with the block, in a transaction when that is committed, and ends with it: as succeeded, as failed
    if the block raises, with the exception's type and words, or as cancelled if the code has heeded that its end was
    asked for. A process that dies in the block is noticed: its job is silent first, and then failed, as `lost`.

    :param title: what people see.
    :param owner: whose job it is: a user, a request, or an owner as text; None is its parent's owner.
    :param total: how much there is to do, in whatever it counts.
    :param job: its id: a UUID, or any name, of which one is made; a job that is there is gone on with.
    :param key: the caller's own name for it; the same owner's same key is the same job.
    :param deadline: milliseconds that it may take.
    :param tell: who is told when it ends, as :func:`progrock.jobs.start` takes it.
    :param parent: the unfinished job of the same owner's that it is a child of, most often a group.
    :param weight: how much it counts there, 0 or more.
    :param interrupt: whether its reports raise :class:`~progrock.exceptions.Cancelled` once its end is asked for, which
        ends the block and stays in it.
    :raises Invalid: if owner, key, deadline, tell or weight cannot be one, or the parent is over.
    :raises NotFound: when the block is entered, if the id, or the parent's, is that of somebody else's job.
    :raises Unavailable: when the block is entered, if the database is away.
    """
    row = new_row(title, owner=owner, job=job, key=key, deadline=deadline, tell=tell, parent=parent, weight=weight)
    return Tracked(row, total, interrupt=interrupt)
