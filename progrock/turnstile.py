"""The turnstile: so many sockets at a time find out whose they are, and one that has waited too long is sent back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.db import connections

from .delay import trouble
from .delay.loops import PerLoop
from .origins import Application, Receive, Scope, Send, deny

logger = logging.getLogger(__name__)

AT_ONCE = 8
"""How many sign in at the same time: the database is asked in one thread, so more would only wait in another queue."""
PATIENCE = 3.0
"""Seconds that one waits for its turn. Servers hold a handshake for five, and a client that came late is gone."""


class Turnstile:
    """An ASGI application before yours, around what finds out whose a socket is.

    After a restart all clients come back at once. What is done for one whose handshake is over by then is done for
    nobody, and keeps those waiting who came after: above what a process can do in five seconds, it would let in nobody
    any more. So one that waits too long is answered 403 before anything is asked about it, and comes back.

    :param sign_in: makes the application that finds it out, of the one behind it.
    :param application: yours, whose turns are as long as they like.
    """

    def __init__(self, sign_in: Callable[[Application], Application], application: Application) -> None:
        self._sign_in = sign_in
        self._application = application
        self._turns = PerLoop(lambda: asyncio.Semaphore(AT_ONCE))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        turns = self._turns()
        try:
            async with asyncio.timeout(PATIENCE):
                await turns.acquire()
        except TimeoutError:
            trouble.say(logger, "A websocket is sent back: more come than can sign in within %s s.", PATIENCE)
            await deny(receive, send)
            return
        # In a thread of its own, not behind all that those ask who are in.
        thread = ThreadSensitiveContext()
        mine = True

        async def leave() -> None:
            nonlocal mine
            if mine:
                mine = False
                turns.release()
                # Some ask without closing what they have opened. And of one that is gone, the question may still be
                # asked: that is nothing to wait for.
                if worker := SyncToAsync.context_to_thread_executor.pop(thread, None):
                    worker.submit(connections.close_all)
                    worker.shutdown(wait=False)
                await thread.__aexit__(None, None, None)  # type: ignore[no-untyped-call]

        async def known(scope: Scope, receive: Receive, send: Send) -> None:
            await leave()
            await self._application(scope, receive, send)

        await thread.__aenter__()  # type: ignore[no-untyped-call]
        try:
            await self._sign_in(known)(scope, receive, send)
        finally:
            await leave()
