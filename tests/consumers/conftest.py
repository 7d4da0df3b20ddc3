"""The embedded engine in the test's own loop, with a scripted service on the other side."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings

from progrock import embedded
from progrock.delay import Relay
from progrock.embedded import Engine
from tests import scripted

POLICY: dict[str, Any] = {
    "interval": 5,
    "retry": 2,
    "retry_most": 20,
    "patience": 60_000,
    "cancel_patience": 60_000,
    "deadline": 60_000,
}


@pytest.fixture
def remote() -> scripted.Remote:
    scripted.remote.reset()
    return scripted.remote


@pytest.fixture
def policy() -> dict[str, Any]:
    return dict(POLICY)


@pytest.fixture
def tell() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def service(remote: scripted.Remote, policy: dict[str, Any], tell: list[dict[str, Any]]) -> Iterator[None]:
    declared = {"BACKEND": "tests.scripted.ScriptedService", "POLICY": policy, "TELL": tell}
    with override_settings(PROGROCK={"SERVICES": {"scripted": declared}, "TELL_ALLOW": ["127.0.0.1"]}):
        yield


@pytest.fixture
async def engine(service: None, transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engine]:
    monkeypatch.setattr(Relay, "last_message", 0.01)  # nothing more comes, and each test would wait for it
    if connection.vendor != "sqlite":
        # It refuses what several processes may share, where only a lock of ours could keep a second engine away.
        monkeypatch.setattr(embedded, "_lock_path", lambda: None)
    engine = Engine()
    await engine.start()
    yield engine
    await engine.stop()
