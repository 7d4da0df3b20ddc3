"""Workers that are killed over a delivery, and a Redis that loses all of them: whoever is to be told is told."""

from __future__ import annotations

import sqlite3
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from progrock.delay import RedisStore
from tests.conftest import until
from tests.faults.crew import START_MOST, Crew, Hand
from tests.letterbox import Letterbox
from tests.postgres import PostgresServer
from tests.redis import RedisServer

KILLED = -9
JOBS = 5


class Site:
    """Processes that run jobs, and what their database and their schedule say."""

    def __init__(self, crew: Crew, box: Letterbox, store: RedisStore, database: Path | str) -> None:
        self.crew = crew
        self.box = box
        self.store = store
        self._database = database

    async def run(self, *command: str) -> None:
        """Run a command to its end."""
        assert await self.crew.start(*command).end() == 0

    async def worker(self, **environment: object) -> Hand:
        """Start a worker, and wait until it works."""
        hand = self.crew.start("manage.py", "runworker", "prog-rocker", **environment)
        await hand.says("A worker runs")
        return hand

    def deliveries(self) -> dict[str, str]:
        """Return the states of all deliveries, by id."""
        query = "SELECT id, state FROM progrock_delivery"
        if isinstance(self._database, Path):
            with sqlite3.connect(self._database) as connection:
                rows = connection.execute(query).fetchall()
            connection.close()
        else:
            with psycopg.connect(self._database) as postgres:
                rows = postgres.execute(query).fetchall()
        return {str(uuid.UUID(str(key))): state for key, state in rows}

    async def scheduled(self) -> set[str]:
        """Return those that have an entry."""
        keys = list(self.deliveries())
        return {key for key, entry in zip(keys, await self.store.peek(keys), strict=True) if entry is not None}

    async def over(self) -> None:
        """Wait until each job has one delivery, which is sent and has no entry any more."""

        async def sent() -> bool:
            rows = self.deliveries()
            return len(rows) == JOBS and set(rows.values()) == {"sent"} and not await self.scheduled()

        await until(sent, START_MOST)
        assert set(self.box.names) == set(self.deliveries())
        assert len({letter.says["job"] for letter in self.box.letters}) == JOBS


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | str]:
    if request.param == "sqlite":
        yield tmp_path / "db.sqlite3"
        return
    with PostgresServer() as server:
        yield server.url


@pytest.fixture
async def site(redis: RedisServer, tmp_path: Path, database: Path | str) -> AsyncIterator[Site]:
    async with Letterbox() as box:
        crew = Crew(
            redis,
            tmp_path,
            DJANGO_SETTINGS_MODULE="tests.faults.told.settings",
            TELL_URL=f"{box.url}/",
            TELL_SECRET="whsec_" + "A" * 40,
            DATABASE_URL=database if isinstance(database, str) else "",
        )
        site = Site(crew, box, RedisStore.from_url(redis.url), database)
        await site.run("manage.py", "migrate")
        yield site
        sys.stderr.write(crew.say())
        crew.close()
        await site.store.aclose()


async def test_killed_between_the_end_and_the_schedule_it_is_told_nevertheless(site: Site) -> None:
    site.crew.scheduler()
    doomed = await site.worker(FAULT="die before schedule 1")
    await site.run("-m", "tests.faults.told.start", str(JOBS))
    assert await doomed.end() == KILLED
    waiting = {key for key, state in site.deliveries().items() if state == "pending"}
    assert waiting - await site.scheduled()
    await site.worker()
    await site.over()


async def test_killed_between_the_send_and_the_record_it_is_told_again_under_the_same_id(site: Site) -> None:
    site.crew.scheduler()
    doomed = await site.worker(FAULT="die before record 1")
    await site.run("-m", "tests.faults.told.start", str(JOBS))
    assert await doomed.end() == KILLED
    told = set(site.box.names)
    assert told
    unsure = {key for key in told if site.deliveries()[key] == "pending"}
    assert unsure
    await site.worker()
    await site.over()
    times = Counter(site.box.names)
    assert unsure <= {key for key, count in times.items() if count > 1}
    assert max(times.values()) == 2
    bodies = {(letter.name, letter.body) for letter in site.box.letters}
    assert len(bodies) == JOBS


async def test_killed_between_the_record_and_the_settle_it_is_not_told_again(site: Site) -> None:
    site.crew.scheduler()
    doomed = await site.worker(FAULT="die after record 1")
    await site.run("-m", "tests.faults.told.start", str(JOBS))
    assert await doomed.end() == KILLED
    recorded = {key for key, state in site.deliveries().items() if state == "sent"}
    assert recorded & await site.scheduled()
    await site.worker()
    await site.over()
    assert {Counter(site.box.names)[key] for key in recorded} == {1}


async def test_a_redis_that_lost_everything_loses_nobody(site: Site) -> None:
    site.crew.scheduler()
    site.box.answers = [500] * JOBS
    await site.worker(RETRY=600_000)
    await site.run("-m", "tests.faults.told.start", str(JOBS))
    await until(lambda: len(site.box.names) == JOBS, START_MOST)

    async def waiting() -> bool:
        entries = [entry for entry in await site.store.peek(list(site.deliveries())) if entry is not None]
        return len(entries) == JOBS and not any(entry.held for entry in entries)

    await until(waiting)
    site.crew.redis.cli("FLUSHALL")
    await site.over()
    assert set(Counter(site.box.names).values()) == {2}
