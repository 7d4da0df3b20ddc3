"""The embedded engine in the test's own loop; what is tracked is told from a thread, as everywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from django.db import connection

from progrock import embedded, jobs, reconcile, registry
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
    monkeypatch.setattr("progrock.push.tracked.LINGER", 10)
    settings.PROGROCK = {"SERVICES": services}
    engine = Engine()
    await engine.start()
    await until(_swept)  # what reads rows may refuse another thread of a SQLite in memory
    yield engine
    await engine.stop()


async def _swept() -> bool:
    """Whether the engine's first look at all rows is over."""
    (entry,) = await registry.store().peek([reconcile.KEY])
    return entry is not None and not entry.held and msgspec.msgpack.decode(entry.message)["full_at"] > 0


async def end_of(job: str) -> Snapshot:
    """Return how a job ended, once it has."""

    async def ended() -> bool:
        return (await jobs.aget(job, owner=ME)).complete

    await until(ended)
    return await jobs.aget(job, owner=ME)
