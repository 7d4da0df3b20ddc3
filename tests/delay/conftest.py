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


@pytest.fixture(autouse=True)
def no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels looks for old database connections before each message; here there is no database to look at."""

    async def nothing() -> None: ...

    monkeypatch.setattr("channels.consumer.aclose_old_connections", nothing)
