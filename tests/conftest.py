"""What every test needs: nothing left over from the one before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import cache

import pytest
from asgiref.sync import SyncToAsync
from asgiref.testing import ApplicationCommunicator
from channels.layers import channel_layers
from channels.testing import WebsocketCommunicator
from django.db import connections
from hypothesis import settings as examples
from msgspec.structs import replace
from pytest_django import DjangoDbBlocker

from progrock import history, quota, registry
from progrock.delay import trouble
from tests.redis import RedisServer
from tests.until import PATIENCE
from tests.until import until as until

# How long one example takes says nothing while the machine does much else.
examples.register_profile("busy", deadline=None)
examples.load_profile("busy")


@pytest.fixture(autouse=True, scope="session")
def patient() -> Iterator[None]:
    """Wait long for what an application answers: the one second of Channels is soon over on a busy machine."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "receive_from", "receive_json_from"):
            patch.setattr(getattr(WebsocketCommunicator, name), "__defaults__", (PATIENCE,))
        patch.setattr(WebsocketCommunicator.disconnect, "__defaults__", (1000, PATIENCE))
        for name in ("wait", "receive_output"):
            patch.setattr(getattr(ApplicationCommunicator, name), "__defaults__", (PATIENCE,))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give all tests that have a browser one loop: what drives it belongs to the loop that it began in."""
    for each in items:
        if "chromium" in getattr(each, "fixturenames", ()):
            each.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Give each test layers, a store and services of its own, and let it hear of trouble."""
    channel_layers.backends = {}
    registry.forget()
    quota.forget()
    history.forget()
    trouble.forget()


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change limits of the settings, and leave what runs with them as it is."""

    def change(**limits: int) -> None:
        changed = replace(registry.conf(), **limits)
        monkeypatch.setattr(registry, "conf", cache(lambda: changed))

    return change


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Let go of the database, which cannot be dropped while somebody is connected."""
    yield
    with django_db_blocker.unblock():
        disconnect()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One Redis for all the tests that do not stop, freeze or configure it."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis(redis_server: RedisServer) -> RedisServer:
    """That Redis, empty."""
    redis_server.cli("FLUSHALL")
    return redis_server


def disconnect() -> None:
    """Close the connections of this thread, and of the one from which async code asks the database."""
    connections.close_all()
    SyncToAsync.single_thread_executor.submit(connections.close_all).result(10)


@pytest.fixture
async def tasks() -> AsyncIterator[Callable[[Awaitable[None]], asyncio.Task[None]]]:
    """Run things beside the test, and stop them with it."""
    running: list[asyncio.Task[None]] = []

    def run(work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        running.append(task)
        return task

    yield run
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
