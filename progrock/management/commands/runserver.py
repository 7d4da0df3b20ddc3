"""`manage.py runserver`: daphne's, with the lifespan protocol that daphne lacks, so that the engine starts with it."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import Any

from daphne.management.commands.runserver import Command as DaphneCommand
from daphne.server import Server
from twisted.internet import reactor
from twisted.internet.defer import Deferred

logger = logging.getLogger("progrock.runserver")


class LifespanServer(Server):
    """A daphne server that sends its application the lifespan events of the ASGI specification."""

    failure = ""

    def run(self) -> None:
        self.ready_callable = self._begin
        super().run()
        if self.failure:
            sys.stderr.write(f"CommandError: {self.failure}\n")
            sys.stderr.flush()
            # Not sys.exit: under the autoreloader this is a thread, and the process would wait for a change.
            os._exit(1)

    def _begin(self) -> None:
        loop = asyncio.get_event_loop()
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._lifespan = loop.create_task(
            self.application({"type": "lifespan", "asgi": {"version": "3.0"}}, self._events.get, self._answer)
        )
        self._lifespan.add_done_callback(self._report)
        self._events.put_nowait({"type": "lifespan.startup"})
        reactor.addSystemEventTrigger("before", "shutdown", self._end)  # type: ignore[arg-type]  # Twisted's stub

    async def _answer(self, message: dict[str, Any]) -> None:
        if message["type"] == "lifespan.startup.failed":
            self.failure = message.get("message", "")
            self.stop()

    def _report(self, lifespan: asyncio.Task[None]) -> None:
        if not lifespan.cancelled() and (error := lifespan.exception()):
            # As the specification has it, an application that knows no lifespan is served all the same.
            hint = "wrap your ASGI application in progrock.embedded.Lifespan"
            logger.warning("The engine does not run in this server, %s: %r", hint, error)

    def _end(self) -> Deferred[Any]:
        self._events.put_nowait({"type": "lifespan.shutdown"})
        return Deferred.fromFuture(asyncio.gather(self._lifespan, return_exceptions=True))


class Command(DaphneCommand):
    """Run a development server, with the embedded engine in it."""

    server_cls = LifespanServer
