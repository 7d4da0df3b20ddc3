"""The relay: the contract of Channels 1's `asgi.delay`, and what must not be among its old faults."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import msgspec
import pytest
from channels.exceptions import ChannelFull
from channels.layers import get_channel_layer

from progrock.delay import INTAKE, Lease, MemoryStore, NewEntry, Relay, Scheduler, relay
from progrock.delay.message import CHANNEL, DELAY_MOST
from tests.conftest import until

Run = Callable[[Awaitable[None]], asyncio.Task[None]]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def layer() -> Any:
    return get_channel_layer("work")


@pytest.fixture
def delaying(store: MemoryStore, layer: Any, tasks: Run) -> None:
    """A scheduler and a relay."""
    tasks(Scheduler(store, layer, standing=[INTAKE], gap=1).run())
    tasks(Relay(store, "work").run())


def later(n: int = 0, delay: object = 0, **more: object) -> dict[str, Any]:
    return {"channel": "c", "content": {"type": "t", "n": n}, "delay": delay, **more}


async def arrived(layer: Any, channel: str = "c") -> dict[str, Any]:
    message: dict[str, Any] = await asyncio.wait_for(layer.receive(channel), 60)
    return message


@pytest.mark.usefixtures("delaying")
async def test_content_arrives_on_its_channel_no_earlier_than_the_delay_says(layer: Any) -> None:
    began = time.monotonic()
    await layer.send(CHANNEL, later(1, 80))
    assert await arrived(layer) == {"type": "t", "n": 1}
    assert time.monotonic() - began >= 0.08


@pytest.mark.usefixtures("delaying")
async def test_the_soonest_comes_first_whatever_was_sent_first(layer: Any) -> None:
    for n, delay in ((3, 2_000), (1, 0), (2, 1_000.5)):
        await layer.send(CHANNEL, later(n, delay))
    assert [(await arrived(layer))["n"] for _ in range(3)] == [1, 2, 3]


@pytest.mark.usefixtures("delaying")
async def test_what_is_the_same_but_for_its_time_is_sent_as_often(layer: Any, store: MemoryStore) -> None:
    for _ in range(3):
        await layer.send(CHANNEL, later(7, 30))
    assert [(await arrived(layer))["n"] for _ in range(3)] == [7, 7, 7]
    await until(lambda: _only_the_intake(store))


async def _only_the_intake(store: MemoryStore) -> bool:
    return await store.depth() == 1


BAD: list[tuple[Any, str]] = [
    ({"type": "t"}, "no channel"),
    ({"channel": "c", "delay": 1}, "no content"),
    ({"channel": "c", "content": {}}, "no delay"),
    (later(delay="200"), "the delay as 0 to"),
    (later(delay=True), "the delay as 0 to"),
    (later(delay=None), "the delay as 0 to"),
    (later(delay=-1), "the delay as 0 to"),
    (later(delay=float("nan")), "the delay as 0 to"),
    (later(delay=float("inf")), "the delay as 0 to"),
    (later(delay=10**400), "the delay as 0 to"),
    (later(delay=DELAY_MOST + 1), "the delay as 0 to"),
    (later(channel="no such name"), "the channel as a name"),
    (later(channel="c\n"), "the channel as a name"),
    (later(channel="x" * 100), "the channel as a name"),
    (later(channel=7), "the channel as a name"),
    (later(content="text"), "the content as a dict"),
    (later(content=[1]), "the content as a dict"),
    (later(layer=3), "the layer as the alias"),
    (later(layer="nowhere"), "the alias of a channel layer, got 'nowhere'"),
    (later(key=""), "the key as a text"),
    (later(key="x" * 201), "the key as a text"),
    (later(content={"fine": object()}), "a content of None, bool, int"),
    (later(content={"when": datetime(2017, 1, 1)}, delay=60_000), "a content of None, bool, int"),
    (later(content={"n": [{2017: "year"}]}), "texts as the keys"),
    ({"refused": 7}, "no channel"),
    ("not even a dict", "Expected a dict"),
]


@pytest.mark.parametrize(("message", "reason"), BAD, ids=[f"{n}" for n in range(len(BAD))])
@pytest.mark.usefixtures("delaying")
async def test_what_makes_no_sense_is_set_aside_and_the_next_is_sent(
    message: Any, reason: str, layer: Any, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    # The in-memory layer lets through only dicts that can be copied; others do come out of Redis.
    await until(lambda: CHANNEL in layer.channels)
    layer.channels[CHANNEL].put_nowait((time.time() + 60, message))
    await layer.send(CHANNEL, later(1))
    assert (await arrived(layer))["n"] == 1
    (dead,) = await _dead(store)
    assert reason in dead.reason
    assert [reason in record.message for record in caplog.records] == [True]


async def _dead(store: MemoryStore) -> Any:
    await until(lambda: store.dead(10))
    return await store.dead(10)


@pytest.mark.usefixtures("delaying")
async def test_a_poisoned_entry_does_not_come_back(layer: Any, store: MemoryStore) -> None:
    for n, packed in enumerate((b"", b"\xc1", b"\x91" * 5_000, b"hello")):
        await store.schedule([NewEntry(f"poison{n}", CHANNEL, packed)])
    await until(lambda: _dead_are(store, 4))
    await layer.send(CHANNEL, later(1))
    assert (await arrived(layer))["n"] == 1


async def _dead_are(store: MemoryStore, count: int) -> bool:
    return len(await store.dead(10)) == count


@pytest.mark.usefixtures("delaying")
async def test_a_message_of_a_newer_version_is_left_to_a_newer_relay(
    layer: Any, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "NEWER_EVERY", 2)
    monkeypatch.setattr(relay, "NEWER_MOST", 3)
    packed = msgspec.msgpack.encode({"version": 2, "to": "c", "what": {"type": "t"}})
    await store.schedule([NewEntry("message", CHANNEL, packed)])
    (dead,) = await _dead(store)
    assert (dead.message, dead.attempt, dead.reason) == (packed, 4, "Expected a message of version 1, got version 2.")


@pytest.mark.usefixtures("delaying")
async def test_a_channel_that_is_full_makes_late_and_loses_nothing(
    layer: Any, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, refused = layer.send, 0

    async def full(channel: str, message: dict[str, Any]) -> None:
        nonlocal refused
        if channel == "c" and refused < 3:
            refused += 1
            raise ChannelFull
        await send(channel, message)

    monkeypatch.setattr(layer, "send", full)
    monkeypatch.setattr("progrock.delay.relay.random.randint", lambda low, high: 1)
    await layer.send(CHANNEL, later(1))
    assert (await arrived(layer))["n"] == 1
    assert refused == 3
    await until(lambda: _only_the_intake(store))


@pytest.mark.usefixtures("delaying")
async def test_a_store_that_is_away_is_waited_for_and_nothing_more_is_received(
    layer: Any, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await until(lambda: CHANNEL in layer.channels)
    schedule, away = store.schedule, True

    async def failing(entries: Any, *, replace: bool = False) -> Any:
        if away:
            raise ConnectionError("no store")
        return await schedule(entries, replace=replace)

    monkeypatch.setattr(store, "schedule", failing)
    monkeypatch.setattr("progrock.delay.relay.random.uniform", lambda low, high: 0.01)
    for n in range(3):
        await layer.send(CHANNEL, later(n))
    await until(lambda: layer.channels[CHANNEL].qsize() == 2)
    await asyncio.sleep(0.05)
    assert layer.channels[CHANNEL].qsize() == 2
    away = False
    assert sorted([(await arrived(layer))["n"] for _ in range(3)]) == [0, 1, 2]


async def test_two_schedulers_and_two_relays_send_each_message_once(layer: Any, store: MemoryStore, tasks: Run) -> None:
    for _ in range(2):
        tasks(Scheduler(store, layer, standing=[INTAKE], gap=1).run())
        tasks(Relay(store, "work").run())
    for n in range(60):
        await layer.send(CHANNEL, later(n, n % 7))
    assert sorted([(await arrived(layer))["n"] for _ in range(60)]) == list(range(60))
    await until(lambda: _only_the_intake(store))
    assert "c" not in layer.channels


async def test_a_relay_that_stops_gives_the_intake_to_another_at_once(
    layer: Any, store: MemoryStore, tasks: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("drain", "run_lease"):
        monkeypatch.setattr(Relay, name, 60_000)
    tasks(Scheduler(store, layer, standing=[INTAKE], gap=1).run())
    first = tasks(Relay(store, "work").run())
    await layer.send(CHANNEL, later(1))
    await arrived(layer)
    tasks(Relay(store, "work").run())
    began = time.monotonic()
    first.cancel()
    await asyncio.wait([first], timeout=30)
    assert time.monotonic() - began < 10  # not the minute that other steps have
    await layer.send(CHANNEL, later(2))
    assert (await arrived(layer))["n"] == 2
    assert time.monotonic() - began < 20  # not the run lease


@pytest.mark.usefixtures("delaying")
async def test_a_message_with_a_key_is_there_once(layer: Any, store: MemoryStore) -> None:
    for n in range(3):
        await layer.send(CHANNEL, later(n, 60_000, key="one"))
    await layer.send(CHANNEL, later(9))
    await arrived(layer)
    assert await store.depth() == 2


@pytest.fixture
def readers(layer: Any, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many have begun to read `asgi.delay`, and how many do so now."""
    receive, counted = layer.receive, Counter[str]()

    async def watched(channel: str) -> Any:
        if channel != CHANNEL:
            return await receive(channel)
        counted["begun"] += 1
        counted["now"] += 1
        counted["most"] = max(counted["most"], counted["now"])
        try:
            return await receive(channel)
        finally:
            counted["now"] -= 1

    monkeypatch.setattr(layer, "receive", watched)
    return counted


