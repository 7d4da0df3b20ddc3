"""Tells the inbox how the jobs of this process stand, from one thread, whatever the code is in that does them."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from .. import registry
from ..delay import trouble

logger = logging.getLogger(__name__)

TICK = 0.2
"""Seconds from one look at what the jobs have to say to the next: what comes faster is overtaken by the newest."""
BEAT = 2.0
"""Seconds after which a job that says nothing says that it is alive, and hears of a cancel."""
BACK_OFF = (0.25, 2.0)
"""Seconds after the first time that nobody took it, doubled up to the last."""
FINISH = 3.0
"""Seconds that a process which ends has for what its jobs have not got rid of."""
_CROWD = 500
"""How many jobs have room in one tick; of more, each is told of less often."""


class Teller(Protocol):
    """Something that has news."""

    @property
    def over(self) -> bool:
        """Whether it will never have any more."""

    def pressing(self) -> bool:
        """Whether the process should not end before it has told them."""

    async def tell(self, now: float) -> None:
        """Tell its news, if there are any.

        :param now: seconds of the monotonic clock.
        :raises StoreAway: if nobody takes them now; they are to be told again.
        """


class _Loop(asyncio.SelectorEventLoop):
    """Looks names up in its own thread: the pool that others do it in is closed before a process ends."""

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> Any:
        return socket.getaddrinfo(host, port, **hints)


class Reporter:
    """The thread of this process. It begins with the first job, and does not keep the process from ending."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tellers: dict[Teller, tuple[float, float]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._finishing = self._ended = False

    def add(self, teller: Teller) -> None:
        """Tell its news from now on, until it is over."""
        with self._lock:
            self._tellers[teller] = (0.0, 0.0)
            if self._thread is None:
                ready = threading.Event()
                thread = threading.Thread(target=self._main, args=(ready.set,), name="progrock", daemon=True)
                thread.start()  # which raises if the system has none left
                self._thread = thread
                ready.wait()
        self.wake()

    def wake(self) -> None:
        """See to it that news are told now: those of jobs whose turn it is, or that press."""
        if self._loop is not None and self._wake is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    def finish(self) -> None:
        """Wait a little for news that should not be lost with the process, and end."""
        until = time.monotonic() + FINISH
        with self._lock:
            self._finishing = True
            # There is no time to back off.
            self._tellers = dict.fromkeys(self._tellers, (0.0, 0.0))
        while any(each.pressing() for each in list(self._tellers)) and time.monotonic() < until:
            self.wake()
            time.sleep(0.02)
        self._ended = True
        self.wake()
        if self._thread is not None:
            self._thread.join(1.0)

    def _main(self, ready: Callable[[], object]) -> None:
        with asyncio.Runner(loop_factory=_Loop) as runner:
            runner.run(self._run(ready))

    async def _run(self, ready: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        wake = self._wake = asyncio.Event()
        ready()
        while not self._ended:
            wake.clear()
            now = time.monotonic()
            await asyncio.gather(*(self._tell(each, now) for each in self._due(now)))
            pause = max(TICK, TICK * len(self._tellers) / _CROWD) if self._tellers else None
            await _set_within(wake, pause)
        await registry.aclose()

    def _due(self, now: float) -> list[Teller]:
        with self._lock:
            each = self._tellers.items()
            return [teller for teller, (pause, at) in each if at <= now or (not pause and teller.pressing())]

    async def _tell(self, teller: Teller, now: float) -> None:
        try:
            await teller.tell(now)
        except Exception as error:
            # Whatever it is, it is not the trouble of the code that does the job.
            trouble.say(logger, "What a job has to say is told late: %r", error)
            pause, _ = self._tellers[teller]
            pause = BACK_OFF[0] if self._finishing else min(max(BACK_OFF[0], pause * 2), BACK_OFF[1])
            self._tellers[teller] = pause, now + pause
        else:
            # Half a tick: another job that begins or ends is no reason to tell of this one.
            self._tellers[teller] = 0.0, now + TICK / 2
        if teller.over:
            with self._lock:
                del self._tellers[teller]


async def _set_within(event: asyncio.Event, within: float | None) -> None:
    """Wait for an event, for some seconds, or as long as it takes."""
    waiting: Awaitable[object] = event.wait()
    try:
        async with asyncio.timeout(within):
            await waiting
    except TimeoutError:
        pass


_reporter = Reporter()


def reporter() -> Reporter:
    """Return the one of this process."""
    return _reporter


def _in_child() -> None:
    # Its thread has stayed in the parent, and what it had to tell is the parent's.
    global _reporter
    _reporter = Reporter()


os.register_at_fork(after_in_child=_in_child)
atexit.register(lambda: _reporter.finish())
