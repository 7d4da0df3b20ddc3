"""Embedded mode: scheduler and worker inside the web process, started and stopped with the server.

With a store outside the process they are processes of their own, and nothing here starts.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from pathlib import Path
from typing import IO, Any

from channels.layers import get_channel_layer
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from . import reconcile, registry
from .delay import Relay, Scheduler
from .exceptions import EngineTaken
from .routing import channel

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Engine:
    """The scheduler and one worker, as tasks of the running loop."""

    def __init__(self) -> None:
        self._lock: IO[str] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take the database for this process and start.

        :raises EngineTaken: if another process has it.
        """
        self._lock = _take(_lock_path())
        layer = get_channel_layer(registry.WORK_LAYER)
        scheduler = Scheduler(registry.store(), layer, standing=reconcile.standing())

        async def send(message: MutableMapping[str, Any]) -> None:
            """A worker has nobody to answer to."""

        receive = partial(layer.receive, registry.CHANNEL)
        worker = channel({"type": "channel", "channel": registry.CHANNEL}, receive, send)
        relay = Relay(registry.store(), registry.WORK_LAYER)
        self._tasks = [asyncio.ensure_future(work) for work in (scheduler.run(), worker, relay.run())]
        for task in self._tasks:
            task.add_done_callback(_report)

    async def stop(self) -> None:
        """Stop: running steps finish or are given back."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await registry.aclose()
        if self._lock is not None:
            self._lock.close()


class Lifespan:
    """An ASGI application around yours that starts and stops the engine, if there is one, by the lifespan protocol.

    Under a server that has no lifespan protocol, the engine starts with the first connection, and says so.

    :param application: yours.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self._engine: Engine | None = None
        self._starting = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if self._engine is None and registry.conf().embedded:
            await self._start("with the first visitor: this server has no lifespan protocol, 'runserver' has")
        await self._application(scope, receive, send)

    async def _start(self, when: str) -> None:
        async with self._starting:
            if self._engine is None:
                engine = Engine()
                await engine.start()
                self._engine = engine
                logger.info("The engine runs in process %d, started %s.", os.getpid(), when)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        try:
            if registry.conf().embedded:
                await self._start("with the server")
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error) or repr(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()  # lifespan.shutdown
        if self._engine is not None:
            await self._engine.stop()
        await send({"type": "lifespan.shutdown.complete"})


def _lock_path() -> Path | None:
    """Return the lock file that stands for the database, None for one that no other process can open."""
    if connection.vendor != "sqlite":
        raise ImproperlyConfigured(f"Embedded mode needs SQLite, DATABASES['default'] is {connection.vendor}.")
    name = str(connection.settings_dict["NAME"])
    return None if name == ":memory:" or "mode=memory" in name else Path(f"{name}.engine")


def _take(path: Path | None) -> IO[str] | None:
    """Lock the file, for as long as it stays open: the lock ends with the process, however it ends."""
    if path is None:
        return None
    lock = path.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        owner = lock.read().strip() or "another process"
        lock.close()
        raise EngineTaken(
            f"{owner} runs ProgRock on this database already. Stop it first, or give this one a database of its own."
        ) from None
    lock.truncate(0)
    lock.write(f"Process {os.getpid()}")
    lock.flush()
    return lock


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.critical("The embedded engine stopped.", exc_info=error)
