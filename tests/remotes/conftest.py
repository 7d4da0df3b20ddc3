"""Services as settings declare them, alone and with the whole engine around them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from django.test import override_settings

from progrock import jobs
from progrock.delay import Relay
from progrock.embedded import Engine
from progrock.protocol import Snapshot
from progrock.services import HTTPService
from tests.conftest import until
from tests.services.remote import Remote

Declare = Callable[..., HTTPService]
Run = Callable[..., Awaitable[None]]


@pytest.fixture
async def declare() -> AsyncIterator[Declare]:
    """Make services from their options."""
    made: list[HTTPService] = []

    def declare(**options: Any) -> HTTPService:
        made.append(HTTPService(**options))
        return made[-1]

    yield declare
    for service in made:
        await service.aclose()


@pytest.fixture
async def played() -> AsyncIterator[Remote]:
    """A service that answers as the test says."""
    async with Remote() as played:
        yield played


@pytest.fixture
async def run(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Run]:
    """Run the engine with one service, of these options and with this `HOOK`, to the end of the test."""
    monkeypatch.setattr(Relay, "last_message", 0.01)  # nothing more comes, and each test would wait for it

    @asynccontextmanager
    async def running(hook: dict[str, Any] | None, options: dict[str, Any]) -> AsyncIterator[None]:
        service: dict[str, Any] = {
            "BACKEND": "progrock.services.HTTPService",
            "OPTIONS": options,
            "POLICY": {"interval": 250, "cancel_patience": 40_000, "patience": 60_000, "deadline": 300_000},
        }
        if hook:
            service["HOOK"] = hook
        with override_settings(PROGROCK={"SERVICES": {"remote": service}, "PUBLIC_URL": "https://us.example/prog"}):
            engine = Engine()
            await engine.start()
            yield
            await engine.stop()

    async with AsyncExitStack() as stack:

        async def run(hook: dict[str, Any] | None = None, **options: Any) -> None:
            await stack.enter_async_context(running(hook, options))

        yield run


async def end_of(job: str) -> Snapshot:
    """Return how one of my jobs ended."""

    async def ended() -> bool:
        return (await jobs.aget(job, owner="me")).complete

    await until(ended)
    return await jobs.aget(job, owner="me")
