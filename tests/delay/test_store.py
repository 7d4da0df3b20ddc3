"""The contract of DelayStore, written once: every store must pass it."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from progrock.delay import Again, Dead, DelayStore, Done, Lease, MemoryStore, NewEntry, Reader

from .conftest import Bench

HAND_OFF, RUN = 5_000, 15_000


async def hire(store: DelayStore, slots: int = 100, reader: str = "c.one", channel: str = "c") -> None:
    await store.announce(channel, reader, slots, 600_000)


async def one(store: DelayStore) -> Lease:
    leases = await store.lease(10, HAND_OFF)
    assert len(leases) == 1
    return leases[0]


async def running(bench: Bench, key: str = "k", delay: int = 0) -> Lease:
    """Schedule an entry and take it as far as its run."""
    await hire(bench.store)
    await bench.store.schedule([NewEntry(key, "c", b"m", delay)])
    (lease,) = await bench.store.renew([await one(bench.store)], RUN, "c.one")
    assert lease is not None
    return lease


async def test_schedule_inserts_and_never_replaces(bench: Bench) -> None:
    first, second = await bench.store.schedule([NewEntry("k", "c", b"old", 50), NewEntry("k", "c", b"new", 0)])
    assert first is not None
    assert second is None
    (entry,) = await bench.store.peek(["k"])
    assert entry is not None
    assert (entry.message, entry.due, entry.held, entry.attempt) == (b"old", first, False, 1)


async def test_nothing_is_leased_before_it_is_due(bench: Bench) -> None:
    await hire(bench.store)
    await bench.store.schedule([NewEntry("k", "c", b"m", 50)])
    await bench.advance(49)
    assert await bench.store.lease(10, HAND_OFF) == []
    await bench.advance(1)
    lease = await one(bench.store)
    assert (lease.key, lease.channel, lease.message, lease.reader) == ("k", "c", b"m", "c.one")
    assert lease.at == lease.due
    assert lease.receipt == lease.at + HAND_OFF * 1000


async def test_oldest_first_and_no_more_than_the_limit(bench: Bench) -> None:
    await hire(bench.store)
    await bench.store.schedule([NewEntry(f"k{delay}", "c", b"", delay) for delay in (30, 10, 40, 20)])
    await bench.advance(100)
    assert [lease.key for lease in await bench.store.lease(3, HAND_OFF)] == ["k10", "k20", "k30"]
    assert [lease.key for lease in await bench.store.lease(3, HAND_OFF)] == ["k40"]


@pytest.mark.parametrize("limit", [0, -1])
async def test_a_limit_of_nothing_gives_nothing(bench: Bench, limit: int) -> None:
    await running(bench)
    await bench.store.schedule([NewEntry("due", "c", b"")])
    assert await bench.store.lease(limit, HAND_OFF) == []
    assert await bench.store.dead(limit) == []


@pytest.mark.parametrize("receipt", [-1, 0, 1, 2**53])
async def test_nobody_settles_the_dead_with_a_receipt_made_up(bench: Bench, receipt: int) -> None:
    await bench.store.settle([(await running(bench), Dead("it broke"))])
    for reader in ("", "c", "c.one"):
        made_up = Lease("k", "c", b"m", receipt, 1, 1, reader=reader)
        assert await bench.store.settle([(made_up, Done())]) == [False]
        assert await bench.store.renew([made_up], RUN, "c.one") == [None]


async def test_a_message_that_is_lost_costs_one_hand_off_lease_and_no_attempt(bench: Bench) -> None:
    await hire(bench.store)
    await bench.store.schedule([NewEntry("k", "c", b"m")])
    lost = await one(bench.store)
    await bench.advance(HAND_OFF)
    again = await one(bench.store)
    assert again.receipt != lost.receipt
    assert again.attempt == 1
    refused, renewed = await bench.store.renew([lost, again], RUN, "c.one")
    assert refused is None
    assert renewed is not None


async def test_only_the_newest_receipt_is_good(bench: Bench) -> None:
    lease = await running(bench)
    (newer,) = await bench.store.renew([lease], RUN, "c.one")
    assert newer is not None
    assert await bench.store.renew([lease], RUN, "c.one") == [None]
    assert await bench.store.settle([(lease, Done())]) == [False]
    assert await bench.store.settle([(newer, Done())]) == [True]
    assert await bench.store.settle([(newer, Done())]) == [False]
    assert await bench.store.depth() == 0


async def test_a_receipt_is_new_each_time_even_if_the_clock_stands(bench: Bench) -> None:
    lease = await running(bench)
    receipts = {lease.receipt}
    for _ in range(5):
        (renewed,) = await bench.store.renew([lease], RUN, "c.one")
        assert renewed is not None
        lease = renewed
        receipts.add(lease.receipt)
    assert len(receipts) == 6


async def test_a_lost_run_comes_due_again_and_is_counted(bench: Bench) -> None:
    lost = await running(bench)
    await bench.advance(RUN - 1)
    assert await bench.store.lease(10, HAND_OFF) == []
    await bench.advance(1)
    again = await one(bench.store)
    assert again.attempt == 2
    assert await bench.store.settle([(lost, Again(0))]) == [False]


async def test_settle_again_starts_a_new_step(bench: Bench) -> None:
    lease = await running(bench)
    assert await bench.store.settle([(lease, Again(200, b"next"))]) == [True]
    await bench.advance(199)
    assert await bench.store.lease(10, HAND_OFF) == []
    await bench.advance(1)
    lease = await one(bench.store)
    assert (lease.message, lease.attempt) == (b"next", 1)


async def test_settle_can_leave_the_message_and_count_a_failure(bench: Bench) -> None:
    lease = await running(bench)
    await bench.store.settle([(lease, Again(0, attempt=4))])
    lease = await one(bench.store)
    assert (lease.message, lease.attempt) == (b"m", 4)


async def test_a_new_entry_can_be_renewed_by_its_insert_receipt(bench: Bench) -> None:
    (due,) = await bench.store.schedule([NewEntry("k", "c", b"m", HAND_OFF)])
    assert due is not None
    lease = Lease("k", "c", b"m", due, due, due)
    (renewed,) = await bench.store.renew([lease], RUN, "c.one")
    assert renewed is not None
    assert await bench.store.renew([lease], RUN, "c.two") == [None]


async def test_a_nudge_makes_a_waiting_entry_due_now(bench: Bench) -> None:
    await hire(bench.store)
    await bench.store.schedule([NewEntry("k", "c", b"m", 60_000)])
    assert await bench.store.nudge(["k", "not there"]) == 1
    lease = await one(bench.store)
    assert lease.nudged
    (renewed,) = await bench.store.renew([lease], RUN, "c.one")
    assert renewed is not None
    assert renewed.nudged
    await bench.store.settle([(renewed, Again(0))])
    assert not (await one(bench.store)).nudged


async def test_a_nudge_never_breaks_a_hold_and_is_heard_at_the_settle(bench: Bench) -> None:
    lease = await running(bench)
    await bench.store.nudge(["k"])
    assert await bench.store.lease(10, HAND_OFF) == []
    assert await bench.store.settle([(lease, Again(60_000))]) == [True]
    assert (await one(bench.store)).nudged


async def test_a_nudge_during_the_hand_off_is_heard_by_the_step(bench: Bench) -> None:
    await hire(bench.store)
    await bench.store.schedule([NewEntry("k", "c", b"m")])
    lease = await one(bench.store)
    await bench.store.nudge(["k"])
    (renewed,) = await bench.store.renew([lease], RUN, "c.one")
    assert renewed is not None
    assert renewed.nudged
    await bench.store.settle([(renewed, Again(60_000))])
    assert await bench.store.lease(10, HAND_OFF) == []


async def test_a_nudge_outlives_a_worker_that_is_lost(bench: Bench) -> None:
    await running(bench)
    await bench.store.nudge(["k"])
    await bench.advance(RUN)
    again = await one(bench.store)
    assert again.nudged
    assert again.attempt == 2


async def test_what_was_nudged_and_given_back_unsent_does_not_spin(bench: Bench) -> None:
    await hire(bench.store)
    await bench.store.schedule([NewEntry("k", "c", b"m")])
    await bench.store.nudge(["k"])
    lease = await one(bench.store)
    await bench.store.settle([(lease, Again(300, attempt=lease.attempt))])
    assert await bench.store.lease(10, HAND_OFF) == []
    await bench.advance(300)
    assert (await one(bench.store)).nudged


async def test_peek_tells_what_may_be_overtaken(bench: Bench) -> None:
    async def stale() -> bool:
        (entry,) = await bench.store.peek(["k"])
        assert entry is not None
        return entry.stale

    lease = await running(bench)
    await bench.store.settle([(lease, Again(100))])
    assert not await stale()
    await bench.store.nudge(["k"])
    assert await stale()
    (held,) = await bench.store.renew([await one(bench.store)], RUN, "r")
    assert held is not None
    assert not await stale()
    await bench.advance(RUN)
    assert await stale()


async def test_peek_tells_held_from_waiting(bench: Bench) -> None:
    lease = await running(bench)
    held, nothing = await bench.store.peek(["k", "not there"])
    assert held is not None
    assert held.held
    assert nothing is None
    await bench.store.settle([(lease, Again(100))])
    (waiting,) = await bench.store.peek(["k"])
    assert waiting is not None
    assert not waiting.held


async def test_remove_forgets_even_what_is_held(bench: Bench) -> None:
    lease = await running(bench)
    assert await bench.store.remove(["k", "not there"]) == 1
    assert await bench.store.depth() == 0
    assert await bench.store.settle([(lease, Again(0))]) == [False]
    assert await bench.store.lease(10, HAND_OFF) == []


async def test_no_more_is_handed_out_than_there_are_free_slots(bench: Bench) -> None:
    await hire(bench.store, slots=2)
    await bench.store.schedule([NewEntry(f"k{n}", "c", b"") for n in range(5)])
    first = await bench.store.lease(10, HAND_OFF)
    assert len(first) == 2
    assert await bench.store.lease(10, HAND_OFF) == []
    renewed = [lease for lease in await bench.store.renew(first, RUN, "c.one") if lease]
    assert await bench.store.lease(10, HAND_OFF) == []
    await bench.store.settle([(renewed[0], Done())])
    assert len(await bench.store.lease(10, HAND_OFF)) == 1
    assert await bench.store.lease(10, HAND_OFF) == []


async def test_slots_of_lost_hand_offs_are_free_again(bench: Bench) -> None:
    await hire(bench.store, slots=1)
    await bench.store.schedule([NewEntry("first", "c", b"", 0), NewEntry("older", "c", b"", 1)])
    assert (await one(bench.store)).key == "first"
    await bench.advance(HAND_OFF)
    assert (await one(bench.store)).key == "older"


async def test_a_channel_without_free_slots_does_not_stand_in_the_way_of_another(bench: Bench) -> None:
    await hire(bench.store, reader="quick.one", channel="quick")
    await bench.store.schedule([NewEntry("slow", "slow", b"", 0), NewEntry("quick", "quick", b"", 1)])
    await bench.advance(1)
    assert (await one(bench.store)).key == "quick"


async def test_work_goes_to_the_reader_with_most_free_slots_and_not_to_one_that_left(bench: Bench) -> None:
    await hire(bench.store, 2, "c.small")
    await hire(bench.store, 6, "c.large")
    await bench.store.schedule([NewEntry(f"k{n}", "c", b"") for n in range(8)])
    readers = [lease.reader for lease in await bench.store.lease(4, HAND_OFF)]
    assert readers == ["c.large"] * 4
    await bench.store.announce("c", "c.large", 0, 0)
    assert [lease.reader for lease in await bench.store.lease(10, HAND_OFF)] == ["c.small"] * 2


async def test_who_signs_off_gives_back_what_was_only_handed_to_it(bench: Bench) -> None:
    await hire(bench.store, 5, "c.one")
    await bench.store.schedule([NewEntry("handed", "c", b"")])
    handed = await one(bench.store)
    await bench.advance(1)
    await bench.store.schedule([NewEntry("running", "c", b"")])
    (running,) = await bench.store.renew([await one(bench.store)], 15_000, "c.one")
    assert running is not None
    await bench.store.announce("c", "c.one", 0, 0)
    await bench.advance(1)
    await hire(bench.store, 5, "c.two")
    (again,) = await bench.store.lease(10, HAND_OFF)
    assert (again.key, again.attempt, again.reader) == ("handed", 1, "c.two")
    assert await bench.store.renew([handed], 15_000, "c.one") == [None]
    assert await bench.store.settle([(running, Done())]) == [True]


async def test_a_reader_that_falls_silent_is_forgotten(bench: Bench) -> None:
    await bench.store.announce("c", "c.one", 5, 1_000)
    await bench.store.schedule([NewEntry("k", "c", b"m")])
    await bench.advance(1_000)
    assert await bench.store.lease(10, HAND_OFF) == []
    await hire(bench.store)
    await one(bench.store)


async def test_standing_entries_are_made_once(bench: Bench) -> None:
    standing = [NewEntry("s", "c", b"")]
    assert await bench.store.stand(standing)
    assert not await bench.store.stand(standing)
    assert await bench.store.depth() == 1


async def test_a_new_standing_entry_comes_to_an_old_store(bench: Bench) -> None:
    old, new = NewEntry("old", "c", b""), NewEntry("new", "c", b"")
    await bench.store.stand([old])
    await bench.store.remove(["old"])  # somebody meant it
    assert await bench.store.stand([old, new])
    assert not await bench.store.stand([new])
    assert not await bench.store.stand([old, new])
    gone, there = await bench.store.peek(["old", "new"])
    assert gone is None
    assert there is not None


async def test_one_bad_receipt_does_not_spoil_the_batch(bench: Bench) -> None:
    lease = await running(bench)
    stranger = Lease("nobody", "c", b"", 1, 1, 1)
    assert await bench.store.settle([(stranger, Done()), (lease, Done()), (stranger, Again(0))]) == [False, True, False]


async def test_sleep_ends_when_something_comes_due(bench: Bench) -> None:
    await hire(bench.store)
    await bench.store.schedule([NewEntry("k", "c", b"m", 30)])
    began = time.monotonic()
    await bench.store.sleep(60_000)
    assert time.monotonic() - began < 20


async def test_sleep_ends_at_its_cap(bench: Bench) -> None:
    began = time.monotonic()
    await bench.store.sleep(20)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("wake", ["schedule", "nudge", "settle", "announce"])
async def test_sleep_is_woken_by_what_is_due_earlier(bench: Bench, wake: str) -> None:
    store = bench.store
    lease = await running(bench)
    await store.schedule([NewEntry("later", "c", b"m", 60_000)])
    if wake == "announce":
        await store.announce("c", "c.one", 0, 0)
        await store.schedule([NewEntry("now", "c", b"m")])
    sleeping = asyncio.create_task(store.sleep(600_000))
    await asyncio.sleep(0)
    if wake == "schedule":
        await store.schedule([NewEntry("now", "c", b"m")])
    elif wake == "nudge":
        await store.nudge(["later"])
    elif wake == "settle":
        await store.settle([(lease, Again(0))])
    else:
        await hire(store)
    await asyncio.wait_for(sleeping, 60)
    assert len(await store.lease(10, HAND_OFF)) == 1


async def test_schedule_replaces_when_asked_for_even_what_is_held(bench: Bench) -> None:
    lease = await running(bench)
    (due,) = await bench.store.schedule([NewEntry("k", "d", b"new", 70)], replace=True)
    assert due is not None
    assert await bench.store.settle([(lease, Done())]) == [False]
    (entry,) = await bench.store.peek(["k"])
    assert entry is not None
    assert (entry.channel, entry.message, entry.due, entry.held) == ("d", b"new", due, False)
    assert await bench.store.depth() == 1


async def test_after_a_lease_nothing_is_given_for_a_gap_whoever_asks(bench: Bench) -> None:
    await hire(bench.store)
    await bench.store.schedule([NewEntry("a", "c", b""), NewEntry("b", "c", b"", 1)])
    assert [lease.key for lease in await bench.store.lease(10, HAND_OFF, 40)] == ["a"]
    await bench.advance(39)
    assert await bench.store.lease(10, HAND_OFF, 40) == []
    assert await bench.store.lease(10, HAND_OFF) == []
    await bench.advance(1)
    assert [lease.key for lease in await bench.store.lease(10, HAND_OFF, 40)] == ["b"]


async def test_a_full_lease_is_followed_by_the_next_at_once(bench: Bench) -> None:
    await hire(bench.store)
    await bench.store.schedule([NewEntry(f"{n}", "c", b"") for n in range(3)])
    assert len(await bench.store.lease(2, HAND_OFF, 40)) == 2
    assert len(await bench.store.lease(2, HAND_OFF, 40)) == 1


async def test_a_lease_that_gave_nothing_opens_no_gap(bench: Bench) -> None:
    await hire(bench.store)
    assert await bench.store.lease(2, HAND_OFF, 40) == []
    await bench.store.schedule([NewEntry("k", "c", b"")])
    assert len(await bench.store.lease(2, HAND_OFF, 40)) == 1


async def test_what_is_dead_is_never_due_and_kept(bench: Bench) -> None:
    lease = await running(bench)
    assert await bench.store.settle([(lease, Dead("it broke"))]) == [True]
    await bench.advance(10**9)
    await hire(bench.store)
    assert await bench.store.lease(10, HAND_OFF) == []
    (entry,) = await bench.store.dead(10)
    assert (entry.key, entry.message, entry.due, entry.held, entry.reason) == ("k", b"m", None, False, "it broke")
    assert await bench.store.peek(["k"]) == [entry]
    assert await bench.store.schedule([NewEntry("k", "c", b"")]) == [None]


async def test_a_nudge_does_not_wake_the_dead(bench: Bench) -> None:
    lease = await running(bench)
    await bench.store.settle([(lease, Dead("it broke"))])
    await bench.store.nudge(["k"])
    assert await bench.store.lease(10, HAND_OFF) == []


async def test_the_dead_can_be_revived_as_if_new(bench: Bench) -> None:
    lease = await running(bench)
    await bench.store.settle([(lease, Again(0, attempt=7))])
    (lease,) = [each for each in await bench.store.renew([await one(bench.store)], RUN, "c.one") if each]
    await bench.store.settle([(lease, Dead("it broke"))])
    assert await bench.store.revive(["k", "not there"]) == 1
    assert await bench.store.revive(["k"]) == 0
    lease = await one(bench.store)
    assert (lease.key, lease.attempt) == ("k", 1)
    assert await bench.store.dead(10) == []


async def test_the_dead_can_be_removed_and_replaced(bench: Bench) -> None:
    for key in "ab":
        (lease,) = [each for each in [await running(bench, key)] if each]
        await bench.store.settle([(lease, Dead("it broke"))])
        await bench.advance(1)
    assert [entry.key for entry in await bench.store.dead(1)] == ["a"]
    assert await bench.store.remove(["a"]) == 1
    assert [entry.key for entry in await bench.store.dead(10)] == ["b"]
    await bench.store.schedule([NewEntry("b", "c", b"new")], replace=True)
    assert await bench.store.dead(10) == []
    assert (await one(bench.store)).message == b"new"


async def test_what_is_not_dead_is_not_buried(bench: Bench) -> None:
    for key in ("gone", "revived"):
        await bench.store.settle([(await running(bench, key), Dead("it broke"))])
    held = await running(bench, "held")
    await bench.store.revive(["revived"])
    await bench.store.schedule([NewEntry("waiting", "c", b"", 60_000)])
    keys = ["gone", "gone", "revived", "held", "waiting", "not there"]
    assert await bench.store.bury(keys) == 1
    assert [entry is not None for entry in await bench.store.peek(keys)] == [False, False, True, True, True, False]
    assert await bench.store.dead(10) == []
    assert await bench.store.settle([(held, Done())]) == [True]


async def test_status_tells_what_is_there(bench: Bench) -> None:
    store = bench.store
    await running(bench)
    await hire(store, 7, "d.one", "d")
    await store.schedule([NewEntry("waiting", "c", b"", 60_000), NewEntry("overdue", "nobody", b"")])
    await store.beat("me", 5_000)
    await store.beat("you", 5_000)
    await store.beat("you", 0)
    status = await store.status()
    assert (status.waiting, status.overdue, status.held, status.dead) == (2, 1, 1, 0)
    assert sorted(status.readers, key=lambda reader: reader.name) == [
        Reader("c.one", "c", 100, 1),
        Reader("d.one", "d", 7, 0),
    ]
    assert status.schedulers == ["me"]
    assert status.late < 1_000_000
    await bench.advance(5_000)
    status = await store.status()
    assert status.schedulers == []
    assert 5_000_000 <= status.late < 6_000_000
    await store.remove(["overdue"])
    assert (await store.status()).late == 0


async def test_a_hold_that_has_ended_is_late_too(bench: Bench) -> None:
    await running(bench)
    assert (await bench.store.status()).late == 0
    await bench.advance(RUN + 3_000)
    assert 3_000_000 <= (await bench.store.status()).late < 4_000_000


async def _schedule_now(store: DelayStore) -> None:
    await store.schedule([NewEntry("k", "c", b"m")])


async def test_memory_store_does_not_grow_with_steps() -> None:
    store = MemoryStore()
    await hire(store)
    await store.schedule([NewEntry("k", "c", b"m")])
    for _ in range(5_000):
        leases = await store.renew(await store.lease(10, HAND_OFF), RUN, "c.one")
        assert await store.settle([(lease, Again(0)) for lease in leases if lease]) == [True]
    assert len(store._heaps["c"]) < 1_100
    assert len(store._ends) < 1_100


async def test_a_nudge_outlives_the_renews_of_a_long_step(bench: Bench) -> None:
    lease = await running(bench)
    await bench.store.nudge(["k"])
    for _ in range(3):
        (renewed,) = await bench.store.renew([lease], RUN, "c.one")
        assert renewed is not None
        lease = renewed
    await bench.store.settle([(lease, Again(60_000))])
    assert (await one(bench.store)).nudged


async def test_a_step_that_could_not_hear_its_nudge_passes_it_on(bench: Bench) -> None:
    lease = await running(bench)
    await bench.store.settle([(lease, Again(500, nudged=True))])
    assert await bench.store.lease(10, HAND_OFF) == []
    await bench.advance(500)
    assert (await one(bench.store)).nudged


async def test_a_settled_receipt_is_used_up_even_if_the_due_time_is_the_same(bench: Bench) -> None:
    lease = await running(bench)
    assert await bench.store.settle([(lease, Again(RUN))]) == [True]
    assert await bench.store.settle([(lease, Done())]) == [False]


async def test_a_sleeper_that_is_woken_and_cancelled_at_once_is_cancelled() -> None:
    store = MemoryStore()
    await hire(store)

    async def sleep_for_ever() -> None:
        while True:
            await store.sleep(1_000)
            if not await store.lease(10, HAND_OFF):
                continue

    task = asyncio.create_task(sleep_for_ever())
    await asyncio.sleep(0.02)
    await store.schedule([NewEntry("k", "c", b"m")])
    await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=2)
    assert done


async def test_a_hold_that_is_removed_frees_its_slot_at_once(bench: Bench) -> None:
    await hire(bench.store, slots=1)
    await bench.store.schedule([NewEntry("held", "c", b"m")])
    await one(bench.store)
    await bench.store.schedule([NewEntry("waiting", "c", b"m")])
    sleeping = asyncio.create_task(bench.store.sleep(600_000))
    await asyncio.sleep(0)
    await bench.store.remove(["held"])
    await asyncio.wait_for(sleeping, 60)
    assert (await one(bench.store)).key == "waiting"


async def test_a_plain_thread_wakes_a_sleeper_at_once() -> None:
    """A sync view or a script thread schedules; the scheduler sleeps in the server's loop."""
    store = MemoryStore()
    await hire(store)
    sleeping = asyncio.create_task(store.sleep(60_000))
    await asyncio.sleep(0)
    began = time.monotonic()
    thread = threading.Thread(target=lambda: asyncio.run(_schedule_now(store)))
    thread.start()
    await sleeping
    thread.join()
    assert time.monotonic() - began < 20


