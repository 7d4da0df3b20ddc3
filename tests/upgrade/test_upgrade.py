"""A rolling deploy from the version before, and the way back, with jobs in flight: nobody but the operator notices."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator

import pytest

from tests.chaos import verdict as checks
from tests.chaos.faults import DONE
from tests.chaos.round import _stats
from tests.chaos.verdict import Verdict
from tests.faults.crew import OURS, Code
from tests.until import until
from tests.upgrade.before import build
from tests.upgrade.crowd import Crowd
from tests.upgrade.site import Site

MOST = 30
EVERY = 0.2
"""Seconds from one start to the next, all the time."""
LENGTHS = (2.0, 3.0, 7.0)
"""Seconds that jobs last, in turn: some outlast a phase."""
ADDED = "ALTER TABLE progrock_job ADD COLUMN of_the_next text NOT NULL DEFAULT ''"
"""What a migration may do to a table that is in use, whether or not this release has one."""
SILENCE_MOST = 10
"""Seconds without anything new of a job, on a machine that starts three processes meanwhile."""


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Code:
    return build(tmp_path_factory.mktemp("before"))


@pytest.fixture
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    try:
        yield site
        sys.stderr.write(site.crew.say())  # pytest shows it if the test failed
    finally:
        site.close()


class Watch:
    """What has been seen of jobs so far."""

    def __init__(self, site: Site) -> None:
        self._events = site.crew.events

    def done(self, what: str, by: set[int], since: int = 0) -> set[str]:
        """Return the jobs with which some processes did that."""
        return {each.key for each in self._events.of(what, since=since) if each.pid in by}

    async def each_has(self, what: str, *versions: set[int], least: int = 4) -> None:
        """Wait until the processes of each of these versions have done that with so many jobs from now on."""
        since = time.monotonic_ns()

        async def have() -> bool:
            await asyncio.sleep(0.1)  # it reads all that has happened
            return all(len(self.done(what, pids, since)) >= least for pids in versions)

        await until(have, MOST)


async def _keep_starting(crowds: list[Crowd], stop: asyncio.Event) -> None:
    numbers, lengths = itertools.count(), itertools.cycle(LENGTHS)
    while not stop.is_set():
        for crowd in list(crowds):
            number = next(numbers)
            client = crowd.starters[number % len(crowd.starters)]
            name = "young" if crowd is not crowds[0] else "elder"
            await client.start(f"{name}-{number}", "synth", {"mode": "clock", "length": next(lengths), "seed": number})
            await crowd.follow()
            await asyncio.sleep(EVERY)
    await until(lambda: all(not client.wanted for crowd in crowds for client in crowd.starters), MOST)
    for crowd in crowds:
        await crowd.follow()


async def test_jobs_end_once_and_nobody_misses_anything_on_the_way_up_and_back(site: Site, before: Code) -> None:
    watch, stop = Watch(site), asyncio.Event()
    await site.migrate(before)
    await site.come(before)
    # So that both workers have something to hold.
    site.synth.trouble({"kind": "latency", "ms": 100})
    began, stats = time.monotonic_ns(), await _stats(site)
    elder, young = Crowd(site.rather(before), 1), Crowd(site.rather(OURS), 2)
    crowds = [elder]
    await elder.come(2, undone=False, forgets=False)
    starting = asyncio.create_task(_keep_starting(crowds, stop))
    try:
        await watch.each_has("settled", site.pids(before))

        # Up: the rows first, while all is old; then the processes.
        await site.migrate()
        await site.aside(site.postgres.sql, ADDED)
        await site.come(OURS)
        await young.come(1, undone=False, forgets=False)
        crowds.append(young)
        elder.open(site.rather(OURS))
        await watch.each_has("settled", site.pids(before), site.pids(OURS))
        await watch.each_has("scheduled", site.pids(before), site.pids(OURS), least=2)
        await site.go(before)
        await watch.each_has("settled", site.pids(OURS))
        up = watch.done("scheduled", site.pids(before))

        # And back, with the rows as they are now.
        old = Code(before.python, before.folder)
        await site.come(old)
        elder.open(site.rather(old))
        await watch.each_has("settled", site.pids(OURS), site.pids(old))
        await site.go(OURS)
        await watch.each_has("scheduled", site.pids(old), least=2)
        stop.set()
        await starting
        clients = [client for crowd in crowds for client in crowd.clients]
        await until(lambda: all(client.over for client in clients), MOST)
        accepted = {job for client in clients for job in client.accepted.values()}
        await until(lambda: not site.entries() & accepted, MOST)

        assert [seat.hand.log[-5:] for seat in site.ended()] == []
        verdict, events = Verdict(), [each for each in site.crew.events.read() if each.at >= began]
        rows = {crowd: await site.rows(name) for crowd, name in ((elder, "elder"), (young, "young"))}
        for crowd, own in rows.items():
            checks.ends(verdict, crowd, own, DONE)
        both = [row for own in rows.values() for row in own]
        jobs = {row["id"] for row in both}
        checks.signals(verdict, events, jobs, set(), twice=False)
        checks.refusals(verdict, events, jobs, keeps=True)
        checks.fencing(verdict, events, jobs)
        checks.scheduled(verdict, events, jobs)
        checks.remote(verdict, stats, await _stats(site), both)
        assert verdict.wrong == []
        assert verdict.lines
        assert verdict.silence < SILENCE_MOST
        # It was what it was meant to be: jobs went from one version to the other, both ways.
        assert len(up & watch.done("finished", site.pids(OURS))) >= 3
        assert len(watch.done("scheduled", site.pids(OURS)) & watch.done("finished", site.pids(old))) >= 3
    finally:
        starting.cancel()
        for crowd in crowds:
            await crowd.leave()
