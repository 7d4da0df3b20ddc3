"""The short form of the fault matrix: each fault once, on one site, one after the other."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Iterator

import pytest

from tests.chaos.faults import CHANCE, DONE, Fault
from tests.chaos.places import POINTS, together
from tests.chaos.round import Measure, play
from tests.chaos.sabotage import SABOTAGE
from tests.chaos.stage import Stage

SEED = random.randrange(10**6)
SHORT = Measure(jobs=12, lasts=1.5, freeze=3.7, trouble=2.5, most=60)
# What the others show as well, or other tests do, in more time than there is.
LEFT_OUT = {
    *("kill-workers", "kill-schedulers", "redis-lost", "redis-restored", "redis-cut", "redis-full", "entries-deleted"),
    *("postgres-killed", "postgres-forgets", "remote-slow", "freeze-synth", "freeze-postgres", "restart-others"),
}
FAULTS = [fault for fault in CHANCE if fault.name not in LEFT_OUT]


def _those(*beginnings: str) -> Fault:
    """Return the faults at places whose names begin so, as one."""
    some = [fault for fault in POINTS if fault.name.startswith(beginnings) and not fault.name.endswith("frozen")]
    return together(" ".join(beginnings), some)


PLACES = [_those("start-", "join-"), _those("scheduler-", "sweep-"), _those("worker-"), _those("end-")]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The site that lives through all of it."""
    stage = Stage(tmp_path_factory.mktemp("chaos"))
    try:
        asyncio.run(stage.open())
        yield stage
        sys.stderr.write(f"SEED={SEED}\n" + stage.crew.say())  # pytest shows it if a test failed
    finally:
        stage.close()


@pytest.mark.parametrize("fault", [*FAULTS, *PLACES], ids=lambda fault: fault.name)
async def test_every_job_ends_once_and_everybody_is_told(stage: Stage, fault: Fault) -> None:
    verdict = await play(stage, fault, SEED, SHORT)
    assert verdict.wrong == [], f"SEED={SEED}"
    assert verdict.jobs == SHORT.jobs
    assert verdict.lines or fault.expected != DONE, "nobody has read a journal"


# What takes a minute and more is left to `python -m tests.chaos --sabotage`.
@pytest.mark.parametrize("what", sorted(SABOTAGE.keys() - {"renew", "nudge"}))
async def test_without_it_the_run_is_red(stage: Stage, what: str) -> None:
    verdict = await play(
        stage, SABOTAGE[what], SEED, Measure(jobs=12, lasts=2, freeze=3.7, trouble=2.5, most=5), without=what
    )
    assert verdict.wrong, f"SEED={SEED}"
