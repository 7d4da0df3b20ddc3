"""The worker that runs channel consumers: bounded, never raising, draining."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer

from progrock.delay import Worker
from progrock.delay.worker import Receive, Send
from tests.conftest import until

Run = Callable[[Awaitable[None]], asyncio.Task[None]]


class Recorder:
    """An application that notes each message, and fails or waits when one says so."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.done: list[Any] = []
        self.go_on = asyncio.Event()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["channel"] == "unknown":
            raise ValueError("no route for 'unknown'")
        while True:
            message = await receive()
            self.begun.append(message["n"])
            if message.get("fails"):
                raise RuntimeError("a bug in a consumer")
            if message.get("waits"):
                await self.go_on.wait()
            self.done.append(message["n"])


@pytest.fixture
def layer() -> InMemoryChannelLayer:
    return InMemoryChannelLayer()


async def test_a_message_is_taken_only_when_its_consumer_is_ready(layer: InMemoryChannelLayer, tasks: Run) -> None:
    app = Recorder()
    for n in range(5):
        await layer.send("c", {"type": "t", "n": n, "waits": True})
    tasks(Worker(app, ["c"], layer).run())
    await until(lambda: app.begun == [0])
    assert layer.channels["c"].qsize() == 4
    app.go_on.set()
    await until(lambda: app.done == [0, 1, 2, 3, 4])


async def test_a_consumer_that_fails_costs_its_message_only(
    layer: InMemoryChannelLayer, tasks: Run, caplog: pytest.LogCaptureFixture
) -> None:
    app = Recorder()
    for n in range(4):
        await layer.send("c", {"type": "t", "n": n, "fails": n == 1})
    tasks(Worker(app, ["c"], layer).run())
    await until(lambda: app.done == [0, 2, 3])
    assert caplog.text.count("the next one takes over") == 1


async def test_a_layer_that_is_away_is_asked_again(
    layer: InMemoryChannelLayer, tasks: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app, receive, failures = Recorder(), layer.receive, [ConnectionError("no layer")]

    async def away(channel: str) -> dict[str, Any]:
        if failures:
            raise failures.pop()
        message: dict[str, Any] = await receive(channel)
        return message

    monkeypatch.setattr(layer, "receive", away)
    monkeypatch.setattr("progrock.delay.worker.random.uniform", lambda low, high: 0)
    tasks(Worker(app, ["c"], layer).run())
    await layer.send("c", {"type": "t", "n": 1})
    await until(lambda: app.done == [1])
    assert "trying again" in caplog.text


async def test_a_channel_that_nobody_serves_ends_the_worker(layer: InMemoryChannelLayer) -> None:
    with pytest.raises(ValueError, match="no route"):
        await asyncio.wait_for(Worker(Recorder(), ["c", "unknown"], layer).run(), 60)


async def test_a_message_that_was_taken_is_finished_before_the_worker_stops(
    layer: InMemoryChannelLayer, tasks: Run
) -> None:
    app = Recorder()
    for n in range(2):
        await layer.send("c", {"type": "t", "n": n, "waits": True})
    worker = tasks(Worker(app, ["c"], layer, drain=30).run())
    await until(lambda: app.begun == [0])
    worker.cancel()
    await asyncio.sleep(0)
    app.go_on.set()
    await asyncio.wait([worker], timeout=60)
    assert worker.cancelled()
    assert app.done == [0]
    assert layer.channels["c"].qsize() == 1


async def test_what_takes_too_long_is_cancelled_when_the_worker_stops(layer: InMemoryChannelLayer, tasks: Run) -> None:
    app = Recorder()
    await layer.send("c", {"type": "t", "n": 0, "waits": True})
    worker = tasks(Worker(app, ["c"], layer, drain=0.01).run())
    await until(lambda: app.begun == [0])
    worker.cancel()
    await asyncio.wait([worker], timeout=60)
    assert worker.cancelled()
    assert app.done == []


async def test_asked_to_stop_twice_it_stops_now(layer: InMemoryChannelLayer, tasks: Run) -> None:
    app = Recorder()
    await layer.send("c", {"type": "t", "n": 0, "waits": True})
    worker = tasks(Worker(app, ["c"], layer, drain=600).run())
    await until(lambda: app.begun == [0])
    worker.cancel()
    await asyncio.sleep(0.01)
    assert not worker.done()
    worker.cancel()
    await asyncio.wait([worker], timeout=60)
    assert worker.cancelled()


@pytest.mark.parametrize("fails", [False, True])
async def test_a_consumer_that_ends_at_once_does_not_spin(
    layer: InMemoryChannelLayer, tasks: Run, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    begun, pauses = 0, []

    async def useless(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        nonlocal begun
        begun += 1
        asking = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        asking.cancel()
        if fails:
            raise RuntimeError("a bug in a consumer")

    def pause(low: float, high: float) -> float:
        pauses.append((low, high))
        return 0.001

    monkeypatch.setattr("progrock.delay.worker.random.uniform", pause)
    tasks(Worker(useless, ["c"], layer).run())
    await until(lambda: begun >= 5)
    assert len(pauses) in (begun - 1, begun)
    assert set(pauses) == {(0.5, 1.5)}


async def test_a_consumer_that_takes_no_notice_is_told_again(layer: InMemoryChannelLayer, tasks: Run) -> None:
    cancelled, begun = 0, asyncio.Event()

    async def deaf(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        nonlocal cancelled
        begun.set()
        while True:
            try:
                await receive()
            except asyncio.CancelledError:
                cancelled += 1
                if cancelled > 1:
                    raise

    working = tasks(Worker(deaf, ["c"], layer, drain=0.1).run())
    await begun.wait()
    working.cancel()
    await asyncio.wait_for(asyncio.wait([working]), 60)
    assert cancelled == 2