async def test_a_relay_that_lost_the_intake_stops_reading_before_it_begins_again(
    layer: Any, store: MemoryStore, readers: Counter[str], tasks: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(self: Relay) -> None:
        """A process that is frozen for a while does not renew what it holds."""

    monkeypatch.setattr(Relay, "run_lease", 60)
    monkeypatch.setattr(Relay, "_renew", nothing)
    tasks(Scheduler(store, layer, standing=[INTAKE], gap=1, hand_off=40).run())
    tasks(Relay(store, "work").run())
    await until(lambda: readers["begun"] >= 4)
    assert readers["most"] == 1
    await layer.send(CHANNEL, later(1))
    assert (await arrived(layer))["n"] == 1


@pytest.mark.usefixtures("delaying")
async def test_what_is_not_held_any_more_is_not_given_up_unsent(layer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    holds, lost = Relay.holds, 0

    def not_at_first(self: Relay, lease: Lease) -> bool:
        """By this process' clock the lease has ended, and nobody else has taken the entry yet."""
        nonlocal lost
        if lease.key == INTAKE.key or lost:
            return holds(self, lease)
        lost += 1
        return False

    monkeypatch.setattr(Relay, "holds", not_at_first)
    await layer.send(CHANNEL, later(1))
    assert (await arrived(layer))["n"] == 1
    assert lost


@pytest.mark.usefixtures("delaying")
@pytest.mark.parametrize("how", ["raises", "hangs"])
async def test_a_layer_that_is_away_makes_late_and_says_so_in_one_line(
    how: str, layer: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    send, away = layer.send, True

    async def failing(channel: str, message: dict[str, Any]) -> None:
        if channel == "c" and away:
            if how == "hangs":
                await asyncio.Event().wait()
            raise OSError("no layer")
        await send(channel, message)

    monkeypatch.setattr(layer, "send", failing)
    monkeypatch.setattr(Relay, "send_most", 0.01)
    monkeypatch.setattr("progrock.delay.relay.random.randint", lambda low, high: 5)
    began = time.monotonic()
    for n in range(30):
        await layer.send(CHANNEL, later(n))
    await until(lambda: "A layer takes no messages" in caplog.text)
    away = False
    assert sorted([(await arrived(layer))["n"] for _ in range(30)]) == list(range(30))
    assert 1 <= len(caplog.records) <= 1 + (time.monotonic() - began)  # once a second
