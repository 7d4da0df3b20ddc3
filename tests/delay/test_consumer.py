"""The self-rescheduling consumer, under a scheduler and a real channel layer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from channels.layers import get_channel_layer

from progrock.delay import Again, Done, Lease, MemoryStore, NewEntry, Outcome, Scheduler, SelfReschedulingConsumer
from progrock.delay.entry import to_channel
from tests.conftest import until

Run = Callable[[Awaitable[None]], asyncio.Task[None]]


class Counting(SelfReschedulingConsumer):
    """Steps each entry as often as its message says, and counts."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.taken: Counter[str] = Counter()
        self.at_once = self.most_at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def step(self, lease: Lease) -> Outcome:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
            self.taken[lease.key] += 1
            left = int(lease.message) - 1
            return Again(5, str(left).encode()) if left else Done()
        finally:
            self.at_once -= 1


async def serve(consumer: SelfReschedulingConsumer) -> None:
    layer = get_channel_layer("work")

    async def receive() -> dict[str, Any]:
        message: dict[str, Any] = await layer.receive("c")
        return message

    async def send(message: dict[str, Any]) -> None: ...

    await consumer({"type": "channel", "channel": "c"}, receive, send)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def start(tasks: Run, store: MemoryStore, consumer: SelfReschedulingConsumer) -> asyncio.Task[None]:
    tasks(Scheduler(store, get_channel_layer("work"), gap=1, hand_off=500).run())
    return tasks(serve(consumer))


async def empty(store: MemoryStore) -> bool:
    return await store.depth() == 0


async def test_every_step_is_taken_exactly_once(store: MemoryStore, tasks: Run) -> None:
    consumer = Counting(store)
    start(tasks, store, consumer)
    await store.schedule([NewEntry(f"k{n}", "c", b"7") for n in range(40)])
    await until(lambda: empty(store))
    assert consumer.taken == Counter({f"k{n}": 7 for n in range(40)})


async def test_leases_that_come_twice_are_stepped_once(store: MemoryStore, tasks: Run) -> None:
    consumer = Counting(store)
    tasks(serve(consumer))
    await until(lambda: store._readers["c"])
    await store.schedule([NewEntry("k", "c", b"2")])
    message = to_channel(await store.lease(10, 5_000))
    layer = get_channel_layer("work")
    for _ in range(5):
        await layer.send("c", message)
    await until(lambda: consumer.taken["k"])
    await layer.send("c", message)
    await layer.send("c", {"type": "no.such.thing"})
    await asyncio.sleep(0)
    (entry,) = await store.peek(["k"])
    assert consumer.taken == Counter(k=1)
    assert entry is not None


async def test_no_more_at_a_time_than_there_are_slots(store: MemoryStore, tasks: Run) -> None:
    consumer = Counting(store)
    consumer.slots = 4
    consumer.gate.clear()
    start(tasks, store, consumer)
    await store.schedule([NewEntry(f"k{n}", "c", b"1") for n in range(20)])
    await until(lambda: consumer.at_once == 4)
    consumer.gate.set()
    await until(lambda: empty(store))
    assert consumer.most_at_once == 4
    assert sum(consumer.taken.values()) == 20


async def test_a_long_step_keeps_its_lease(store: MemoryStore, tasks: Run) -> None:
    consumer = Counting(store)
    consumer.run_lease = 60
    consumer.gate.clear()
    start(tasks, store, consumer)
    await store.schedule([NewEntry("k", "c", b"1")])
    await until(lambda: consumer.at_once)
    await asyncio.sleep(0.3)  # five leases long
    consumer.gate.set()
    await until(lambda: empty(store))
    assert consumer.taken == Counter(k=1)
    assert consumer.most_at_once == 1


async def test_a_step_that_raises_is_its_own_trouble_only(
    store: MemoryStore, tasks: Run, caplog: pytest.LogCaptureFixture
) -> None:
    class Picky(Counting):
        async def step(self, lease: Lease) -> Outcome:
            if lease.key == "bad" and lease.attempt < 3:
                raise ValueError("not today")
            return await super().step(lease)

        def retry(self, lease: Lease, reason: str = "") -> Outcome:
            return Again(1, attempt=lease.attempt + 1)

    consumer = Picky(store)
    start(tasks, store, consumer)
    await store.schedule([NewEntry(key, "c", b"1") for key in ("good", "bad", "also good")])
    await until(lambda: empty(store))
    assert consumer.taken == Counter({"good": 1, "bad": 1, "also good": 1})
    assert caplog.text.count("A step of bad failed") == 2


