"""The embedded engine in the test's own loop, a scripted service, and groups that are looked at often."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings

from progrock import embedded, jobs
from progrock.delay import Relay
from progrock.embedded import Engine
from progrock.protocol import Snapshot, State
from tests import scripted
from tests.conftest import until

ME = "user:7"
QUICK: dict[str, Any] = {"interval": 5, "net": 5, "interval_most": 20, "retry": 2, "retry_most": 20}
TRACK: dict[str, Any] = {"interval": 5, "net": 5, "interval_most": 20, "retry": 2, "retry_most": 20, "patience": 100}


@pytest.fixture
def remote() -> scripted.Remote:
    scripted.remote.reset()
    return scripted.remote


@pytest.fixture
def quiet() -> int:
    return 15_000


@pytest.fixture
def track_quiet(quiet: int) -> int:
    return quiet


@pytest.fixture
def patience() -> int:
    return 60_000


@pytest.fixture
def net() -> int:
    return 5


@pytest.fixture
def setting(remote: scripted.Remote, quiet: int, track_quiet: int, net: int, patience: int) -> Iterator[None]:
    policy = {**QUICK, "net": net, "patience": patience}
    services = {
        "scripted": {"BACKEND": "tests.scripted.ScriptedService", "POLICY": {"interval": 5, "retry": 2}},
        "press": {"BACKEND": "tests.scripted.ScriptedService", "POLICY": {"interval": 5}},
        "group": {"BACKEND": "progrock.groups.Grouped", "OPTIONS": {"quiet": quiet}, "POLICY": policy},
        "track": {"BACKEND": "progrock.push.Pushed", "OPTIONS": {"quiet": track_quiet}, "POLICY": TRACK},
    }
    with override_settings(PROGROCK={"SERVICES": services, "DEFAULT_SERVICE": "scripted"}):
        yield


@pytest.fixture
async def engine(setting: None, transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engine]:
    monkeypatch.setattr(Relay, "last_message", 0.01)
    monkeypatch.setattr("progrock.push.telling.BEAT", 0.2)
    if connection.vendor != "sqlite":
        monkeypatch.setattr(embedded, "_lock_path", lambda: None)
    engine = Engine()
    await engine.start()
    yield engine
    await engine.stop()


async def seen(job: str, **like: Any) -> Snapshot:
    """Return a snapshot of a job, once it is like that."""
    last: list[Snapshot] = []

    async def right() -> bool:
        last[:] = [await jobs.aget(job, owner=ME)]
        return all(getattr(last[0], name) == value for name, value in like.items())

    await until(right)
    return last[0]


async def end_of(job: str) -> Snapshot:
    """Return how a job ended, once it has."""
    return await seen(job, complete=True)


async def going(job: str) -> Snapshot:
    """Return how a job stands, once its service has been heard."""
    return await seen(job, state=State.RUNNING)
