"""What a test does with an adapter: start, look until something is so, and say what came."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from progrock.protocol import State
from progrock.services import Order, Service, Started
from progrock.step import Look, Reading
from tests.conftest import until


async def start(service: Service, /, **params: Any) -> str:
    """Start a job and return the service's name for it."""
    started = await service.start(Order(str(uuid.uuid4()), service.clean(params)))
    assert isinstance(started, Started), started
    return started.remote


async def look(service: Service, remote: str) -> Look:
    """Look at one job."""
    (found,) = await service.poll([remote])
    return found


async def looks(service: Service, remote: str, so: Callable[[Reading], object]) -> list[Reading]:
    """Look until the reading is as it should be, and return all readings. A miss fails the test."""
    seen: list[Reading] = []

    async def reached() -> object:
        found = await look(service, remote)
        assert isinstance(found, Reading), found
        seen.append(found)
        return so(found)

    await until(reached)
    return seen


async def end(service: Service, remote: str) -> list[Reading]:
    """Look until the job is over, and return all readings."""
    return await looks(service, remote, lambda reading: reading.state.complete)


def states(readings: list[Reading]) -> list[State]:
    """Return the states that were seen, each once, in order."""
    return [each.state for n, each in enumerate(readings) if n == 0 or readings[n - 1].state is not each.state]
