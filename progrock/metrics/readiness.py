"""Whether this process can do its work: database, store and channel layers answer, each within two seconds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from typing import Any

from django.conf import settings
from django.db import connections, router

from .. import registry
from ..aside import Aside
from ..delay import trouble
from ..delay.loops import PerLoop
from ..doctor.layers import layer
from ..models import Job

logger = logging.getLogger("progrock.metrics")

LIMIT = 2.0
"""Seconds that each has for its answer."""
KEEP = 1.0
"""Seconds for which an answer is kept: anybody may ask, and each look costs connections."""
_THREADS = 4

_aside = Aside(_THREADS)


class _Last:
    """The last look of an event loop: when it was made, what it found, and the one that is under way."""

    at = float("-inf")
    found: Mapping[str, str] = {}
    looking: asyncio.Task[None] | None = None

    async def look(self) -> None:
        self.found = await _wrong()
        self.at = asyncio.get_running_loop().time()


_last = PerLoop(_Last)


async def ready() -> Mapping[str, str]:
    """Return what does not answer, and how, by name: nothing if all does.

    Those who ask at the same time share a look, and it counts for a second.
    """
    loop, last = asyncio.get_running_loop(), _last()
    if loop.time() - last.at >= KEEP:
        if last.looking is None or last.looking.done():
            last.looking = loop.create_task(last.look())
        # Who is cancelled takes the look from nobody else.
        await asyncio.shield(last.looking)
    return last.found


def told(wrong: Mapping[str, str]) -> str:
    """Return the answer about what is wrong, by name: a line each."""
    return "\n".join([f"{name}: {says}" for name, says in wrong.items()] or ["ok"]) + "\n"


async def _wrong() -> Mapping[str, str]:
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    asked: dict[str, Awaitable[Any]] = {"database": _database(), "store": registry.store().depth()}
    asked |= {f"layer {alias}": layer(alias) for alias in ("default", registry.WORK_LAYER) if alias in layers}
    answers = await asyncio.gather(*(_within(name, each) for name, each in asked.items()))
    return {name: answer for name, answer in zip(asked, answers, strict=True) if answer}


async def _within(name: str, asked: Awaitable[Any]) -> str:
    """Return what is wrong with an answer, empty if nothing is. Why is said in the log: anybody may ask."""
    asking = asyncio.ensure_future(asked)
    # Not wait_for: that waits for what it has cancelled, which may hang in letting go.
    if not (await asyncio.wait([asking], timeout=LIMIT))[0]:
        asking.cancel()
        trouble.say(logger, "Not ready: the %s does not answer within %g s.", name, LIMIT)
        return f"does not answer within {LIMIT:g} s"
    try:
        found = asking.result()
    except Exception as error:
        trouble.say(logger, "Not ready: the %s: %r", name, error)
        return "does not answer"
    wrong = [each for each in found if each.level == "error"] if isinstance(found, list) else []
    return "does not answer" if wrong else ""


async def _database() -> None:
    # In a thread: one that hangs holds up nobody else.
    await _aside.run(_ask)


def _ask() -> None:
    connection = connections[router.db_for_write(Job)]
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()