async def test_heaps_that_were_cleaned_keep_the_order_and_the_channels_apart() -> None:
    now = 1_000_000_000_000_000
    store = MemoryStore(clock=lambda: now)
    await hire(store)
    await hire(store, reader="d.one", channel="d")
    await store.schedule([NewEntry(f"{n}", "cd"[n % 2], b"", 60_000 - n) for n in range(50)])
    await store.schedule([NewEntry("busy", "c", b"")])
    size = 0
    while len(store._heaps["c"]) >= size:  # until it has been cleaned just now
        size = len(store._heaps["c"])
        leases = await store.renew(await store.lease(1, HAND_OFF), RUN, "c.one")
        await store.settle([(lease, Again(0)) for lease in leases if lease])
    await store.remove(["busy"])
    now += 60_000_000
    leased = await store.lease(100, HAND_OFF)
    assert [lease.key for lease in leased] == [f"{n}" for n in reversed(range(50))]
    assert all(lease.reader == f"{lease.channel}.one" for lease in leased)


async def test_ends_that_were_cleaned_still_free_their_slots() -> None:
    now = 1_000_000_000_000_000
    store = MemoryStore(clock=lambda: now)
    await hire(store, slots=51)
    await store.schedule([NewEntry(f"{n}", "c", b"") for n in range(50)])
    for n, lease in enumerate(await store.lease(50, HAND_OFF)):
        await store.renew([lease], 60_000 - n * 1_000, "c.one")
    await store.schedule([NewEntry("busy", "c", b"")])
    size = 0
    while len(store._ends) >= size:  # until it has been cleaned just now
        size = len(store._ends)
        leases = await store.renew(await store.lease(1, HAND_OFF), RUN, "c.one")
        await store.settle([(lease, Again(0)) for lease in leases if lease])
    now += 35_000_000
    assert len(await store.lease(100, HAND_OFF)) == 50 - 25 + 1


async def test_a_hold_that_has_ended_is_seen_as_none(bench: Bench) -> None:
    await running(bench)
    await bench.advance(RUN)
    (entry,) = await bench.store.peek(["k"])
    assert entry is not None
    assert not entry.held


async def test_a_nudge_does_not_cost_an_overdue_entry_its_place(bench: Bench) -> None:
    await hire(bench.store)
    await bench.store.schedule([NewEntry("first", "c", b"m"), NewEntry("second", "c", b"m", 1)])
    await bench.advance(100)
    await bench.store.nudge(["first"])
    assert [lease.key for lease in await bench.store.lease(1, HAND_OFF)] == ["first"]


async def test_sleep_goes_on_when_what_comes_is_later(bench: Bench) -> None:
    await hire(bench.store)
    sleeping = asyncio.create_task(bench.store.sleep(5_000))
    await asyncio.sleep(0)
    await bench.store.schedule([NewEntry("later", "c", b"m", 60_000)])
    done, _ = await asyncio.wait([sleeping], timeout=0.05)
    sleeping.cancel()
    assert not done


async def test_a_sleeper_that_got_up_by_itself_is_forgotten() -> None:
    store = MemoryStore()
    await store.sleep(1)
    assert not store._sleepers
