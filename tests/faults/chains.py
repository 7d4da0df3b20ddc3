"""Chains of steps, each of which makes the next, and what must be true of them whatever happened."""

from __future__ import annotations

import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Sequence, Set

import msgspec

from progrock.delay import NewEntry
from tests.faults.events import Events
from tests.redis import RedisServer

CHANNEL = "counted"


class Link(msgspec.Struct, frozen=True, array_like=True):
    """What an entry carries: the number of the step to be done, of how many, and the milliseconds between two."""

    number: int
    of: int
    every: int


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Link).decode


def step_of(message: bytes) -> int:
    """Return the number of the step; 0 if it is no link of a chain."""
    try:
        return decode(message).number
    except msgspec.DecodeError:
        return 0


def chains(name: str, count: int, *, steps: int, every: int) -> list[NewEntry]:
    """Return the first links, due spread over one interval."""
    first = encode(Link(1, steps, every))
    return [NewEntry(f"{name}{n}", CHANNEL, first, random.randint(0, every)) for n in range(count)]


def check_chains(events: Events, seeded: Sequence[NewEntry]) -> None:
    """Assert that every chain was gone through step by step, each settled once, and never by two at a time."""
    steps_of = {entry.key: decode(entry.message).of for entry in seeded}
    begun: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    holds: dict[str, list[tuple[int, int]]] = defaultdict(list)
    opened: dict[tuple[str, int, int], int] = {}
    settled: Counter[tuple[str, int]] = Counter()
    receipts: Counter[tuple[str, int]] = Counter()
    for each in events.read():
        if each.key not in steps_of:
            continue
        if each.what in ("leased", "renewed"):
            receipts[each.key, each.receipt] += 1
        elif each.what == "settled":
            settled[each.key, each.step] += 1
        elif each.what == "begin":
            begun[each.key][each.step].append(each.at)
            opened[each.key, each.receipt, each.pid] = each.at
        elif each.what == "end":
            holds[each.key].append((opened.pop((each.key, each.receipt, each.pid)), each.at))

    assert {key: n for key, n in receipts.items() if n > 1} == {}, "a receipt was given twice"
    for key, steps in steps_of.items():
        assert sorted(begun[key]) == list(range(1, steps + 1)), f"{key} lost its way"
        for step in range(1, steps):
            assert max(begun[key][step]) < min(begun[key][step + 1]), f"{key} forked at step {step}"
        spans = sorted(holds[key])
        for (_, end), (begin, _) in itertools.pairwise(spans):
            assert end < begin, f"two worked on {key} at a time"
    assert {each: n for each, n in settled.items() if n > 1} == {}, "a step was settled twice"


def check_empty(redis: RedisServer, seeded: Sequence[NewEntry], standing: Set[str]) -> None:
    """Assert that Redis knows none of the names any more, wherever one could be left, and has but standing entries."""
    commands = {"hash": "HKEYS", "set": "SMEMBERS", "zset": "ZRANGE"}
    names = {entry.key for entry in seeded}
    for key in redis.cli("KEYS", "{delay.*").splitlines():
        kind = redis.cli("TYPE", key)
        if kind == "none":
            continue  # a scheduler at work emptied it since
        command = commands[kind]
        arguments = (0, -1) if command == "ZRANGE" else ()
        assert not names & set(redis.cli(command, key, *arguments).splitlines()), key
    assert set(redis.cli("HKEYS", "{delay.0}:entries").splitlines()) <= standing
