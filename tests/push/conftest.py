"""The embedded engine in the test's own loop; what is tracked is told from a thread, as everywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.db import connection

from progrock import embedded, jobs
from progrock.delay import Relay
from progrock.embedded import Engine
from progrock.protocol import Snapshot
from tests.conftest import until

ME = "user:7"


@pytest.fixture
def services() -> dict[str, Any]:
    return {}


@pytest.fixture
async def engine(
    services: dict[str, Any], settings: Any, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Engine]:
    monkeypatch.setattr(Relay, "last_message", 0.01)
    if connection.vendor != "sqlite":
        monkeypatch.setattr(embedded, "_lock_path", lambda: None)
    monkeypatch.setattr("progrock.push.telling.BEAT", 0.2)
    settings.PROGROCK = {"SERVICES": services}
    engine = Engine()
    await engine.start()
    yield engine
    await engine.stop()


async def end_of(job: str) -> Snapshot:
    """Return how a job ended, once it has."""

    async def ended() -> bool:
        return (await jobs.aget(job, owner=ME)).complete

    await until(ended, within=10)
    return await jobs.aget(job, owner=ME)
