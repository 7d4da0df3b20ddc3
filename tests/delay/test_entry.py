"""What goes into a store: refused where the mistake is made, not where it would harm others."""

from __future__ import annotations

from typing import Any

import pytest

from progrock.delay import Again, Dead, NewEntry, Outcome
from progrock.delay.entry import DELAY_MOST

from .conftest import Bench
from .test_store import HAND_OFF, RUN, hire


@pytest.mark.parametrize("delay", [float("nan"), float("inf"), 1.5, None, "5", -1, DELAY_MOST + 1, 10**30])
def test_a_delay_that_is_no_whole_number_of_milliseconds_is_refused(delay: Any) -> None:
    with pytest.raises(ValueError, match="Expected the delay as whole milliseconds"):
        Again(delay)
    with pytest.raises(ValueError, match="Expected the delay as whole milliseconds"):
        NewEntry("k", "c", b"", delay)


@pytest.mark.parametrize("channel", ["", " ", "a b"])
def test_a_channel_that_is_no_name_is_refused(channel: str) -> None:
    with pytest.raises(ValueError, match="Expected the channel as a name without spaces"):
        NewEntry("k", channel, b"")


@pytest.mark.parametrize("message", ["text", 5, ["m"]])
def test_a_message_that_is_no_bytes_is_refused(message: Any) -> None:
    with pytest.raises(TypeError, match="Expected the message as bytes"):
        Again(0, message)
    with pytest.raises(TypeError, match="Expected the message as bytes"):
        NewEntry("k", "c", message)


@pytest.mark.parametrize("attempt", [0, -1, 1.5, None, 10**30])
def test_an_attempt_that_is_no_count_is_refused(attempt: Any) -> None:
    with pytest.raises(ValueError, match="Expected the attempt"):
        Again(0, attempt=attempt)


async def test_a_reason_may_be_anything_and_harms_no_other(bench: Bench) -> None:
    await hire(bench.store)
    await bench.store.schedule([NewEntry(key, "c", b"m") for key in ("odd", "long", "other")])
    leases = [each for each in await bench.store.renew(await bench.store.lease(9, HAND_OFF), RUN, "c.one") if each]
    outcomes: dict[str, Outcome] = {"odd": Dead("no file \udcff"), "long": Dead("x" * 10_000), "other": Again(0)}
    assert await bench.store.settle([(lease, outcomes[lease.key]) for lease in leases]) == [True] * 3
    reasons = {entry.key: entry.reason for entry in await bench.store.dead(10)}
    assert reasons == {"odd": r"no file \udcff", "long": "x" * 500}


@pytest.mark.parametrize("channel", ["a\nb", "ü☃", "a{b}c", "}", "a:b", "%s"])
async def test_names_may_be_odd(bench: Bench, channel: str) -> None:
    store, reader = bench.store, f"{channel} {channel}"
    await hire(store, reader=reader, channel=channel)
    keys = ["", " ", "}", "{", "{a}b:c", "ü☃", "\n", "\0", "k" * 1_000]
    await store.schedule([NewEntry(key, channel, b"m \0") for key in keys])
    leases = await store.lease(100, HAND_OFF)
    assert {(lease.key, lease.channel, lease.message, lease.reader) for lease in leases} == {
        (key, channel, b"m \0", reader) for key in keys
    }
    renewed = [lease for lease in await store.renew(leases, RUN, reader) if lease]
    assert await store.settle([(lease, Again(50)) for lease in renewed]) == [True] * len(keys)
    assert await store.nudge(keys) == len(keys)
    assert [entry.held for entry in await store.peek(keys) if entry] == [False] * len(keys)
    assert await store.remove(keys) == len(keys)
    assert await store.depth() == 0


async def test_the_longest_delay_is_kept_to_the_microsecond(bench: Bench) -> None:
    (due,) = await bench.store.schedule([NewEntry("k", "c", b"", DELAY_MOST)])
    (entry,) = await bench.store.peek(["k"])
    assert entry is not None
    assert entry.due == due
    now = (await bench.store.status()).now
    assert due is not None
    assert 0 <= due - (now - 1_000_000) - DELAY_MOST * 1000 <= 1_000_000
