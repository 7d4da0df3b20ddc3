"""The stores that must keep the contract, each with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from progrock.delay import DelayStore, MemoryStore


@dataclass
class Bench:
    """A store to be tested, and the means to let its time pass."""

    store: DelayStore
    advance: Callable[[int], Awaitable[None]]


async def _memory() -> Bench:
    now = 1_000_000_000_000_000

    async def advance(milliseconds: int) -> None:
        nonlocal now
        now += milliseconds * 1000

    return Bench(MemoryStore(clock=lambda: now), advance)


STORES = {"memory": _memory}


@pytest.fixture(params=STORES)
async def bench(request: pytest.FixtureRequest) -> Bench:
    return await STORES[request.param]()
