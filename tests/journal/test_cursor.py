"""One cursor is enough: however steps break off, a client that comes back by the seq of a snapshot gets every line."""

from __future__ import annotations

import random
import time

import pytest
from msgspec.structs import replace

from progrock.journal import Journal, MemoryJournal, RedisJournal
from progrock.protocol import Snapshot, State
from progrock.step import Look, Miss, Policy, Reading, Run, decide, unsaid

LONG = 60_000


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_whatever_breaks_off_a_client_with_a_cursor_gets_every_line(
    kind: str, request: pytest.FixtureRequest
) -> None:
    journal: Journal
    if kind == "memory":
        journal = MemoryJournal(lambda: time.monotonic_ns() // 1000, 1_000, LONG)
    else:
        journal = RedisJournal(request.getfixturevalue("redis").url, 1_000, LONG)
    try:
        for seed in range(40):
            await _live(journal, f"job {seed}", random.Random(seed))
    finally:
        await journal.aclose()


async def _live(journal: Journal, job: str, chance: random.Random) -> None:
    now = 1_795_219_200_000_000
    said: list[str] = []
    run = Run("me", Snapshot(job, "s", "t", State.RUNNING, created=0, seq=1), remote="r", started=now, answered=now)
    has: dict[int, str] = {}
    cursor = 0
    for _ in range(60):
        now += chance.randrange(1, 300_000)
        said += [str(len(said) + 1 + i) for i in range(chance.randrange(3))]
        # A service that does not answer, or not with its log, has snapshots shown that count nothing new.
        looks: list[Look] = [
            Miss("unreachable", "gone"),
            Reading(State.RUNNING),
            Reading(State.RUNNING, lines=list(said)),
        ]
        decision = decide(run, chance.choices(looks, [2, 1, 7])[0], Policy(), now, 0.5)
        if decision.lines:
            how = chance.choices(["written", "away", "reply lost", "killed"], [4, 2, 2, 2])[0]
            if how != "away":
                await journal.append(job, decision.lines)
            if how == "killed":
                continue
            if how != "written":
                decision = replace(decision, run=unsaid(decision.run, decision.lines[0].n - 1))
        run = decision.run
        if cursor and run.snapshot.lines <= max(has, default=0) and chance.random() < 0.5:
            cursor = run.snapshot.seq  # an update without lines
        elif chance.random() < 0.6:
            extract = await journal.read(job, cursor if chance.random() < 0.9 else 0)
            has |= {line.n: line.text for line in extract.lines}
            assert list(range(1, run.snapshot.lines + 1)) == sorted(has)[: run.snapshot.lines]
            assert all(text == str(n) for n, text in has.items())
            cursor = run.snapshot.seq