async def test_a_batch_that_raises_or_forgets_repeats_what_it_left(
    store: MemoryStore, tasks: Run, caplog: pytest.LogCaptureFixture
) -> None:
    seen: Counter[str] = Counter()

    class Forgetful(SelfReschedulingConsumer):
        async def steps(self, leases: Sequence[Lease]) -> AsyncGenerator[tuple[Lease, Outcome], None]:
            for lease in leases:
                seen[lease.key] += 1
                if lease.key == "raises" and seen["raises"] == 1:
                    raise RuntimeError("once")
                if lease.key != "forgotten" or seen["forgotten"] > 1:
                    yield lease, Done()

        def retry(self, lease: Lease, reason: str = "") -> Outcome:
            return Again(1, attempt=lease.attempt + 1)

    start(tasks, store, Forgetful(store))
    await store.schedule([NewEntry(key, "c", b"") for key in ("a", "forgotten", "raises", "b")])
    await until(lambda: empty(store))
    assert seen["raises"] == 2
    assert "steps() said nothing of forgotten" in caplog.text or "A batch of" in caplog.text


@pytest.mark.parametrize(
    "message",
    [
        {"type": "delay.leases"},
        {"type": "delay.leases", "leases": "text"},
        {"type": "delay.leases", "leases": b"\xc1 garbage"},
        {"type": "delay.leases", "leases": b"\x91\x01"},
        {"type": "no.such.thing"},
        {"type": "_private"},
        {"no": "type"},
    ],
)
async def test_garbage_is_logged_and_dropped(
    store: MemoryStore, tasks: Run, caplog: pytest.LogCaptureFixture, message: dict[str, Any]
) -> None:
    consumer = Counting(store)
    start(tasks, store, consumer)
    with caplog.at_level(logging.WARNING):
        await get_channel_layer("work").send("c", message)
        await until(lambda: "Dropped a message on c" in caplog.text)
    await store.schedule([NewEntry("k", "c", b"1")])
    await until(lambda: empty(store))


async def test_what_a_lost_step_says_is_dropped(store: MemoryStore, tasks: Run) -> None:
    """The worker froze for longer than its lease: somebody else has the entry by now."""
    consumer = Counting(store)
    consumer.gate.clear()
    start(tasks, store, consumer)
    await store.schedule([NewEntry("k", "c", b"1")])
    await until(lambda: consumer.at_once)
    (held,) = consumer._held.values()
    assert consumer.holds(held.lease)
    (stolen,) = await store.renew([held.lease], 60_000, "c.other")
    assert stolen is not None
    consumer.gate.set()
    await until(lambda: not consumer._held)
    assert await store.settle([(stolen, Done())]) == [True]


async def test_an_old_step_cannot_settle_with_the_lease_of_a_new_one(store: MemoryStore) -> None:
    consumer = Counting(store)
    consumer.channel_name = "c.one"
    await store.announce("c", "c.one", 10, 60_000)
    await store.schedule([NewEntry("k", "c", b"1")])
    consumer.gate.clear()
    await consumer.delay_leases(to_channel(await store.lease(1, 0)))
    old = consumer._held["k"].lease
    (late,) = await store.renew([old], 0, "c.one")  # what a renew that ran out looks like
    assert late is not None
    await consumer.delay_leases(to_channel([late]))
    new = consumer._held["k"].lease
    assert not consumer.holds(old)
    assert consumer.holds(new)
    consumer._settle(old, Done())
    assert consumer._held["k"].outcome is None
    consumer.gate.set()
    await until(lambda: empty(store))


async def test_when_stopped_it_finishes_or_gives_back_at_once(store: MemoryStore, tasks: Run) -> None:
    consumer = Counting(store)
    consumer.drain = 50
    consumer.gate.clear()
    task = start(tasks, store, consumer)
    await store.schedule([NewEntry("k", "c", b"1")])
    await until(lambda: consumer.at_once)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (entry,) = await store.peek(["k"])
    assert entry is not None
    assert not entry.held
    assert entry.attempt == 1
    other = Counting(store)
    tasks(serve(other))
    await until(lambda: empty(store))
    assert other.taken == Counter(k=1)


