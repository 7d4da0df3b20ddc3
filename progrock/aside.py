"""Blocking code in threads of its own: what hangs holds up nobody else, nor the end of the process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from django.db import connections

from . import logs

R = TypeVar("R")


class Full(Exception):
    """As many as there may be have not come back yet."""


class Aside:
    """Runs blocking code beside the event loop.

    Not in a pool: code that hangs would take a thread that others wait for, and keep the process from ending.

    :param most: how many threads there may be. Code that hangs cannot be ended, and keeps its place.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._running = 0
        self._lock = threading.Lock()

    async def run(self, work: Callable[[], R]) -> R:
        """Return what `work` returns. Who waits for it may be cancelled; the work goes on.

        :raises Full: if there is no place.
        :raises Exception: what it raises.
        """
        with self._lock:
            if self._running >= self.most:
                raise Full
            self._running += 1
        work, loop = logs.along(work), asyncio.get_running_loop()
        done: asyncio.Future[tuple[R] | Exception] = loop.create_future()

        def finish(result: tuple[R] | Exception) -> None:
            if not done.cancelled():
                done.set_result(result)

        def thread() -> None:
            result: tuple[R] | Exception
            try:
                result = (work(),)
            except Exception as error:
                result = error
            except BaseException as error:
                # One that would end the process, and not only the thread.
                result = RuntimeError(type(error).__name__)
            with self._lock:
                self._running -= 1
            # When the loop has ended, nobody waits.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(finish, result)

        try:
            threading.Thread(target=thread, daemon=True, name="progrock-aside").start()
        except RuntimeError:  # the system has none left
            with self._lock:
                self._running -= 1
            raise Full from None
        result = await done
        if isinstance(result, Exception):
            raise result
        return result[0]


def anywhere(work: Callable[[], R]) -> R:
    """Return what `work` returns, which asks the database: where an event loop runs, from another thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    done: list[R] = []
    work = logs.along(work)
    raised: list[BaseException] = []

    def aside() -> None:
        try:
            done.append(work())
        except BaseException as error:
            raised.append(error)
        finally:
            connections.close_all()  # those of this thread

    thread = threading.Thread(target=aside, name="progrock-anywhere")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return done[0]
