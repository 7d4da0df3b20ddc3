"""The embedded engine sends messages later, as `rundelay` does."""

from __future__ import annotations

import asyncio

import pytest
from channels.layers import get_channel_layer

from progrock import delay, reconcile, registry
from progrock.delay import Relay
from progrock.embedded import Engine
from tests.conftest import until


async def test_messages_are_sent_later_without_a_process_for_it(engine: Engine) -> None:
    layer = get_channel_layer("work")
    await delay.send("c", {"n": 1}, delay=10)
    await layer.send("asgi.delay", {"channel": "c", "content": {"n": 2}, "delay": 60})
    async with asyncio.timeout(10):
        assert [await layer.receive("c") for _ in range(2)] == [{"n": 1}, {"n": 2}]


async def test_what_must_always_be_in_the_schedule_is(engine: Engine) -> None:
    keys = [new.key for new in reconcile.standing()]
    assert keys == ["reconcile", "asgi.delay.intake"]

    async def there() -> bool:
        return all(await registry.store().peek(keys))

    await until(there)


async def test_an_engine_that_relays_stops_soon(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Relay, "drain", 600_000)
    layer = get_channel_layer("work")
    await layer.send("asgi.delay", {"channel": "c", "content": {}, "delay": 0})
    await asyncio.wait_for(layer.receive("c"), 60)
    async with asyncio.timeout(60):  # it does not sit out the ten minutes that steps have
        await engine.stop()
