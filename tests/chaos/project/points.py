"""Places in the life of a job where the run can make a process die, freeze, pause or stumble.

The run writes a file of the place's name into the folder that POINTS names: `die 3` is for whichever process comes by
for the third time first. It takes the file away, so that it happens once.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from django.db import OperationalError
from django.db.models import QuerySet

from tests.faults.events import event, tell

_FOLDER = Path(os.environ["POINTS"])
_passed: Counter[str] = Counter()
T = TypeVar("T")


async def pass_by(place: str) -> None:
    """Do here what the run has asked for."""
    path = _FOLDER / place
    if not path.exists():
        _passed.pop(place, None)
        return
    _passed[place] += 1
    try:
        action, nth = path.read_text().split()
        if _passed[place] < int(nth):
            return
        path.unlink()
    except (FileNotFoundError, ValueError):
        return  # another process was quicker, or the file is being written
    tell(event("struck", key=place))
    if action == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "freeze":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif action == "raise":
        raise OperationalError(f"chaos: {place}")
    else:
        await asyncio.sleep(float(action))


def around(place: str, call: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
    """Return the call with a place before and after it."""

    async def passing(*args: Any, **kwargs: Any) -> T:
        await pass_by(f"before-{place}")
        answer = await call(*args, **kwargs)
        await pass_by(f"after-{place}")
        return answer

    return passing


def place() -> None:
    """Put the places into the product: at what a step, a start and a sweep call, so that they stay what they are."""
    from progrock import jobs, reconcile, registry, updates
    from progrock.delay import Scheduler
    from progrock.protocol import Snapshot
    from progrock.updates import Hub
    from progrock.writes import Writes

    plain_update, plain_publish = Writes.update, updates.publish

    async def update(self: Writes, rows: QuerySet[Any], **changes: Any) -> int:
        return await around(_move(changes), plain_update)(self, rows, **changes)

    async def publish(snapshots: Iterable[tuple[str, Snapshot]], *, asks: bool = False) -> None:
        told = list(snapshots)
        end = any(snapshot.complete for _, snapshot in told)
        await (around("tell-end", plain_publish)(told, asks=asks) if end else plain_publish(told, asks=asks))

    Writes.update = update  # type: ignore[method-assign]
    jobs._create = around("row", jobs._create)  # type: ignore[assignment]
    updates.publish = publish
    registry.hand_over = around("hand-over", registry.hand_over)  # type: ignore[assignment]
    reconcile.mend = around("mend", reconcile.mend)  # type: ignore[assignment]
    jobs._schedule_new = around("seed", jobs._schedule_new)  # type: ignore[assignment]
    Hub.watch = around("join", Hub.watch)  # type: ignore[method-assign, assignment]
    Scheduler._send = around("send", Scheduler._send)  # type: ignore[method-assign, assignment]


def _move(changes: dict[str, Any]) -> str:
    """Return the name of a commit, by what it writes."""
    if changes.get("finished"):
        return "end"
    return "remote" if "remote" in changes else "intent"
