"""The scheduler: batches, free slots, trouble with the layer and with the store."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from channels.exceptions import ChannelFull

from progrock.delay import Again, Lease, MemoryStore, NewEntry, Scheduler
from progrock.delay.entry import from_channel
from tests.conftest import until

Run = Callable[[Awaitable[None]], asyncio.Task[None]]


class Wire:
    """A channel layer that keeps what it is sent, and fails as often as it is told to."""

    def __init__(self, failures: int = 0, trouble: Exception | None = None) -> None:
        self.batches: list[tuple[str, list[Lease]]] = []
        self.failures = failures
        self.trouble = trouble or ChannelFull()

    async def send(self, channel: str, message: dict[str, Any], /) -> None:
        if self.failures:
            self.failures -= 1
            raise self.trouble
        self.batches.append((channel, from_channel(message)))

    @property
    def keys(self) -> list[str]:
        return [lease.key for _, batch in self.batches for lease in batch]


@pytest.fixture
async def store() -> MemoryStore:
    store = MemoryStore()
    await store.announce("c", "c.one", 100, 600_000)
    return store


async def test_what_is_due_together_is_sent_together(store: MemoryStore, tasks: Run) -> None:
    wire = Wire()
    await store.schedule([NewEntry(f"k{n}", "c", b"") for n in range(50)])
    tasks(Scheduler(store, wire).run())
    await until(lambda: len(wire.keys) == 50)
    assert len(wire.batches) == 1
    assert wire.batches[0][0] == "c.one"


async def test_a_batch_is_split_by_reader_and_never_larger_than_told(store: MemoryStore, tasks: Run) -> None:
    wire = Wire()
    await store.announce("d", "d.one", 100, 600_000)
    await store.schedule([NewEntry(f"c{n}", "c", b"") for n in range(5)])
    await store.schedule([NewEntry(f"d{n}", "d", b"") for n in range(5)])
    tasks(Scheduler(store, wire, batch=4, gap=1).run())
    await until(lambda: len(wire.keys) == 10)
    assert all(len(batch) <= 4 for _, batch in wire.batches)
    assert all(lease.reader == channel for channel, batch in wire.batches for lease in batch)


async def test_an_entry_is_sent_when_due_and_not_before(store: MemoryStore, tasks: Run) -> None:
    wire = Wire()
    # It looks by itself once a minute.
    tasks(Scheduler(store, wire, cap=60_000).run())
    await store.schedule([NewEntry("k", "c", b"", 60)])
    await until(lambda: wire.keys == ["k"])
    (lease,) = wire.batches[0][1]
    assert 0 <= lease.at - lease.due < 8_000_000


async def test_overload_stays_in_the_store(store: MemoryStore, tasks: Run) -> None:
    wire = Wire()
    await store.announce("c", "c.one", 3, 600_000)
    await store.schedule([NewEntry(f"k{n}", "c", b"") for n in range(10)])
    tasks(Scheduler(store, wire, gap=1).run())
    await until(lambda: len(wire.keys) == 3)
    renewed = [lease for lease in await store.renew(wire.batches[0][1], 15_000, "c.one") if lease]
    assert len(wire.keys) == 3
    await store.settle([(lease, Again(60_000)) for lease in renewed])
    await until(lambda: len(wire.keys) == 6)


@pytest.mark.parametrize("trouble", [ChannelFull(), ConnectionError("gone")])
async def test_what_cannot_be_sent_is_late_and_never_lost(
    store: MemoryStore, tasks: Run, caplog: pytest.LogCaptureFixture, trouble: Exception
) -> None:
    wire = Wire(failures=3, trouble=trouble)
    await store.schedule([NewEntry("k", "c", b"")])
    with caplog.at_level(logging.WARNING):
        tasks(Scheduler(store, wire, gap=1).run())
        await until(lambda: wire.keys == ["k"])
    assert wire.batches[0][1][0].attempt == 1
    assert 1 <= len([record for record in caplog.records if "takes no leases" in record.message]) <= 3


async def test_a_store_that_is_away_is_asked_again(
    store: MemoryStore, tasks: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wire = Wire()
    answer = store.lease
    calls = 0

    async def lease(limit: int, duration: int, gap: int = 0) -> list[Lease]:
        nonlocal calls
        calls += 1
        if calls <= 2:
            raise ConnectionError("no store")
        return await answer(limit, duration)

    monkeypatch.setattr(store, "lease", lease)
    await store.schedule([NewEntry("k", "c", b"")])
    tasks(Scheduler(store, wire).run())
    await until(lambda: wire.keys == ["k"])
    assert "does not answer" in caplog.text


async def test_two_schedulers_share_the_work(store: MemoryStore, tasks: Run) -> None:
    wire = Wire()
    tasks(Scheduler(store, wire, batch=5, gap=1).run())
    tasks(Scheduler(store, wire, batch=5, gap=1).run())
    await store.schedule([NewEntry(f"k{n}", "c", b"", n) for n in range(80)])
    await until(lambda: len(wire.keys) >= 80)
    assert sorted(wire.keys) == sorted(f"k{n}" for n in range(80))


async def test_standing_entries_are_there_in_a_new_store(store: MemoryStore, tasks: Run) -> None:
    wire = Wire()
    tasks(Scheduler(store, wire, standing=[NewEntry("s", "c", b"")]).run())
    await until(lambda: wire.keys == ["s"])


async def test_what_was_leased_when_it_is_stopped_is_still_sent(store: MemoryStore) -> None:
    sending = asyncio.Event()
    released = asyncio.Event()

    class Slow(Wire):
        async def send(self, channel: str, message: dict[str, Any], /) -> None:
            sending.set()
            await released.wait()
            await super().send(channel, message)

    wire = Slow()
    await store.schedule([NewEntry("k", "c", b"")])
    task = asyncio.create_task(Scheduler(store, wire).run())
    await sending.wait()
    task.cancel()
    asyncio.get_running_loop().call_later(0.02, released.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert wire.keys == ["k"]


async def test_what_cannot_be_sent_keeps_its_attempt_and_waits_a_moment(store: MemoryStore, tasks: Run) -> None:
    (due,) = await store.schedule([NewEntry("k", "c", b"", 5_000)])
    assert due is not None
    (held,) = await store.renew([Lease("k", "c", b"", due, due, due)], 5_000, "a test")
    assert held is not None
    await store.settle([(held, Again(0, attempt=3))])
    wire = Wire(failures=1)
    began = store._now()
    tasks(Scheduler(store, wire, gap=1).run())
    await until(lambda: wire.keys == ["k"])
    (lease,) = wire.batches[0][1]
    assert lease.attempt == 3
    assert lease.due - began >= 50_000


async def test_while_it_is_busy_batches_form(store: MemoryStore, tasks: Run) -> None:
    wire = Wire()
    began = time.monotonic()
    tasks(Scheduler(store, wire, gap=200).run())
    for n in range(10):
        await store.schedule([NewEntry(f"k{n}", "c", b"")])
        await asyncio.sleep(0.003)
    gaps = int((time.monotonic() - began) / 0.2)
    await until(lambda: len(wire.keys) == 10)
    assert 2 <= len(wire.batches) <= 2 + gaps


async def test_a_layer_that_hangs_does_not_keep_it_from_stopping(store: MemoryStore) -> None:
    sending = asyncio.Event()

    class Hanging(Wire):
        async def send(self, channel: str, message: dict[str, Any], /) -> None:
            sending.set()
            await asyncio.Event().wait()

    await store.schedule([NewEntry("k", "c", b"")])
    task = asyncio.create_task(Scheduler(store, Hanging()).run())
    await sending.wait()
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=3)
    assert done


async def test_a_store_that_is_away_is_not_asked_without_a_pause_nor_said_each_time(
    store: MemoryStore, tasks: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = 0

    async def away(limit: int, duration: int, gap: int = 0) -> list[Lease]:
        nonlocal calls
        calls += 1
        raise ConnectionError("no store")

    monkeypatch.setattr(store, "lease", away)
    monkeypatch.setattr("progrock.delay.scheduler.random.uniform", lambda low, high: low)
    tasks(Scheduler(store, Wire()).run())
    began = time.monotonic()
    await asyncio.sleep(0.4)
    await until(lambda: calls >= 2)
    taken = time.monotonic() - began
    assert calls <= 9 * taken / 0.4
    assert 1 <= caplog.text.count("does not answer") <= 1 + taken  # once a second


async def test_a_reader_whose_channel_is_slow_holds_up_no_other(store: MemoryStore, tasks: Run) -> None:
    class Slow(Wire):
        async def send(self, channel: str, message: dict[str, Any], /) -> None:
            if channel == "c.one":
                await asyncio.Event().wait()
            await super().send(channel, message)

    wire = Slow()
    await store.announce("d", "d.one", 100, 600_000)
    await store.schedule([NewEntry("slow", "c", b""), NewEntry("quick", "d", b"")])
    tasks(Scheduler(store, wire).run())
    await until(lambda: wire.keys == ["quick"], within=3)


async def test_a_wake_up_that_is_lost_costs_the_cap_and_no_more(
    store: MemoryStore, tasks: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_wake", lambda now: None)
    wire = Wire()
    tasks(Scheduler(store, wire, cap=20).run())
    await asyncio.sleep(0.01)
    await store.schedule([NewEntry("k", "c", b"")])
    await until(lambda: wire.keys == ["k"], within=2)


async def test_a_message_that_never_leaves_is_given_up_and_its_leases_given_back(
    store: MemoryStore, tasks: Run
) -> None:
    class Hanging(Wire):
        async def send(self, channel: str, message: dict[str, Any], /) -> None:
            if self.failures:
                self.failures -= 1
                await asyncio.Event().wait()
            await super().send(channel, message)

    wire = Hanging(failures=1)
    await store.schedule([NewEntry("k", "c", b"")])
    tasks(Scheduler(store, wire, hand_off=200, gap=1).run())
    await until(lambda: wire.keys == ["k"])
    assert wire.batches[0][1][0].attempt == 1
