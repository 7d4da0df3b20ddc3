"""Workers that are killed, frozen and slow, and messages that get lost on the way to them."""

from __future__ import annotations

from functools import partial

from tests.conftest import until
from tests.faults.conftest import Open, Stage
from tests.faults.crew import Hand
from tests.faults.events import Event

KILLED = -9


async def test_workers_killed_anywhere_lose_and_double_nothing(open_stage: Open) -> None:
    stage = open_stage(RUN_LEASE=1500, SLOTS=20)
    stage.crew.scheduler("--batch", "5")
    faults = (
        "die before renew 4",
        "die after renew 4",
        "die in step 10",
        "die before settle 4",
        "die after settle 4",
    )
    doomed = [stage.crew.worker(FAULT=fault) for fault in faults]
    await stage.crew.present()
    await stage.seed(60, steps=5, every=100)
    for hand in doomed:
        assert await hand.end() == KILLED
    stage.crew.worker()
    await stage.over()
    await stage.check(settles_told=False)
    # A run that was lost with its worker counts as an attempt. A few were settled in the moment of its death.
    runs = [run for hand in doomed for run in _running_when_killed(stage, hand)]
    again = [(run, anew) for run in runs if (anew := _next_run(stage, run))]
    assert len(again) > 3
    assert [anew.attempt for _, anew in again] == [run.attempt + 1 for run, _ in again]


def _next_run(stage: Stage, run: Event) -> Event | None:
    others = [each for each in stage.events.of("renewed", key=run.key, since=run.at) if each.pid != run.pid]
    return next((each for each in others if each.step == run.step), None)


def _running_when_killed(stage: Stage, hand: Hand) -> list[Event]:
    held: dict[str, Event] = {}
    for each in stage.events.of("renewed", "settled", "returned", pid=hand.pid, of_chains=True):
        if each.what == "renewed":
            held[each.key] = each
        else:
            del held[each.key]
    return list(held.values())


async def test_a_worker_frozen_for_longer_than_its_lease_settles_nothing(open_stage: Open) -> None:
    stage = open_stage(RUN_LEASE=1500, SLOTS=20)
    stage.crew.scheduler("--batch", "5")
    frozen = [stage.crew.worker(FAULT=fault) for fault in ("stop in step 10", "stop before settle 4")]
    await stage.crew.present()
    await stage.seed(30, steps=4, every=100)
    for hand in frozen:
        await hand.frozen()
    stage.crew.worker()
    # The other one goes on to the end with what they hold.
    await stage.over()
    for hand, struck in zip(frozen, [stage.events.of("struck", pid=hand.pid)[0] for hand in frozen], strict=True):
        hand.thaw()
        await until(partial(stage.events.of, "refused", "stale", pid=hand.pid, since=struck.at, of_chains=True))
        # It is alive, and its leases are good for nothing more. What it had asked of the store before is answered now.
        done = stage.events.of("settled", "end", pid=hand.pid, since=struck.at, of_chains=True)
        assert [each for each in done if not 0 < each.asked < struck.at] == []
    await stage.seed(30, steps=3, every=100)
    await stage.over()
    await stage.check()
    assert [hand.code for hand in frozen] == [None, None]


async def test_what_was_handed_to_a_dead_worker_goes_to_a_live_one(open_stage: Open) -> None:
    # Run leases so long that they have no part in this.
    stage = open_stage(RUN_LEASE=60_000)
    stage.crew.scheduler("--batch", "5")
    doomed = stage.crew.worker(FAULT="die before renew 1")
    await doomed.present()
    await stage.seed(20, steps=4, every=100)
    assert await doomed.end() == KILLED
    stage.crew.worker()
    # Three seconds until it is known to be dead, and a hand-off.
    await stage.over()
    await stage.check()
    # It had not looked yet: no attempt was lost.
    assert {each.attempt for each in stage.events.of("begin")} == {1}


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
    assert any("ChannelFull" in line for line in full)
    seconds = (
        max(each.at for each in stage.events.of("end"))
        - min(each.at for each in stage.events.of("leased", of_chains=True))
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
    assert stage.events.of("stale", of_chains=True), "a copy was to be refused"
    await stage.check()
