"""Workers that are killed and frozen, slow ones, and those of Channels' own."""

from __future__ import annotations

import pytest

from tests.conftest import until
from tests.faults.conftest import Open

KILLED = -9


@pytest.mark.parametrize(
    ("fault", "looks"),
    [
        ("die in step 10", 2),
        ("die before renew 4", 1),
        ("die after renew 4", 2),
        ("die before settle 4", 2),
        ("die after settle 4", 1),
    ],
)
async def test_a_worker_killed_anywhere_loses_and_doubles_nothing(open_stage: Open, fault: str, looks: int) -> None:
    stage = open_stage(RUN_LEASE=1500)
    stage.crew.scheduler("--batch", "5")
    doomed = stage.crew.worker(FAULT=fault)
    await stage.crew.present()
    await stage.seed(20, steps=4, every=100)
    assert await doomed.end() == KILLED
    (struck,) = stage.events.of("struck")
    stage.crew.worker()
    await stage.over()
    await stage.check(settles_told=False)
    # A run that was lost is counted, a hand-off is not, nor a run that was settled in time.
    assert max(each.attempt for each in stage.events.of("begin")) >= looks
    assert all(each.attempt == 1 for each in stage.events.of("begin") if each.at < struck.at)


@pytest.mark.parametrize("fault", ["stop in step 10", "stop before settle 4"])
async def test_a_worker_frozen_for_longer_than_its_lease_settles_nothing(open_stage: Open, fault: str) -> None:
    stage = open_stage(RUN_LEASE=1500)
    stage.crew.scheduler("--batch", "5")
    frozen = stage.crew.worker(FAULT=fault)
    await stage.crew.present()
    await stage.seed(20, steps=4, every=100)
    await frozen.frozen()
    (struck,) = stage.events.of("struck")
    stage.crew.worker()
    # The others go on to the end with what it holds.
    await stage.over()
    frozen.thaw()
    await until(lambda: stage.events.of("refused", "stale", pid=frozen.pid, since=struck.at))
    # It works on, and the same lease is good for nothing more.
    assert stage.events.of("settled", "end", pid=frozen.pid, since=struck.at) == []
    await stage.seed(20, steps=3, every=100)
    await stage.over()
    await stage.check()
    assert frozen.code is None


async def test_what_was_handed_to_a_dead_worker_goes_to_a_live_one(open_stage: Open) -> None:
    # Run leases as long as they are by default: they have no part in this.
    stage = open_stage(HAND_OFF=1000)
    stage.crew.scheduler("--batch", "5")
    doomed = stage.crew.worker(FAULT="die before renew 1")
    await doomed.present()
    await stage.seed(20, steps=4, every=100)
    assert await doomed.end() == KILLED
    stage.crew.worker()
    await stage.over(within=12)
    await stage.check()


async def test_a_slow_worker_and_a_full_channel_make_steps_late_and_no_more(open_stage: Open) -> None:
    stage = open_stage(CAPACITY=1)
    scheduler = stage.crew.scheduler("--batch", "1")
    stage.crew.worker(WORK=100, BLOCKING=1)
    await stage.crew.present()
    await stage.seed(12, steps=3, every=50)
    await stage.over()
    await stage.check()
    full = [line for line in scheduler.log if "takes no leases" in line]
    assert full
    assert "ChannelFull" in full[0]
    seconds = (
        max(each.at for each in stage.events.of("end")) - min(each.at for each in stage.events.of("begin"))
    ) / 1e9
    assert len(full) <= seconds + 1


async def test_messages_that_are_lost_and_doubled_lose_and_double_nothing(open_stage: Open) -> None:
    stage = open_stage(DROP=100, DOUBLE=10)
    stage.crew.scheduler("--batch", "2")
    for _ in range(2):
        stage.crew.worker()
    await stage.crew.present()
    await stage.seed(100, steps=8, every=150)
    await stage.over()
    assert stage.events.of("dropped")
    assert stage.events.of("doubled")
    assert stage.events.of("stale"), "a copy was to be refused"
    await stage.check()