async def test_steps_that_end_in_time_are_settled_when_it_is_stopped(store: MemoryStore, tasks: Run) -> None:
    consumer = Counting(store)
    consumer.drain = 30_000
    consumer.gate.clear()
    task = start(tasks, store, consumer)
    await store.schedule([NewEntry("k", "c", b"1")])
    await until(lambda: consumer.at_once)
    task.cancel()
    asyncio.get_running_loop().call_later(0.05, consumer.gate.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await empty(store)


async def test_stopped_in_the_middle_of_a_renew_it_gives_back_what_it_gets(store: MemoryStore, tasks: Run) -> None:
    renewed = asyncio.Event()
    renew = store.renew

    async def slow(leases: Sequence[Lease], duration: int, reader: str) -> list[Lease | None]:
        answer = await renew(leases, duration, reader)
        renewed.set()
        await asyncio.sleep(0.05)
        return answer

    store.renew = slow  # type: ignore[method-assign]
    consumer = Counting(store)
    consumer.gate.clear()
    task = start(tasks, store, consumer)
    await store.schedule([NewEntry("k", "c", b"1")])
    await renewed.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (entry,) = await store.peek(["k"])
    assert entry is not None
    assert not entry.held


async def test_neither_step_nor_steps_is_said_clearly(
    store: MemoryStore, tasks: Run, caplog: pytest.LogCaptureFixture
) -> None:
    start(tasks, store, SelfReschedulingConsumer(store))
    await store.schedule([NewEntry("k", "c", b"")])
    await until(lambda: "has neither step() nor steps()" in caplog.text)


async def test_a_loop_that_was_frozen_for_longer_than_the_lease_goes_on(store: MemoryStore, tasks: Run) -> None:
    class Frozen(Counting):
        async def steps(self, leases: Sequence[Lease]) -> AsyncGenerator[tuple[Lease, Outcome], None]:
            for lease in leases:
                self.taken[lease.key] += 1
                if self.taken[lease.key] == 1:
                    time.sleep(0.2)
                if self.holds(lease):
                    yield lease, Done()

        def retry(self, lease: Lease, reason: str = "") -> Outcome:
            return Again(1, attempt=lease.attempt + 1)

    consumer = Frozen(store)
    consumer.run_lease = 60
    start(tasks, store, consumer)
    await store.schedule([NewEntry("k", "c", b"1")])
    await until(lambda: empty(store))
    assert consumer.taken["k"] >= 2
    assert not consumer._held


async def test_a_key_that_is_ready_twice_is_settled_once_and_harms_no_other(store: MemoryStore) -> None:
    consumer = Counting(store)
    consumer.channel_name = "c.one"
    await store.announce("c", "c.one", 10, 60_000)
    await store.schedule([NewEntry(key, "c", b"1") for key in ("a", "b")])
    consumer.gate.clear()
    await consumer.delay_leases(to_channel(await store.lease(2, 5_000)))
    async with consumer._store_turn:
        for key in ("a", "a", "b"):
            consumer._settle(consumer._held[key].lease, Done())
        await asyncio.sleep(0)
    await until(lambda: empty(store))
    assert not consumer._held
    consumer.gate.set()


async def test_a_layer_that_is_away_does_not_end_the_worker(
    store: MemoryStore, tasks: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    layer = get_channel_layer("work")
    receive = layer.receive
    failures = 2

    async def flaky(channel: str) -> dict[str, Any]:
        nonlocal failures
        if failures:
            failures -= 1
            raise ConnectionError("away")
        message: dict[str, Any] = await receive(channel)
        return message

    monkeypatch.setattr(layer, "receive", flaky)
    start(tasks, store, Counting(store))
    await store.schedule([NewEntry("k", "c", b"1")])
    await until(lambda: empty(store))
    assert "cannot receive, trying again" in caplog.text


async def test_back_off_doubles_to_its_top_and_passes_the_nudge_on() -> None:
    consumer = Counting(MemoryStore())
    for attempt, (low, high) in {1: (500, 1_000), 3: (2_000, 4_000), 9: (30_000, 60_000)}.items():
        outcome = consumer.retry(Lease("k", "c", b"", 0, 0, 0, attempt, nudged=True))
        assert isinstance(outcome, Again)
        assert low <= outcome.delay <= high
        assert outcome.nudged


async def send_directly(store: MemoryStore, *keys: str) -> None:
    """Hand new entries over as a start does: without the scheduler, whatever slots are free."""
    for key in keys:
        (due,) = await store.schedule([NewEntry(key, "c", b"1", 5_000)])
        assert due is not None
        await get_channel_layer("work").send("c", to_channel([Lease(key, "c", b"1", due, due, due)]))


async def test_what_is_given_back_keeps_its_attempt_and_its_nudge(store: MemoryStore, tasks: Run) -> None:
    consumer = Counting(store)
    consumer.drain = 20
    consumer.gate.clear()
    task = tasks(serve(consumer))
    (due,) = await store.schedule([NewEntry("k", "c", b"1", 5_000)])
    assert due is not None
    (held,) = await store.renew([Lease("k", "c", b"1", due, due, due)], 5_000, "a test")
    assert held is not None
    await store.settle([(held, Again(0, attempt=3, nudged=True))])
    await until(lambda: store._readers["c"])
    await get_channel_layer("work").send("c", to_channel(await store.lease(1, 5_000)))
    await until(lambda: consumer.at_once)
    task.cancel()
    await asyncio.wait([task])
    await store.announce("c", "c.other", 1, 60_000)
    (lease,) = await store.lease(1, 5_000)
    assert (lease.attempt, lease.nudged) == (3, True)


async def test_what_comes_directly_waits_for_a_free_slot(store: MemoryStore, tasks: Run) -> None:
    consumer = Counting(store)
    consumer.slots = 2
    consumer.gate.clear()
    tasks(serve(consumer))
    await send_directly(store, "a", "b", "c")
    await until(lambda: consumer.at_once == 2)
    await asyncio.sleep(0.02)
    assert consumer.at_once == 2
    consumer.gate.set()
    await until(lambda: empty(store), within=3)


async def test_a_lease_that_is_lost_frees_its_slot(store: MemoryStore, tasks: Run) -> None:
    consumer = Counting(store)
    consumer.slots = 1
    consumer.run_lease = 60
    consumer.gate.clear()
    tasks(serve(consumer))
    await send_directly(store, "lost")
    await until(lambda: consumer.at_once)
    await send_directly(store, "waiting")
    await asyncio.sleep(0.02)
    await store.remove(["lost"])
    await until(lambda: consumer.at_once == 2, within=3)


async def test_a_settle_waits_for_the_renew_that_moves_its_receipt(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = Counting(store)
    consumer.channel_name = "c.one"
    await store.announce("c", "c.one", 10, 60_000)
    await store.schedule([NewEntry("k", "c", b"1")])
    consumer.gate.clear()
    await consumer.delay_leases(to_channel(await store.lease(1, 5_000)))
    renew = store.renew
    renewing, released = asyncio.Event(), asyncio.Event()

    async def slow(leases: Sequence[Lease], duration: int, reader: str) -> list[Lease | None]:
        renewed = await renew(leases, duration, reader)
        renewing.set()
        await released.wait()
        return renewed

    monkeypatch.setattr(store, "renew", slow)
    renewal = asyncio.create_task(consumer._renew())
    await renewing.wait()
    consumer.gate.set()
    await asyncio.sleep(0.02)
    released.set()
    await renewal
    await until(lambda: empty(store), within=2)


async def test_a_settle_that_fails_is_said_and_its_lease_ends(
    store: MemoryStore, tasks: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settle = store.settle
    failures = 1

    async def flaky(outcomes: Any) -> list[bool]:
        nonlocal failures
        if failures:
            failures -= 1
            raise ConnectionError("away")
        return await settle(outcomes)

    monkeypatch.setattr(store, "settle", flaky)
    consumer = Counting(store)
    consumer.run_lease = 500
    start(tasks, store, consumer)
    await store.schedule([NewEntry("k", "c", b"1")])
    await until(lambda: empty(store))
    assert consumer.taken == Counter(k=2)
    assert "Could not settle 1 steps" in caplog.text


async def test_a_heartbeat_that_fails_is_made_again_soon(
    store: MemoryStore, tasks: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    announce = store.announce
    failures = 1

    async def flaky(channel: str, reader: str, slots: int, ttl: int) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise ConnectionError("away")
        await announce(channel, reader, slots, ttl)

    monkeypatch.setattr(store, "announce", flaky)
    start(tasks, store, Counting(store))
    await store.schedule([NewEntry("k", "c", b"1")])
    await until(lambda: empty(store), within=3)
    assert "No heartbeat" in caplog.text


async def test_it_ends_only_when_what_it_settles_is_settled(
    store: MemoryStore, tasks: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = store.settle

    async def slow(outcomes: Any) -> list[bool]:
        await asyncio.sleep(0.1)
        return await settle(outcomes)

    monkeypatch.setattr(store, "settle", slow)
    consumer = Counting(store)
    consumer.gate.clear()
    task = start(tasks, store, consumer)
    await store.schedule([NewEntry("k", "c", b"1")])
    await until(lambda: consumer.at_once)
    task.cancel()
    consumer.gate.set()
    await asyncio.wait([task])
    assert await empty(store)


@pytest.mark.parametrize("outcome", [None, "later", 5])
async def test_a_step_that_says_nonsense_is_repeated(
    store: MemoryStore, tasks: Run, caplog: pytest.LogCaptureFixture, outcome: Any
) -> None:
    class Mute(Counting):
        async def step(self, lease: Lease) -> Outcome:
            good = await super().step(lease)
            return good if lease.attempt > 1 or lease.key == "good" else outcome

        def retry(self, lease: Lease, reason: str = "") -> Outcome:
            return Again(1, attempt=lease.attempt + 1)

    consumer = Mute(store)
    start(tasks, store, consumer)
    await store.schedule([NewEntry(key, "c", b"1") for key in ("mute", "good")])
    await until(lambda: empty(store))
    assert consumer.taken == Counter({"mute": 2, "good": 1})
    assert f"A step of mute failed: expected Again, Done or Dead, got {outcome!r}" in caplog.text


@pytest.mark.parametrize("batched", [False, True])
async def test_a_step_that_meets_another_s_cancellation_has_failed(
    store: MemoryStore, tasks: Run, caplog: pytest.LogCaptureFixture, batched: bool
) -> None:
    async def waits_for_what_is_cancelled() -> None:
        other = asyncio.create_task(asyncio.sleep(60))
        other.cancel()
        await other

    class Unlucky(Counting):
        async def step(self, lease: Lease) -> Outcome:
            if lease.attempt == 1:
                await waits_for_what_is_cancelled()
            return await super().step(lease)

        def retry(self, lease: Lease, reason: str = "") -> Outcome:
            return Again(1, attempt=lease.attempt + 1)

    class UnluckyBatch(Unlucky):
        async def steps(self, leases: Sequence[Lease]) -> AsyncGenerator[tuple[Lease, Outcome], None]:
            for lease in leases:
                yield lease, await self.step(lease)

    consumer = UnluckyBatch(store) if batched else Unlucky(store)
    start(tasks, store, consumer)
    await store.schedule([NewEntry("k", "c", b"1")])
    await until(lambda: empty(store))
    assert consumer.taken == Counter({"k": 1})
    assert "failed" in caplog.text


async def test_stopped_while_it_renews_it_gives_back_at_once(
    store: MemoryStore, tasks: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew, renewed = store.renew, asyncio.Event()

    async def slow(leases: Sequence[Lease], duration: int, reader: str) -> list[Lease | None]:
        answer = await renew(leases, duration, reader)
        renewed.set()
        await asyncio.sleep(0.05)  # the answer is under way
        return answer

    monkeypatch.setattr(store, "renew", slow)
    consumer = Counting(store)
    consumer.gate.clear()
    consumer.drain = 1
    serving = tasks(serve(consumer))
    await until(lambda: store._readers["c"])
    await store.schedule([NewEntry("k", "c", b"1")])
    leases = await store.lease(10, 60_000)
    await get_channel_layer("work").send(leases[0].reader, to_channel(leases))
    await renewed.wait()
    serving.cancel()
    await asyncio.wait([serving])
    (entry,) = await store.peek(["k"])
    assert entry is not None
    assert (entry.held, entry.attempt) == (False, 1)


async def test_a_layer_that_loses_a_cancellation_does_not_keep_it_from_stopping(
    store: MemoryStore, tasks: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = get_channel_layer("work")
    receive, waiting = layer.receive, asyncio.Event()

    async def deaf(channel: str) -> dict[str, Any]:
        waiting.set()
        try:
            message: dict[str, Any] = await receive(channel)
        except asyncio.CancelledError:
            message = await receive(channel)
        return message

    monkeypatch.setattr(layer, "receive", deaf)
    serving = tasks(serve(Counting(store)))
    await waiting.wait()
    serving.cancel()
    await asyncio.wait_for(asyncio.wait([serving]), 60)
    assert serving.done()


@pytest.mark.parametrize("fails", [False, True])
async def test_what_follows_from_a_step_follows_if_the_store_took_it(
    store: MemoryStore, tasks: Run, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    told: list[Outcome] = []

    class Telling(Counting):
        async def settled(self, outcomes: Sequence[tuple[Lease, Outcome]]) -> None:
            told.extend(outcome for _, outcome in outcomes)
            if fails:
                raise RuntimeError("a bug in what follows")

    consumer, settle = Telling(store), store.settle

    async def late(outcomes: Sequence[tuple[Lease, Outcome]]) -> list[bool]:
        if consumer.taken["k"] == 1:
            await store.remove(["k"])  # taken away under its hands
        return await settle(outcomes)

    monkeypatch.setattr(store, "settle", late)
    start(tasks, store, consumer)
    await store.schedule([NewEntry("k", "c", b"1")])
    await until(lambda: empty(store))
    assert not told
    monkeypatch.setattr(store, "settle", settle)
    await store.schedule([NewEntry("k2", "c", b"2")])
    await until(lambda: len(told) == 2)
    assert [type(each) for each in told] == [Again, Done]
