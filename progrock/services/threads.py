"""Blocking calls, for libraries that have no others: few at a time, bounded in time, none in the way of the loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from django.db import connections

from .. import logs
from ..step import Miss

logger = logging.getLogger(__name__)

L = TypeVar("L")
T = TypeVar("T")

_KEPT = 10.0
"""Seconds for which a link is kept unused: of an older one nobody knows whether the other end is still there."""


class _NotMade(Exception):
    """A call that surely never reached the other side, and will not."""


class Threads(Generic[L]):
    """Calls to one server, each in a thread of its own; one of these for an event loop.

    A call that hangs keeps its thread, though its caller has given up: so no more of them ever hang than are allowed.
    The threads do not keep the process from ending.

    :param name: of the server, for people.
    :param link: opens a link to the server; each is used by one call at a time, and then by another.
    :param check: raises if a link that was used before is broken; then there is a new one.
    :param close: closes a link; what it raises is of no interest.
    :param most: how many calls may be on the way at once.
    :param timeout: milliseconds for a whole call, the wait for its turn and for a link included.
    """

    def __init__(
        self,
        name: str,
        link: Callable[[], L],
        check: Callable[[L], object],
        close: Callable[[L], object],
        *,
        most: int,
        timeout: int,
    ) -> None:
        if timeout < 1 or most < 1:
            raise ValueError(f"Expected a timeout and connections of 1 or more, got {timeout} and {most}.")
        self._name = name
        self._link = link
        self._check = check
        self._close = close
        self._timeout = timeout / 1000
        self._turns = asyncio.Semaphore(most)
        self._kept: list[tuple[float, L]] = []
        self._closed = False
        self._said = ""

    async def call(self, ask: Callable[[L], T]) -> T | Miss:
        """Return what the call returns. Whatever it raises is a miss: who knows all that such libraries raise?

        The text of an exception is not shown: it may have a URL in it, and that a password.
        """
        try:
            answer = await self._call(ask)
        except _NotMade as error:
            self._say(error.__cause__ or error)
            return Miss("unreachable", f"{self._name} cannot be reached.", heard=False)
        except TimeoutError as error:
            self._say(error)
            return Miss("unreachable", f"{self._name} did not answer in time.")
        except Exception as error:
            self._say(error)
            return Miss("unreachable", f"{self._name} is in trouble ({type(error).__name__}).")
        self._said = ""
        return answer

    def _say(self, error: BaseException) -> None:
        """Log what is wrong, once: it goes wrong again with every look."""
        where = traceback.extract_tb(error.__traceback__)
        what = f"{type(error).__name__} at {where[-1].filename}:{where[-1].lineno}" if where else type(error).__name__
        if what != self._said:
            self._said = what
            logger.warning("%s is in trouble: %s", self._name, what)

    async def _call(self, ask: Callable[[L], T]) -> T:
        answer: Future[T] = Future()
        try:
            async with asyncio.timeout(self._timeout):
                await self._turns.acquire()
                self._begin(ask, answer)
                return await asyncio.wrap_future(answer)
        except TimeoutError as error:
            # Before it has a link, it can still be called off.
            if answer.cancel():
                raise _NotMade from error
            raise

    async def aclose(self) -> None:
        """Close the links that no call is using; those of the others are closed when they are done."""
        self._closed = True
        kept, self._kept = self._kept, []

        def close() -> None:
            for _, link in kept:
                self._let_go(link)

        if kept:
            # Some say goodbye first, and wait for an answer.
            closing = threading.Thread(target=close, daemon=True)
            closing.start()
            await asyncio.to_thread(closing.join, 1)

    def _begin(self, ask: Callable[[L], T], answer: Future[T]) -> None:
        loop = asyncio.get_running_loop()

        def run() -> None:
            try:
                self._run(ask, answer)
            finally:
                connections.close_all()  # of this thread: some ask by Django's ORM
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    loop.call_soon_threadsafe(self._turns.release)

        try:
            threading.Thread(target=logs.along(run), daemon=True).start()
        except RuntimeError as trouble:  # the system has none left
            self._turns.release()
            raise _NotMade from trouble

    def _run(self, ask: Callable[[L], T], answer: Future[T]) -> None:
        try:
            link = self._open()
        except Exception as trouble:
            if answer.set_running_or_notify_cancel():
                why = _NotMade()
                why.__cause__ = trouble
                answer.set_exception(why)
            return
        if not answer.set_running_or_notify_cancel():
            self._keep(link)
            return
        try:
            result = ask(link)
        except BaseException as trouble:
            self._let_go(link)
            answer.set_exception(trouble)
        else:
            self._keep(link)
            answer.set_result(result)

    def _open(self) -> L:
        while self._kept:
            try:
                since, link = self._kept.pop()
            except IndexError:  # another thread was quicker
                break
            if time.monotonic() - since < _KEPT:
                try:
                    self._check(link)
                except Exception:
                    self._let_go(link)
                    continue
                return link
            self._let_go(link)
        return self._link()

    def _keep(self, link: L) -> None:
        if self._closed:
            self._let_go(link)
        else:
            self._kept.append((time.monotonic(), link))

    def _let_go(self, link: L) -> None:
        with contextlib.suppress(Exception):
            self._close(link)
