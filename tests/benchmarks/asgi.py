"""The project's application, and at `/bench` the lateness of every step since the last time it was asked."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from config.asgi import application as project
from progrock.consumers.worker import JobWorker
from progrock.delay import Lease, Outcome

_late: list[float] = []
_steps = JobWorker.steps


async def _measured(self: JobWorker, leases: Sequence[Lease]) -> AsyncGenerator[tuple[Lease, Outcome], None]:
    # A start that comes straight from the receiver is renewed long before it is due.
    _late.extend((lease.at - lease.due) / 1000 for lease in leases if lease.at >= lease.due)
    async for settled in _steps(self, leases):
        yield settled


JobWorker.steps = _measured  # type: ignore[method-assign]


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer `/bench`, leave the rest to the project."""
    if scope["type"] != "http" or scope["path"] != "/bench":
        await project(scope, receive, send)
        return
    body = json.dumps(_late).encode()
    _late.clear()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})
